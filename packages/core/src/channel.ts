import {
  type Awaitable,
  type Channel,
  type Clock,
  type Codec,
  CodecError,
  type Message,
  Metadata,
  type MetadataInit,
  RapError,
  type ReadOptions,
  toMetadata,
} from "@rap/protocol";
import { abortError } from "./abort";
import { Gate } from "./gate";
import { Inbox, InboxIterator } from "./inbox";
import type { Envelope } from "./processor";
import { nextTurn } from "./turn";

/** What a conversation needs of the stream below it. */
export interface Port {
  readonly id: number;
  readonly localDone: boolean;
  send(body: Uint8Array, owned: boolean, end: boolean, metadata?: Metadata): boolean;
  end(trailers?: Metadata): void;
  fail(error: RapError): void;
  finish(): void;
  reset(error: RapError): void;
  consumed(cost: number): void;
}

/** A channel over a stream: the same on both sides. Its owner feeds it what comes on the stream. */
export class StreamChannel<In, Out> implements Channel<In, Out> {
  readonly metadata: Metadata;
  readonly #port: Port;
  readonly #codec: Codec;
  readonly #inbox: Inbox<In>;
  readonly #gate = new Gate();
  readonly #outbound: ((body: unknown, metadata: Metadata | undefined) => Awaitable<Envelope>) | undefined;
  #opening: (() => void) | undefined;
  /** The last of the writes that wait. */
  #line: Promise<void> | undefined;
  readonly #over = new AbortController();
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #writable = true;
  #localEnded = false;
  #peerEnded = false;
  #error: RapError | undefined;

  /**
   * `outbound` takes what is written through the processors; undefined when there are none. `opening` is called once,
   * before anything of this side leaves.
   */
  constructor(
    port: Port,
    codec: Codec,
    clock: Clock,
    metadata: Metadata | undefined,
    outbound: ((body: unknown, metadata: Metadata | undefined) => Awaitable<Envelope>) | undefined,
    opening?: () => void,
  ) {
    this.#port = port;
    this.#codec = codec;
    this.#outbound = outbound;
    this.#opening = opening;
    this.metadata = metadata ?? new Metadata();
    this.#inbox = new Inbox<In>((cost) => port.consumed(cost), clock);
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get id(): number {
    return this.#port.id;
  }

  get closed(): boolean {
    return this.#error !== undefined || (this.#localEnded && this.#peerEnded);
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  write(body: Out, options?: { metadata?: MetadataInit; signal?: AbortSignal }): Promise<void> {
    if (options !== undefined || this.#line !== undefined || !this.#writable || this.#outbound !== undefined) {
      return this.#write(body, options);
    }
    // What is sent at once needs no promise of its own.
    try {
      this.#send(body, undefined);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#writable ? SENT : this.#untilWritable(undefined);
  }

  async #write(body: Out, options: { metadata?: MetadataInit; signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const metadata = toMetadata(options.metadata);
    if (this.#line === undefined && this.#writable && this.#outbound === undefined) this.#send(body, metadata);
    else await this.#inLine(body, metadata, options.signal);
    await this.#untilWritable(options.signal);
  }

  /** Resolves when the peer has granted room for another message. */
  async #untilWritable(signal: AbortSignal | undefined): Promise<void> {
    while (!this.#writable && this.#open) await this.#room(signal);
    if (this.#error !== undefined) throw this.#error;
  }

  async read(options?: ReadOptions): Promise<Message<In>> {
    const message = await this.#inbox.next(options);
    if (message === undefined) throw new RapError("OUT_OF_RANGE", "the peer has ended the channel");
    return message;
  }

  async readBody(options?: ReadOptions): Promise<In> {
    return (await this.read(options)).body;
  }

  async loop(flag = true): Promise<boolean> {
    if (!flag || this.closed) return false;
    // A loop that only writes must not keep the end of the channel from being noticed.
    if (this.#inbox.size === 0) await nextTurn();
    return !this.closed && !this.#inbox.done;
  }

  iter(): AsyncIterableIterator<Message<In>> {
    return new InboxIterator(this.#inbox, (message) => message);
  }

  iterBody(): AsyncIterableIterator<In> {
    return new InboxIterator(this.#inbox, bodyOf);
  }

  [Symbol.asyncIterator](): AsyncIterator<In> {
    return this.iterBody();
  }

  async end(): Promise<void> {
    if (this.#localEnded || this.#error !== undefined) return;
    this.#localEnded = true;
    this.begin();
    this.#port.end();
    this.#settleIfOver();
  }

  async close(reason?: unknown): Promise<void> {
    if (this.closed) return;
    if (reason === undefined) {
      this.#localEnded = true;
      this.#peerEnded = true;
      this.begin();
      this.#port.finish();
      this.#inbox.end();
      this.#inbox.clear();
      this.#settleIfOver();
      return;
    }
    const error = RapError.is(reason) ? reason : new RapError("CANCELLED", String(reason));
    this.#port.fail(error);
    this.fail(error);
  }

  waitClose(): Promise<void> {
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  toWeb(): { readable: ReadableStream<In>; writable: WritableStream<Out> } {
    const readable = new ReadableStream<In>(
      {
        pull: async (controller) => {
          const message = await this.#inbox.next();
          if (message === undefined) controller.close();
          else controller.enqueue(message.body);
        },
        cancel: (reason) => this.close(reason ?? "the reader lost interest"),
      },
      { highWaterMark: 0 },
    );
    const writable = new WritableStream<Out>({
      write: (body) => this.write(body),
      close: () => this.end(),
      abort: (reason) => this.close(reason ?? "the writer gave up"),
    });
    return { readable, writable };
  }

  // From the owner.

  /** Something of this side is about to leave. */
  begin(): void {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.();
  }

  /** A message came. */
  receive(body: In, metadata: Metadata | undefined, cost: number): void {
    this.#inbox.push(body, metadata, cost);
  }

  /** The peer sends nothing more. */
  receiveEnd(): void {
    this.#peerEnded = true;
    this.#inbox.end();
    this.#settleIfOver();
  }

  /** The peer neither sends nor reads any more; what it sent before can still be read. */
  receiveClose(): void {
    this.#peerEnded = true;
    this.#localEnded = true;
    this.#inbox.end();
    this.#settleIfOver();
  }

  /** The conversation is over because of an error. */
  fail(error: RapError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#inbox.end(error);
    this.#gate.open();
    this.#over.abort(error);
    this.#resolveClosed();
  }

  /** There is room to write. */
  writable(): void {
    this.#writable = true;
    this.#gate.open();
  }

  get #open(): boolean {
    return this.#error === undefined && !this.#localEnded;
  }

  #send(body: unknown, metadata: Metadata | undefined): void {
    if (this.#error !== undefined) throw this.#error;
    if (this.#localEnded) {
      const what = this.closed ? "the channel is closed" : "this side of the channel has ended";
      throw new RapError("FAILED_PRECONDITION", what);
    }
    const bytes = this.#encode(body);
    this.begin();
    this.#writable = this.#port.send(bytes, false, false, metadata);
  }

  /** Writes that nobody awaited keep their order, whoever has to wait for room or for a processor. */
  async #inLine(body: unknown, metadata: Metadata | undefined, signal: AbortSignal | undefined): Promise<void> {
    const before = this.#line;
    let leave!: () => void;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#line = mine;
    try {
      await before;
      while (!this.#writable && this.#open) await this.#room(signal);
      if (this.#outbound === undefined) this.#send(body, metadata);
      else {
        const message = await this.#outbound(body, metadata);
        this.#send(message.body, message.metadata.size > 0 ? message.metadata : undefined);
      }
    } finally {
      leave();
      if (this.#line === mine) this.#line = undefined;
    }
  }

  #encode(body: unknown): Uint8Array {
    try {
      return this.#codec.encode(body, "message");
    } catch (error) {
      if (CodecError.is(error))
        throw new RapError("INVALID_ARGUMENT", error.message, { cause: error, maybeExecuted: false });
      throw error;
    }
  }

  /** Waits for room, or rejects when the signal fires first. */
  async #room(signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return this.#gate.wait();
    let onAbort!: () => void;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(abortError(signal));
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      await Promise.race([this.#gate.wait(), aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #settleIfOver(): void {
    if (!this.#localEnded || !this.#peerEnded) return;
    this.#gate.open();
    if (!this.#over.signal.aborted) this.#over.abort(new RapError("CANCELLED", "the channel is closed"));
    this.#resolveClosed();
  }
}

const SENT = Promise.resolve();

function bodyOf<T>(message: Message<T>): T {
  return message.body;
}
