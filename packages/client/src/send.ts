import { abortError, type CallScope, callScope, type Dependent, Gate } from "@rap/core";
import {
  type Codec,
  CodecError,
  encodeMetadata,
  Metadata,
  type MetadataInit,
  messageOf,
  RapError,
  type Shape,
  Shape as Shapes,
  toMetadata,
} from "@rap/protocol";
import { type Connection, type Stream, type StreamSink, WheelEntry } from "@rap/transport";
import type { Waiting } from "./call-queue";
import { type CallOptions, inherit } from "./options";
import type { ClientCore } from "./pool";
import type { ClientSession } from "./session";

/** A function as the client knows it. */
export interface Target {
  readonly group: string;
  readonly name: string;
  /** `group/name`. */
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Options given with the function. */
  readonly options: CallOptions | undefined;
}

/** Arguments by position, or by name where the server declared names. */
export type CallArguments = readonly unknown[] | Readonly<Record<string, unknown>>;

const NO_OPTIONS: CallOptions = {};

/**
 * One call on the client: finds its time and its metadata, waits for a connection if it must, sends its arguments
 * and settles exactly once, after which nothing of it remains. What it settles with is the subclass's business.
 */
export abstract class OutgoingCall extends WheelEntry implements StreamSink, Waiting, Dependent {
  readonly shape: Shape;
  position = -1;
  protected readonly core: ClientCore;
  protected readonly target: Target;
  protected readonly options: CallOptions;
  protected stream: Stream | undefined;
  protected settled = false;
  #args: CallArguments | undefined;
  #metadata: Uint8Array | undefined;
  #timeout = 0;
  #retried = false;
  #scope: CallScope | undefined;
  #session: ClientSession | undefined;
  #scopeSignal: AbortSignal | undefined;
  #source: AsyncIterator<unknown> | undefined;
  #gate: Gate | undefined;

  constructor(core: ClientCore, target: Target, shape: Shape, args: CallArguments | undefined) {
    super();
    this.core = core;
    this.target = target;
    this.shape = shape;
    this.#args = args;
    this.#scope = callScope.getStore();
    const inherited = this.#scope?.options;
    this.options = inherited === undefined ? (target.options ?? NO_OPTIONS) : inherit(target.options, inherited);
  }

  /** Sends the call, now or as soon as there is a connection with room for it. Never throws. */
  launch(): void {
    try {
      this.#prepare();
      if (this.settled) return;
      this.#dispatch();
    } catch (error) {
      this.fail(localError(error));
    }
  }

  /** The same on a given connection. */
  launchOn(connection: Connection): void {
    this.#prepare();
    if (!this.settled) this.begin(connection);
  }

  begin(connection: Connection): void {
    try {
      this.#open(connection);
    } catch (error) {
      this.fail(localError(error));
    }
  }

  giveUp(error: RapError): void {
    this.fail(error);
  }

  onScopeCancel(error: RapError): void {
    this.cancel(
      new RapError(error.code, `the surrounding call ended: ${error.message}`, {
        cause: error,
        maybeExecuted: this.began,
      }),
    );
  }

  /** The call's time is over. */
  override expire(): void {
    const { text } = this.target;
    const where =
      this.stream === undefined ? `waiting for a connection${this.core.pool.trouble()}` : `at ${this.#peer}`;
    this.cancel(
      new RapError("DEADLINE_EXCEEDED", `${text} took longer than ${Math.round(this.#timeout)} ms, ${where}`, {
        maybeExecuted: this.began,
      }),
    );
  }

  /** Ends the call from this side, telling the server if it knows of it. */
  cancel(error: RapError): void {
    if (this.settled) return;
    const { stream } = this;
    this.fail(error);
    stream?.reset(error.code === "DEADLINE_EXCEEDED" ? DEADLINE : CANCELLED);
  }

  onHeaders(metadata: Metadata): void {
    this.#tell(this.options.onHeaders, metadata);
  }

  onReset(error: RapError | undefined): void {
    const { stream } = this;
    this.stopSource();
    if (stream?.localDone === false) stream.reset(CANCELLED);
    if (
      error?.maybeExecuted === false &&
      error.code === "UNAVAILABLE" &&
      !this.#retried &&
      this.#args !== undefined &&
      this.#session === undefined
    ) {
      // It provably never ran, so it can go elsewhere, once.
      this.#retried = true;
      this.stream = undefined;
      if (!this.settled) this.#relaunch();
      return;
    }
    if (error?.metadata.size) this.tellTrailers(error.metadata);
    this.fail(error ?? new RapError("INTERNAL", `${this.target.text} ended without a result`));
  }

  onWritable(): void {
    this.#gate?.open();
  }

  abstract onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void;
  abstract onEnd(trailers: Metadata | undefined): void;
  /** Settles the call with an error. Must call `settle` and do nothing if it has settled already. */
  abstract fail(error: RapError): void;

  /** The connection that the call went over. */
  get connection(): Connection {
    return this.stream!.connection;
  }

  /** Whether anything of the call may have reached a server. */
  protected get began(): boolean {
    return this.stream !== undefined;
  }

  protected get codec(): Codec {
    return this.stream!.connection.codec;
  }

  /** Tells the caller what came with the end of the call. */
  protected tellTrailers(metadata: Metadata): void {
    this.#tell(this.options.onTrailers, metadata);
  }

  /** The stream of the call is open. */
  protected opened(): void {}

  /** Lets go of everything the call holds. True the first time. */
  protected settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.slot >= 0) this.core.wheel.remove(this);
    if (this.position >= 0) (this.#session ?? this.core.pool).dequeue(this);
    this.#scope?.removeDependent(this);
    this.options.signal?.removeEventListener("abort", this);
    this.#scopeSignal?.removeEventListener("abort", this);
    this.#args = undefined;
    if (this.#source !== undefined) this.stopSource();
    return true;
  }

  /** The server needs no more of what the caller streams in. */
  protected stopSource(): void {
    const source = this.#source;
    this.#source = undefined;
    this.#gate?.open();
    source?.return?.().then(undefined, () => undefined);
  }

  /** EventListener of the signals. */
  handleEvent(event: { target: EventTarget | null }): void {
    this.cancel(abortError(event.target as AbortSignal, this.began));
  }

  /** A callback that throws is the caller's fault, and fails its call only. */
  #tell(callback: ((metadata: Metadata) => void) | undefined, metadata: Metadata): void {
    try {
      callback?.(metadata);
    } catch (error) {
      this.cancel(localError(error));
    }
  }

  #prepare(): void {
    const { signal, metadata, timeout } = this.options;
    if (signal !== undefined) this.#listen(signal);
    if (this.options.session !== null) {
      this.#session = (this.options.session ?? this.#scope?.clientSession) as ClientSession | undefined;
    }
    const given = this.#session === undefined ? toMetadata(metadata) : withSession(metadata, this.#session.id);
    if (given !== undefined) this.#metadata = encodeMetadata(given);
    const single = this.shape === Shapes.UNARY || this.shape === Shapes.CLIENT_STREAM;
    let limit = timeout ?? (single ? this.core.timeout : Number.POSITIVE_INFINITY);
    if (this.#scope !== undefined) {
      limit = Math.min(limit, this.#scope.remaining() ?? Number.POSITIVE_INFINITY);
      const outer = this.#scope.options?.signal;
      if (outer !== undefined && outer !== signal) {
        this.#scopeSignal = outer;
        this.#listen(outer);
      }
      if (!this.settled) this.#scope.addDependent(this);
    }
    if (this.settled || limit === Number.POSITIVE_INFINITY) return;
    this.#timeout = limit;
    if (limit > 0) this.core.wheel.add(this, limit);
    else {
      this.fail(
        new RapError("DEADLINE_EXCEEDED", `no time was left for ${this.target.text}`, { maybeExecuted: false }),
      );
    }
  }

  #listen(signal: AbortSignal): void {
    if (signal.aborted) this.fail(abortError(signal, false));
    else signal.addEventListener("abort", this);
  }

  /** To the session's connection, to the least busy one, or to those who wait. */
  #dispatch(): void {
    if (this.#session !== undefined) return this.#session.launch(this);
    const connection = this.core.pool.pick(this.shape);
    if (connection !== undefined) this.begin(connection);
    else this.core.pool.enqueue(this, this.options.waitForReady ?? true);
  }

  #relaunch(): void {
    try {
      this.#dispatch();
    } catch (error) {
      this.fail(localError(error));
    }
  }

  #open(connection: Connection): void {
    const { codec } = connection;
    const { shape, target } = this;
    const timeout = this.slot < 0 ? 0 : Math.max(1, Math.ceil(this.due - this.core.wheel.now()));
    if (shape === Shapes.UNARY || shape === Shapes.SERVER_STREAM) {
      const body = codec.encode(this.#args, "args");
      this.stream = connection.open(shape, target.bytes, timeout, this.#metadata, -1, body, false, true, this);
    } else if (shape === Shapes.CHANNEL) {
      this.stream = connection.open(shape, target.bytes, timeout, this.#metadata, -1, undefined, false, false, this);
    } else {
      const args = [...(this.#args as readonly unknown[])];
      const position = args.findIndex(isSource);
      const source = args[position];
      args[position] = null;
      const body = codec.encode(args, "args");
      this.stream = connection.open(shape, target.bytes, timeout, this.#metadata, position, body, false, false, this);
      // What was streamed cannot be streamed again.
      this.#args = undefined;
      void this.#send(source as AsyncIterable<unknown> | Iterable<unknown>, this.stream);
    }
    this.opened();
  }

  /** Streams the caller's items in, no faster than the server takes them. */
  async #send(source: AsyncIterable<unknown> | Iterable<unknown>, stream: Stream): Promise<void> {
    const gate = new Gate();
    this.#gate = gate;
    try {
      const iterator = iterate(source);
      this.#source = iterator;
      while (this.#source !== undefined) {
        const next = await iterator.next();
        if (this.#source === undefined) return;
        if (next.done === true) {
          this.#source = undefined;
          stream.end();
          return;
        }
        if (!stream.send(stream.connection.codec.encode(next.value, "item"), false, false)) await gate.wait();
      }
    } catch (error) {
      if (this.settled) return;
      const cause = RapError.is(error) ? error : localError(error);
      stream.reset(new RapError("CANCELLED", `the caller's stream failed: ${messageOf(error)}`));
      this.fail(cause);
    }
  }

  get #peer(): string {
    const { peer } = this.stream!.connection.socket;
    return peer.port === 0 ? peer.address : `${peer.address}:${peer.port}`;
  }
}

const CANCELLED = new RapError("CANCELLED", "the caller cancelled");
const DEADLINE = new RapError("DEADLINE_EXCEEDED", "the caller's time is over");

/** A call with one result. */
export class UnaryCall extends OutgoingCall {
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: RapError) => void;
  #value: unknown;
  #answered = false;

  constructor(
    core: ClientCore,
    target: Target,
    shape: Shape,
    args: CallArguments,
    resolve: (value: unknown) => void,
    reject: (error: RapError) => void,
  ) {
    super(core, target, shape, args);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override onMessage(bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    try {
      this.#value = this.codec.decode(bytes, start, end, owned);
      this.#answered = true;
    } catch (error) {
      const message = `the result of ${this.target.text} cannot be read: ${messageOf(error)}`;
      this.cancel(new RapError("INTERNAL", message, { cause: error }));
    }
  }

  override onEnd(trailers: Metadata | undefined): void {
    const { stream } = this;
    if (!this.#answered) this.fail(new RapError("INTERNAL", `${this.target.text} ended without a result`));
    else if (this.settle()) {
      if (trailers !== undefined) this.tellTrailers(trailers);
      this.#resolve(this.#value);
    }
    if (stream?.localDone === false) stream.reset(CANCELLED);
  }

  override fail(error: RapError): void {
    if (this.settle()) this.#reject(error);
  }
}

/** Metadata key under which a call names its session. */
const SESSION_KEY = "rap-session";

function withSession(metadata: MetadataInit | undefined, id: string): Metadata {
  return new Metadata(metadata).set(SESSION_KEY, id);
}

/** Whether an argument is a stream rather than a value: an async iterable, or an iterator that is no collection. */
export function isSource(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== "object" || value === null) return false;
  if (Symbol.asyncIterator in value) return true;
  return Symbol.iterator in value && typeof (value as { next?: unknown }).next === "function";
}

function iterate(source: AsyncIterable<unknown> | Iterable<unknown>): AsyncIterator<unknown> {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  const iterator = source[Symbol.iterator]();
  return {
    next: async () => iterator.next(),
    return: async () => iterator.return?.() ?? { done: true, value: undefined },
  };
}

/** An error of this side, before anything was sent. */
function localError(error: unknown): RapError {
  if (RapError.is(error)) return error;
  const invalid = error instanceof CodecError || (error as { code?: unknown })?.code === "ERR_RAP_METADATA";
  return new RapError(invalid ? "INVALID_ARGUMENT" : "INTERNAL", messageOf(error), {
    cause: error,
    maybeExecuted: false,
  });
}
