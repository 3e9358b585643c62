import {
  abortError,
  type CallScope,
  callScope,
  type Dependent,
  type Envelope,
  isPromise,
  ProcessedSink,
  type ProcessorChain,
} from "@rap/core";
import {
  type Awaitable,
  type CallKind,
  type Codec,
  CodecError,
  encodeMetadata,
  isMetadataError,
  Metadata,
  type MetadataInit,
  messageOf,
  RapError,
  type Shape,
  Shape as Shapes,
  toMetadata,
} from "@rap/protocol";
import { type Connection, type Stream, type StreamSink, WheelEntry } from "@rap/transport";
import type { CallQueue, Waiting } from "./call-queue";
import { type CallOptions, inherit } from "./options";
import type { ClientCore } from "./pool";
import type { ClientSession } from "./session";
import { type Cancellable, unwatch, watch } from "./signal-watch";
import type { Target } from "./target";
import { isSource, type Source, Upload } from "./upload";

/** Arguments by position, or by name where the server declared names. */
export type CallArguments = readonly unknown[] | Readonly<Record<string, unknown>>;

const NO_OPTIONS: CallOptions = {};
const KINDS: readonly CallKind[] = ["unary", "server_stream", "client_stream", "bidi_stream", "channel"];

/**
 * One call on the client: finds its time and its metadata, waits for a connection if it must, sends its arguments
 * and settles exactly once, after which nothing of it remains. What it settles with is the subclass's business.
 */
export abstract class OutgoingCall extends WheelEntry implements StreamSink, Waiting, Dependent, Cancellable {
  readonly shape: Shape;
  override awaited = true;
  queue: CallQueue | undefined = undefined;
  nextWaiting: Waiting | undefined = undefined;
  previousWaiting: Waiting | undefined = undefined;
  protected readonly core: ClientCore;
  protected readonly target: Target;
  protected readonly options: CallOptions;
  protected stream: Stream | undefined;
  protected settled = false;
  #args: CallArguments | undefined;
  #metadata: Uint8Array | undefined;
  /** The metadata before the processors have seen it. */
  #given: Metadata | undefined;
  /** Tells the processors that the call is over. */
  #exit: ((error?: unknown) => void) | undefined;
  /** The argument that is streamed, if one is. */
  #upload: Upload | undefined;
  #timeout = 0;
  #retried = false;
  /** Whether a part of the time went by before the call was sent. */
  #waited = false;
  #scope: CallScope | undefined;
  #session: ClientSession | undefined;
  /** The connection that it must go over, room or not. */
  #pinned: Connection | undefined;
  #scopeSignal: AbortSignal | undefined;

  constructor(core: ClientCore, target: Target, shape: Shape, args: CallArguments | undefined) {
    super();
    this.core = core;
    this.target = target;
    this.shape = shape;
    this.#args = args;
    if (shape === Shapes.CLIENT_STREAM || shape === Shapes.BIDI_STREAM) this.#split(args as readonly unknown[]);
    this.#scope = callScope.getStore();
    const inherited = this.#scope?.options;
    this.options = inherited === undefined ? (target.options ?? NO_OPTIONS) : inherit(target.options, inherited);
  }

  /** Sends the call, now or as soon as there is a connection with room for it. Never throws. */
  launch(): void {
    try {
      this.#prepare();
      if (this.settled) return;
      const { processors } = this.core;
      if (processors === undefined) this.#dispatch();
      else this.#process(processors);
    } catch (error) {
      this.fail(this.#local(error));
    }
  }

  /** The same on a given connection and no other. */
  launchOn(connection: Connection): void {
    this.#pinned = connection;
    this.launch();
  }

  begin(connection: Connection): void {
    try {
      this.#open(connection);
    } catch (error) {
      this.fail(this.#local(error));
    }
  }

  giveUp(error: RapError): void {
    this.fail(error);
  }

  /** Whatever became of the surrounding call's own caller, its functions and servers have not failed. */
  onScopeCancel(error: RapError): void {
    const code = error.code === "DEADLINE_EXCEEDED" ? error.code : "CANCELLED";
    this.cancel(
      new RapError(code, `the surrounding call ended: ${error.message}`, {
        cause: error,
        maybeExecuted: this.began,
      }),
    );
  }

  /** The call's time is over. */
  override expire(): void {
    this.core.refused.timeout++;
    const { text } = this.target;
    const trouble = this.began ? "" : this.core.pool.trouble();
    const where = this.began ? `at ${this.#peer}` : `waiting for a connection${trouble}`;
    this.cancel(
      new RapError("DEADLINE_EXCEEDED", `${text} took longer than ${Math.round(this.#timeout)} ms, ${where}`, {
        // Words that name an address must not travel on to a caller of our own.
        origin: this.began || trouble !== "" ? "transport" : "local",
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
    this.#upload?.stop();
    if (stream?.localDone === false) stream.reset(CANCELLED);
    if (
      error?.maybeExecuted === false &&
      error.code === "UNAVAILABLE" &&
      !this.#retried &&
      this.#args !== undefined &&
      this.#session === undefined &&
      this.#pinned === undefined
    ) {
      // It provably never ran, so it can go elsewhere, once.
      this.#retried = true;
      this.#waited = true;
      this.stream = undefined;
      if (!this.settled) this.#tryDispatch();
      return;
    }
    if (error?.metadata.size) this.tellTrailers(error.metadata);
    this.fail(error ?? new RapError("INTERNAL", `${this.target.text} ended without a result`));
  }

  onWritable(): void {
    this.#upload?.writable();
  }

  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    let body: unknown;
    try {
      body = this.codec.decode(bytes, start, end, owned);
    } catch (error) {
      this.unreadable(error);
      return;
    }
    this.receive(body, metadata, cost);
  }

  unreadable(error: unknown): void {
    const message = `what ${this.target.text} answered cannot be read: ${messageOf(error)}`;
    this.cancel(new RapError("INTERNAL", message, { cause: error }));
  }

  rejected(error: unknown): void {
    this.cancel(RapError.is(error) ? error : new RapError("INTERNAL", messageOf(error), { cause: error }));
  }

  envelope(body: unknown, metadata: Metadata | undefined): Envelope {
    const { name, group } = this.target;
    return { body, metadata: metadata ?? new Metadata(), method: name, group, session: this.#session?.id };
  }

  get waitsForReady(): boolean {
    return this.options.waitForReady ?? true;
  }

  /** A message came: the result, or an item. */
  abstract receive(body: unknown, metadata: Metadata | undefined, cost: number): void;
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

  get codec(): Codec {
    return this.stream!.connection.codec;
  }

  /** Tells the caller what came with the end of the call. */
  protected tellTrailers(metadata: Metadata): void {
    this.#tell(this.options.onTrailers, metadata);
  }

  /** The stream of the call is open. */
  protected opened(): void {}

  /** Lets go of everything the call holds. True the first time. */
  protected settle(error?: RapError): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.#exit?.(error);
    if (this.slot >= 0) this.core.wheel.remove(this);
    this.queue?.delete(this);
    this.#scope?.removeDependent(this);
    if (this.options.signal !== undefined) unwatch(this.options.signal, this);
    if (this.#scopeSignal !== undefined) unwatch(this.#scopeSignal, this);
    this.#args = undefined;
    this.#upload?.stop();
    return true;
  }

  /** The caller's signal fired. */
  onSignal(signal: AbortSignal): void {
    this.cancel(abortError(signal, this.began));
  }

  /** A callback that throws is the caller's fault, and fails its call only. */
  #tell(callback: ((metadata: Metadata) => void) | undefined, metadata: Metadata): void {
    try {
      callback?.(metadata);
    } catch (error) {
      this.cancel(this.#local(error));
    }
  }

  #prepare(): void {
    const { signal, metadata, timeout } = this.options;
    if (signal !== undefined) this.#listen(signal);
    if (this.options.session !== null) {
      this.#session = (this.options.session ?? this.#scope?.sessions?.get(this.core)) as ClientSession | undefined;
      if (this.#session !== undefined && this.#session.core !== this.core) {
        throw new RapError("INVALID_ARGUMENT", "the session is another client's", { maybeExecuted: false });
      }
    }
    const given = this.#session === undefined ? toMetadata(metadata) : withSession(metadata, this.#session.id);
    if (given !== undefined && this.core.processors === undefined) this.#metadata = encodeMetadata(given);
    else this.#given = given;
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
      this.core.refused.timeout++;
      this.fail(
        new RapError("DEADLINE_EXCEEDED", `no time was left for ${this.target.text}`, { maybeExecuted: false }),
      );
    }
  }

  #listen(signal: AbortSignal): void {
    if (signal.aborted) this.fail(abortError(signal, false));
    else watch(signal, this);
  }

  /** To the session's connection, to the least busy one, or to those who wait. */
  #dispatch(): void {
    if (this.#pinned !== undefined) return this.begin(this.#pinned);
    const connection = this.#session === undefined ? this.core.pool.pick(this.shape) : this.#session.pick(this.shape);
    if (connection !== undefined) return this.begin(connection);
    this.#waited = true;
    if (this.#session !== undefined) this.#session.enqueue(this);
    else this.core.pool.enqueue(this);
  }

  #tryDispatch(): void {
    try {
      this.#dispatch();
    } catch (error) {
      this.fail(this.#local(error));
    }
  }

  /** Takes the streamed argument out of the others. */
  #split(args: readonly unknown[]): void {
    const rest = [...args];
    const index = rest.findIndex(isSource);
    this.#upload = new Upload(rest[index] as Source, index);
    rest[index] = null;
    this.#args = rest;
  }

  /** Takes the arguments through the processors, and then sends the call. */
  #process(processors: ProcessorChain): void {
    const message = this.envelope(this.#args, this.#given);
    if (processors.watchesCalls) this.#enter(processors, message.metadata);
    // A channel has no arguments: its messages are processed one by one.
    if (this.shape === Shapes.CHANNEL) return this.#dispatchProcessed(message);
    const processed = processors.outbound("onRequest", message);
    if (isPromise(processed)) this.#awaitProcessed(processed);
    else this.#dispatchProcessed(processed);
  }

  #enter(processors: ProcessorChain, metadata: Metadata): void {
    const { name, group } = this.target;
    this.#exit = processors.enter({ method: name, group, kind: KINDS[this.shape]!, metadata });
  }

  #awaitProcessed(processed: PromiseLike<Envelope>): void {
    this.#waited = true;
    processed
      .then((message) => this.#dispatchProcessed(message))
      .then(undefined, (error: unknown) => this.fail(this.#local(error)));
  }

  #dispatchProcessed({ body, metadata }: Envelope): void {
    // A processor may have ended it, by the caller's signal.
    if (this.settled) return;
    this.#args = body as CallArguments;
    if (metadata.size > 0) this.#metadata = encodeMetadata(metadata);
    this.#dispatch();
  }

  /** A message that the call sends after its arguments, through the processors. */
  protected outbound(body: unknown, metadata: Metadata | undefined): Awaitable<Envelope> {
    return this.core.processors!.outbound("onRequest", this.envelope(body, metadata));
  }

  #open(connection: Connection): void {
    const { shape, target } = this;
    const left = this.#waited ? this.due - this.core.wheel.now() : this.#timeout;
    const timeout = this.slot < 0 ? 0 : Math.max(1, Math.ceil(left));
    // Asked only where there may be something large: asking each time cost a tenth of the rate of small calls.
    const large = endsInObject(this.#args) ? connection.codec.encodeLarge?.(this.#args) : undefined;
    const body = shape === Shapes.CHANNEL ? undefined : (large?.head ?? connection.codec.encode(this.#args, "args"));
    const end = shape === Shapes.UNARY || shape === Shapes.SERVER_STREAM;
    const { processors } = this.core;
    const sink = processors === undefined ? this : new ProcessedSink(this, processors, "onResponse");
    this.stream = connection.open(
      shape,
      target.bytes,
      timeout,
      this.#metadata,
      this.#upload === undefined ? -1 : this.#upload.index,
      body,
      end,
      sink,
      large?.tail,
    );
    if (this.#upload !== undefined) {
      // What was streamed cannot be streamed again.
      this.#retried = true;
      void this.#send(this.#upload, this.stream);
    }
    this.opened();
  }

  /** Streams the caller's items in. */
  async #send(upload: Upload, stream: Stream): Promise<void> {
    try {
      if (await upload.send((item) => this.#sendItem(stream, item))) stream.end();
    } catch (error) {
      if (this.settled) return;
      stream.reset(new RapError("CANCELLED", `the caller's stream failed: ${messageOf(error)}`));
      const failure = this.#local(error);
      // The function runs already, whatever the error says of another call.
      this.fail(new RapError(failure.code, failure.message, { cause: error, ...failure, maybeExecuted: true }));
    }
  }

  /** Sends one item; false when the next must wait. */
  #sendItem(stream: Stream, item: unknown): Awaitable<boolean> {
    const { codec } = stream.connection;
    if (this.core.processors === undefined) return stream.send(codec.encode(item, "item"), false);
    const send = ({ body, metadata }: Envelope) =>
      stream.send(codec.encode(body, "item"), false, metadata.size > 0 ? metadata : undefined);
    const processed = this.outbound(item, undefined);
    return isPromise(processed) ? processed.then(send) : send(processed);
  }

  /** An error of this side; one that is no RapError came before anything was sent. */
  #local(error: unknown): RapError {
    if (RapError.is(error)) return error;
    const unfit = isMetadataError(error);
    if (unfit && error.limit !== undefined) this.core.refused[error.limit]++;
    return new RapError(unfit || CodecError.is(error) ? "INVALID_ARGUMENT" : "INTERNAL", messageOf(error), {
      cause: error,
      maybeExecuted: false,
    });
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

  override receive(body: unknown): void {
    if (this.#answered) {
      this.cancel(new RapError("INTERNAL", `${this.target.text} has one result, but the server sent another`));
      return;
    }
    this.#value = body;
    this.#answered = true;
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
    if (this.settle(error)) this.#reject(error);
  }
}

/** Metadata key under which a call names its session. */
const SESSION_KEY = "rap-session";

function withSession(metadata: MetadataInit | undefined, id: string): Metadata {
  return new Metadata(metadata).set(SESSION_KEY, id);
}

function endsInObject(args: CallArguments | undefined): boolean {
  return Array.isArray(args) && typeof args[args.length - 1] === "object";
}
