import { Inbox, InboxIterator } from "@rap/core";
import { Metadata, RapError, Shape, type Stream } from "@rap/protocol";
import type { ClientCore } from "./pool";
import { type CallArguments, OutgoingCall } from "./send";
import type { Target } from "./target";
import { isSource } from "./upload";

/** A server stream on the client: a call that gives many results. */
export class StreamCall extends OutgoingCall {
  readonly #inbox: Inbox<unknown>;
  readonly #items: InboxIterator<unknown, unknown>;
  readonly headers: Deferred<Metadata>;
  readonly trailers: Deferred<Metadata>;
  #begun = false;

  constructor(core: ClientCore, target: Target, args: CallArguments) {
    super(core, target, Array.isArray(args) && args.some(isSource) ? Shape.BIDI_STREAM : Shape.SERVER_STREAM, args);
    this.#inbox = new Inbox((cost) => this.stream?.consumed(cost), core.clock);
    this.#items = new InboxIterator(this.#inbox, ({ body }) => body);
    this.headers = deferred();
    this.trailers = deferred();
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return this.#items.next();
  }

  /** The caller leaves: the function on the server is cancelled. */
  leave(): void {
    if (this.settled) return;
    this.cancel(new RapError("CANCELLED", "the caller left the stream"));
  }

  override onHeaders(metadata: Metadata): void {
    super.onHeaders(metadata);
    this.headers.resolve(metadata);
  }

  override receive(body: unknown, metadata: Metadata | undefined, cost: number): void {
    if (!this.#begun) this.#begin();
    this.#inbox.push(body, metadata, cost);
  }

  /** Headers come before the first item: by now there are some or none. */
  #begin(): void {
    this.#begun = true;
    this.headers.resolve(new Metadata());
  }

  override onEnd(trailers: Metadata | undefined): void {
    const { stream } = this;
    if (!this.settle()) return;
    this.headers.resolve(new Metadata());
    this.trailers.resolve(trailers ?? new Metadata());
    if (trailers !== undefined) this.tellTrailers(trailers);
    this.#inbox.end();
    if (stream?.localDone === false) stream.reset(new RapError("CANCELLED", "the stream is over"));
  }

  override fail(error: RapError): void {
    if (!this.settle(error)) return;
    this.headers.reject(error);
    this.trailers.reject(error);
    this.#inbox.end(error);
  }
}

/** What the caller of a streaming function holds: the call, or one that interceptors have not sent yet. */
export class RemoteStream<T> implements Stream<T> {
  readonly #call: StreamCall | Promise<Stream<T>>;
  #left = false;

  constructor(call: StreamCall | Promise<unknown>) {
    this.#call = call as StreamCall | Promise<Stream<T>>;
    // Whoever reads the stream is told; a stream that nobody reads is no unhandled rejection.
    if (call instanceof Promise) call.catch(() => undefined);
  }

  get headers(): Promise<Metadata> {
    return this.#call instanceof Promise ? this.#call.then(({ headers }) => headers) : this.#call.headers.promise;
  }

  get trailers(): Promise<Metadata> {
    return this.#call instanceof Promise ? this.#call.then(({ trailers }) => trailers) : this.#call.trailers.promise;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#left) return DONE;
    if (this.#call instanceof Promise) return this.#call.then((stream) => stream.next());
    return this.#call.next() as Promise<IteratorResult<T, undefined>>;
  }

  return(value?: T): Promise<IteratorResult<T>> {
    this.#leave();
    return Promise.resolve({ done: true, value });
  }

  throw(error?: unknown): Promise<IteratorResult<T>> {
    this.#leave();
    return Promise.reject(error as Error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  toWeb(): ReadableStream<T> {
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const next = await this.next();
          if (next.done === true) controller.close();
          else controller.enqueue(next.value);
        },
        cancel: async () => {
          await this.return();
        },
      },
      { highWaterMark: 0 },
    );
  }

  #leave(): void {
    this.#left = true;
    if (this.#call instanceof Promise) this.#call.then((stream) => stream.return?.()).catch(() => undefined);
    else this.#call.leave();
  }
}

const DONE: Promise<IteratorReturnResult<undefined>> = Promise.resolve({ done: true, value: undefined });

/** A promise to settle from outside; one that nobody asked for may be rejected without a warning. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: RapError): void;
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: RapError) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
