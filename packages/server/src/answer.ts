import {
  type CallScope,
  type Connection,
  callScope,
  type Dependent,
  type Envelope,
  Gate,
  Inbox,
  InboxIterator,
  type InheritedOptions,
  isPromise,
  type Logger,
  type ProcessorChain,
  type RequestContext,
  runMessageMiddleware,
  type ServerSession,
  StreamChannel,
} from "@rap/core";
import {
  type Awaitable,
  type CallKind,
  type Codec,
  decodeMetadata,
  isMetadataError,
  Metadata,
  messageOf,
  type OpenHead,
  RapError,
  Shape,
} from "@rap/protocol";
import { type Stream, type StreamSink, WheelEntry } from "@rap/transport";
import { failureOf } from "./failure";
import type { Method } from "./registry";
import type { ServerConnection } from "./server-connection";
import { SESSION_KEY } from "./sessions";

const KINDS: readonly CallKind[] = ["unary", "server_stream", "client_stream", "bidi_stream", "channel"];

/**
 * One call on the server, from its OPEN to its last frame: reads the arguments, runs the function, sends what comes
 * of it. It is also the call's context and the scope that calls made inside inherit from, so that a plain call costs
 * one object.
 */
export class ServerCall extends WheelEntry implements StreamSink, RequestContext, CallScope {
  readonly #connection: ServerConnection;
  readonly #stream: Stream;
  readonly #method: Method;
  readonly #streamArg: number;
  readonly #startedAt: number;
  readonly #timeout: number;
  /** Whether the time is the server's own limit, which the caller does not know of and must be told. */
  readonly #ownTimeout: boolean;
  #metadata: Metadata | undefined;
  #session: ServerSession | undefined;
  #headers: Metadata | undefined;
  #trailers: Metadata | undefined;
  #values: Map<symbol, unknown> | undefined;
  #log: Logger | undefined;
  #abort: AbortController | undefined;
  #cancelled: RapError | undefined;
  #dependents: Set<Dependent> | undefined;
  /** What the caller streams in. */
  #inbox: Inbox<unknown> | undefined;
  #channel: StreamChannel<unknown, unknown> | undefined;
  #gate: Gate | undefined;
  /** What the function streams out. */
  #iterator: AsyncIterator<unknown> | undefined;
  /** It is not wanted any more, and comes to its `finally`. */
  #leaving: Promise<void> | undefined;
  /** Tells the processors that the call is over. */
  #exit: ((error?: unknown) => void) | undefined;
  /** When the caller gave the call up though there was time left; 0 while it has not. */
  #givenUpAt = 0;
  #started = false;
  /** The function itself was called: no schema and no middleware kept the call from it. */
  #ran = false;
  /** The caller is done with its channel, which is no reason not to read what it sent. */
  #callerLeft = false;
  #released = false;

  constructor(connection: ServerConnection, stream: Stream, method: Method, head: OpenHead, bytes: Uint8Array) {
    super();
    this.#connection = connection;
    this.#stream = stream;
    this.#method = method;
    this.#streamArg = head.streamArg;
    if (head.metadataEnd > head.metadataStart) {
      this.#metadata = readMetadata(bytes, head.metadataStart, head.metadataEnd, connection);
      const id = this.#metadata.get(SESSION_KEY);
      if (id !== undefined) {
        this.#session = connection.session(id);
        // Not the function's: it may pass its metadata on, to a server that knows no such session.
        this.#metadata.delete(SESSION_KEY);
      }
    }
    const own = connection.ownTimeout(method, head.shape);
    this.#ownTimeout = own > 0 && (head.timeout === 0 || own < head.timeout);
    this.#timeout = this.#ownTimeout ? own : head.timeout;
    this.#startedAt = this.#timeout > 0 ? connection.wire.readAt : 0;
    const { processors } = connection.server;
    if (processors?.watchesCalls) this.#exit = processors.enter(this);
    // Nothing throws from here on, so nothing is left in the wheel.
    if (this.#timeout > 0) connection.server.wheel.add(this, this.#timeout, this.#startedAt);
    if (head.shape === Shape.CHANNEL) this.#openChannel();
  }

  // The call's context.

  get id(): string {
    return `${this.#connection.id}-${this.#stream.id}`;
  }

  get kind(): CallKind {
    return KINDS[this.#stream.shape]!;
  }

  get method(): string {
    return this.#method.name;
  }

  get name(): string {
    return this.#method.name;
  }

  get group(): string {
    return this.#method.group;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#cancelled !== undefined) this.#abort.abort(this.#cancelled);
    }
    return this.#abort.signal;
  }

  get deadline(): { remaining(): number } | undefined {
    if (this.#timeout === 0) return undefined;
    return { remaining: () => Math.max(0, this.#startedAt + this.#timeout - this.#connection.now()) };
  }

  get metadata(): Metadata {
    this.#metadata ??= new Metadata();
    return this.#metadata;
  }

  get responseHeaders(): Metadata {
    this.#headers ??= new Metadata();
    return this.#headers;
  }

  get responseTrailers(): Metadata {
    this.#trailers ??= new Metadata();
    return this.#trailers;
  }

  get session(): ServerSession | undefined {
    // A stream outside a session has one of its own, which ends with it.
    if (this.#stream.shape !== Shape.UNARY) this.#session ??= this.#connection.ownSession();
    return this.#session;
  }

  get conn(): Connection {
    return this.#connection;
  }

  get connection(): Connection {
    return this.#connection;
  }

  get log(): Logger {
    if (this.#log === undefined) {
      const { logger } = this.#connection.server;
      this.#log = logger.child?.({ method: this.#method.target, call: this.id }) ?? logger;
    }
    return this.#log;
  }

  get values(): Map<symbol, unknown> {
    this.#values ??= new Map();
    return this.#values;
  }

  // The scope of calls made inside.

  get context(): RequestContext {
    return this;
  }

  get options(): InheritedOptions | undefined {
    return undefined;
  }

  get sessions(): undefined {
    return undefined;
  }

  remaining(): number | undefined {
    return this.deadline?.remaining();
  }

  addDependent(dependent: Dependent): void {
    if (this.#cancelled !== undefined) dependent.onScopeCancel(this.#cancelled);
    else {
      this.#dependents ??= new Set();
      this.#dependents.add(dependent);
    }
  }

  removeDependent(dependent: Dependent): void {
    this.#dependents?.delete(dependent);
  }

  // What comes on the stream.

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

  /** A message came: the arguments, or an item that the caller streams in. */
  receive(body: unknown, metadata: Metadata | undefined, cost: number): void {
    if (this.#channel !== undefined) this.#channel.receive(body, metadata, cost);
    else if (!this.#started) this.#readArguments(body);
    else this.#inbox?.push(body, metadata, cost);
  }

  /** A message cannot be read: it ends the call, or what the caller streams into it. */
  unreadable(error: unknown): void {
    const what = this.#started ? "a message for" : "the arguments of";
    this.rejected(
      new RapError("INVALID_ARGUMENT", `${what} ${this.#method.target} cannot be read: ${messageOf(error)}`, {
        cause: error,
      }),
    );
  }

  /** A message was refused before the function saw it. */
  rejected(error: unknown): void {
    const failure = failureOf(error, this.#method.target, this.#connection);
    if (!this.#started) {
      this.#started = true;
      return this.#finish(failure);
    }
    // The caller is told when the function is done: it takes that for a free place.
    this.cancel(failure);
  }

  envelope(body: unknown, metadata: Metadata | undefined): Envelope {
    const { name, group } = this.#method;
    const beside = metadata ?? (this.#started ? new Metadata() : this.metadata);
    return { body, metadata: beside, method: name, group, session: this.#session?.id };
  }

  onHeaders(): void {}

  onEnd(): void {
    this.#inbox?.end();
    this.#channel?.receiveEnd();
    if (!this.#started) {
      this.#started = true;
      this.#finish(new RapError("INVALID_ARGUMENT", `${this.#method.target} was called without arguments`));
    }
  }

  onReset(error: RapError | undefined): void {
    if (error === undefined) return this.#onFinished();
    if (error.code !== "DEADLINE_EXCEEDED") this.#givenUpAt = this.#connection.now();
    else if (this.#cancelled === undefined) this.#connection.onRefused("timeout");
    this.cancel(error.origin === "remote" ? new RapError(error.code, error.message, { origin: "remote" }) : error);
    if (!this.#started) {
      this.#started = true;
      this.#finish(error);
    }
  }

  /** The caller is done with a channel: its function is told, and can still read what was sent before. */
  #onFinished(): void {
    this.#callerLeft = true;
    this.#channel?.receiveClose();
    this.cancel(new RapError("CANCELLED", "the caller has closed the channel", { origin: "remote" }));
  }

  onWritable(): void {
    this.#gate?.open();
    this.#channel?.writable();
  }

  /** The call's time is over. */
  override expire(): void {
    if (this.#cancelled !== undefined) return this.#abandon(this.#cancelled);
    const error = new RapError(
      "DEADLINE_EXCEEDED",
      `${this.#method.target} took longer than ${Math.round(this.#timeout)} ms`,
    );
    this.#connection.onRefused(this.#ownTimeout ? "maxTimeout" : "timeout");
    // A caller whose own time is over has left; it is told when the function is done, as then a place is free.
    if (this.#ownTimeout) this.#stream.fail(error);
    this.cancel(error);
  }

  /** Tells the function, and every call it made, that nobody waits for it any more. */
  cancel(error: RapError): void {
    if (this.#cancelled !== undefined) return;
    this.#cancelled = error;
    this.#inbox?.end(error);
    if (this.#channel?.closed === false) this.#channel.fail(error);
    // Listeners are the function's code, so context() is there for them too.
    if (this.#abort !== undefined) callScope.run(this, () => this.#abort?.abort(error));
    const dependents = this.#dependents;
    this.#dependents = undefined;
    if (dependents !== undefined) for (const dependent of dependents) dependent.onScopeCancel(error);
    this.#gate?.open();
    const { wheel, limits } = this.#connection.server;
    // The deadline is of no matter any more, and must not free the place of a function that runs on.
    if (this.slot >= 0) wheel.remove(this);
    if (this.#iterator === undefined || this.#released) return;
    wheel.add(this, limits.generatorReturnTimeout);
    this.#leaving = callScope.run(this, endIterator, this);
  }

  /** A generator that waits for something else than its signal never reaches its `finally`. */
  #abandon(error: RapError): void {
    this.#connection.onRefused("generatorReturnTimeout");
    this.#connection.logger.warn({ method: this.#method.target }, "a generator went on after its call was cancelled");
    this.#finish(error);
  }

  /** The server goes down: the caller is told at once. */
  abort(error: RapError): void {
    this.#stream.fail(error);
    this.cancel(error);
  }

  #readArguments(args: unknown): void {
    this.#started = true;
    if (Array.isArray(args) && !this.#method.checked) this.#run(args);
    else this.#bind(args);
  }

  /** Checks the arguments; only an asynchronous schema makes the call wait. */
  #bind(args: unknown): void {
    let bound: unknown[] | Promise<unknown[]>;
    try {
      bound = this.#method.bind(args, this.#streamArg);
    } catch (error) {
      return this.#fail(error);
    }
    if (bound instanceof Promise) {
      this.#prepareStreamArg();
      bound.then(
        (checked) => this.#run(checked),
        (error: unknown) => this.#fail(error),
      );
    } else this.#run(bound);
  }

  #run(args: unknown[]): void {
    if (this.#cancelled !== undefined) return this.#finish(this.#cancelled);
    if (this.#streamArg >= 0) {
      if (this.#streamArg > args.length) {
        return this.#finish(new RapError("INVALID_ARGUMENT", `there is no argument ${this.#streamArg} to stream`));
      }
      this.#prepareStreamArg();
      args[this.#streamArg] = itemsOf(this.#inbox!);
    }
    if (args.length > MAX_ARGUMENTS) {
      return this.#finish(new RapError("INVALID_ARGUMENT", `${args.length} arguments are too many`));
    }
    try {
      const result: unknown = callScope.run(this, invoke, this, args);
      if (isThenable(result)) this.#await(result);
      else this.#succeed(result);
    } catch (error) {
      this.#fail(error);
    }
  }

  // A method with closures allocates for them also where it needs none, so those stand apart from every call's way.

  #await(result: PromiseLike<unknown>): void {
    result.then(
      (value) => this.#succeed(value),
      (error: unknown) => this.#fail(error),
    );
  }

  /** Runs the function, through the middleware if there is any. Called inside the call's scope. */
  invoke(args: unknown[]): unknown {
    const { messageMiddleware } = this.#connection.server;
    return messageMiddleware.length === 0
      ? this.invokeFunction(args)
      : runMessageMiddleware(messageMiddleware, this, args, invokeFunction);
  }

  /** Runs the function itself, here or in a worker. */
  invokeFunction(args: unknown[]): unknown {
    this.#ran = true;
    const { worker, call } = this.#method;
    if (worker === undefined) return call(...args);
    return this.#connection.server.workers.run(worker, args, this.signal);
  }

  /** Never throws, whatever the function gave: an object can do anything when it is looked at. */
  #succeed(value: unknown): void {
    try {
      this.#deliver(value);
    } catch (error) {
      this.#fail(error);
    }
  }

  #deliver(value: unknown): void {
    const { shape } = this.#stream;
    const { target, checkResult } = this.#method;
    const streams = shape === Shape.SERVER_STREAM || shape === Shape.BIDI_STREAM;
    if (isAsyncIterable(value)) {
      if (streams) {
        void callScope.run(this, pump, this, value);
        return;
      }
      this.#iterator = value[Symbol.asyncIterator]();
      void callScope.run(this, endIterator, this);
      throw wrongShape(target, "is a stream: call it as one (registerGen)");
    }
    if (streams) throw wrongShape(target, "is not a stream: call it as a plain function (register)");
    const checked = checkResult === undefined ? value : checkResult(value);
    if (checkResult !== undefined && checked instanceof Promise) this.#awaitCheck(checked);
    else this.#reply(checked);
  }

  #awaitCheck(checked: Promise<unknown>): void {
    checked.then(
      (result) => this.#reply(result),
      (error: unknown) => this.#fail(error),
    );
  }

  #reply(value: unknown): void {
    const { processors } = this.#connection.server;
    if (processors === undefined) this.#sendReply(value, undefined);
    else this.#process(value, processors);
  }

  #process(value: unknown, processors: ProcessorChain): void {
    try {
      const message = processors.outbound("onResponse", this.envelope(value, undefined));
      if (isPromise(message)) this.#awaitProcessed(message);
      else this.#sendProcessed(message);
    } catch (error) {
      this.#fail(error);
    }
  }

  #awaitProcessed(message: PromiseLike<Envelope>): void {
    message.then((processed) => this.#sendProcessed(processed)).then(undefined, (error: unknown) => this.#fail(error));
  }

  #sendProcessed({ body, metadata }: Envelope): void {
    this.#sendReply(body, metadata.size > 0 ? metadata : undefined);
  }

  #sendReply(value: unknown, metadata: Metadata | undefined): void {
    // What a function makes of its cancelling is no result.
    if (this.#cancelled !== undefined) return this.#finish(this.#cancelled);
    try {
      const large = typeof value === "object" ? this.codec.encodeLarge?.(value) : undefined;
      const body = large?.head ?? this.codec.encode(value, "result");
      this.#sendHeaders();
      const trailers = this.#trailers !== undefined && this.#trailers.size > 0;
      if (large === undefined) this.#stream.send(body, !trailers, metadata);
      else this.#stream.sendLarge(large, !trailers, metadata);
      if (trailers) this.#stream.end(this.#trailers);
    } catch (error) {
      return this.#fail(error);
    }
    this.#release();
  }

  /** Sends what an iterable gives, no faster than the caller takes it. Called inside the call's scope. */
  async pump(source: AsyncIterable<unknown>): Promise<void> {
    const stream = this.#stream;
    const codec = this.codec;
    const { checkResult } = this.#method;
    const { processors } = this.#connection.server;
    const gate = new Gate();
    this.#gate = gate;
    try {
      const iterator = source[Symbol.asyncIterator]();
      this.#iterator = iterator;
      if (this.#cancelled !== undefined) await iterator.return?.();
      let headersSent = this.#sendHeaders();
      while (this.#cancelled === undefined) {
        const next = await iterator.next();
        // A generator's body begins to run with the first item.
        if (!headersSent) headersSent = this.#sendHeaders() || !next.done;
        if (next.done === true || this.#cancelled !== undefined) break;
        const item = checkResult === undefined ? next.value : await checkResult(next.value);
        const sent =
          processors === undefined ? stream.send(codec.encode(item, "item"), false) : await this.#sendItem(item);
        if (!sent) await gate.wait();
      }
    } catch (error) {
      await (this.#leaving ?? this.endIterator());
      return this.#fail(error);
    }
    if (this.#cancelled !== undefined) {
      // Its place is free when its `finally` is done.
      await this.#leaving;
      return this.#finish(this.#cancelled);
    }
    stream.end(this.#trailers?.size ? this.#trailers : undefined);
    this.#release();
  }

  /** Sends the headers, if there are any. */
  #sendHeaders(): boolean {
    if (this.#headers === undefined || this.#headers.size === 0) return false;
    this.#stream.sendHeaders(this.#headers);
    return true;
  }

  /** Sends an item through the processors; false when the next must wait. */
  async #sendItem(item: unknown): Promise<boolean> {
    const { body, metadata } = await this.#outbound(item, undefined);
    return this.#stream.send(this.codec.encode(body, "item"), false, metadata.size > 0 ? metadata : undefined);
  }

  #outbound(body: unknown, metadata: Metadata | undefined): Awaitable<Envelope> {
    return this.#connection.server.processors!.outbound("onResponse", this.envelope(body, metadata ?? new Metadata()));
  }

  async #outboundOrFailure(body: unknown, metadata: Metadata | undefined): Promise<Envelope> {
    try {
      return await this.#outbound(body, metadata);
    } catch (error) {
      throw failureOf(error, this.#method.target, this.#connection);
    }
  }

  /** Lets a generator that is not wanted any more run its `finally`. Called inside the call's scope. */
  async endIterator(): Promise<void> {
    try {
      await this.#iterator?.return?.();
    } catch (error) {
      this.#lost(error);
    }
  }

  #openChannel(): void {
    this.#started = true;
    const { clock, processors } = this.#connection.server;
    this.#channel = new StreamChannel(this.#stream, this.codec, clock, {
      metadata: this.#metadata,
      outbound: processors === undefined ? undefined : (body, metadata) => this.#outboundOrFailure(body, metadata),
      unsendable: "INTERNAL",
      beforeFirst: () => this.#sendHeaders(),
      trailers: () => (this.#trailers?.size ? this.#trailers : undefined),
    });
    // The function runs when the frame that opened the channel was handled whole.
    queueMicrotask(() => void this.#runChannel(this.#channel!));
  }

  async #runChannel(channel: StreamChannel<unknown, unknown>): Promise<void> {
    if (this.#cancelled !== undefined && !this.#callerLeft) return this.#finish(this.#cancelled);
    try {
      await callScope.run(this, invoke, this, [channel]);
      await channel.close();
      // A processor may have ended it while the function did not look.
      if (channel.error !== undefined && this.#cancelled === undefined) return this.#finish(channel.error);
    } catch (error) {
      if (this.#cancelled === undefined) {
        const failure = failureOf(error, this.#method.target, this.#connection);
        channel.fail(failure);
        return this.#finish(failure);
      }
    }
    if (this.#cancelled !== undefined) return this.#finish(this.#cancelled);
    this.#release();
  }

  #fail(error: unknown): void {
    if (this.#cancelled !== undefined) return this.#finish(this.#cancelled);
    this.#finish(failureOf(error, this.#method.target, this.#connection));
  }

  /** An error as the caller is told of it: with the trailers, and whether the function may have run. */
  #told(error: RapError): RapError {
    const maybeExecuted = this.#ran && error.maybeExecuted;
    if (this.#trailers === undefined && maybeExecuted === error.maybeExecuted) return error;
    const { code, message, reason, data, details, retryAfterMs } = error;
    const metadata = this.#trailers ?? new Metadata();
    for (const [key, value] of error.metadata) metadata.append(key, value);
    return new RapError(code, message, { reason, data, details, retryAfterMs, metadata, maybeExecuted });
  }

  /** Ends the call with an error. */
  #finish(error: RapError): void {
    try {
      this.#stream.fail(this.#told(error));
    } catch (unsendable) {
      this.#lost(unsendable);
      this.#stream.fail(new RapError(error.code, "the error itself cannot be sent"));
    }
    this.#release(error);
  }

  /** The function is done: the call's place is free. What the caller still sends is not looked at. */
  #release(error?: RapError): void {
    if (this.#released) return;
    this.#released = true;
    this.#exit?.(error);
    if (this.slot >= 0) this.#connection.server.wheel.remove(this);
    if (!this.#stream.remoteDone) this.#stream.detach();
    this.#connection.release(this.#stream.shape);
    if (this.#givenUpAt > 0 && this.#connection.now() - this.#givenUpAt > PROMPT) this.#connection.outlived();
  }

  #prepareStreamArg(): void {
    if (this.#streamArg < 0 || this.#inbox !== undefined) return;
    this.#inbox = new Inbox((cost) => this.#stream.consumed(cost), this.#connection.server.clock);
  }

  get codec(): Codec {
    return this.#stream.connection.codec;
  }

  /** An error that nobody waits for is still worth a line. */
  #lost(error: unknown): void {
    this.#connection.logger.warn({ err: error }, `${this.#method.target}: an error after the call was over`);
  }
}

/** Milliseconds in which a function that listens to its signal has ended. */
const PROMPT = 100;
/** More than any function takes; far more would overflow the stack when it is called. */
const MAX_ARGUMENTS = 65_535;

/** The caller's stream as the function sees it: leaving it early tells nobody, as the call's end does that. */
function itemsOf(inbox: Inbox<unknown>): AsyncIterableIterator<unknown> {
  return new InboxIterator(
    inbox,
    ({ body }) => body,
    () => {
      inbox.end();
      inbox.clear();
    },
  );
}

function invoke(call: ServerCall, args: unknown[]): unknown {
  return call.invoke(args);
}

function invokeFunction(args: unknown[], call: ServerCall): unknown {
  return call.invokeFunction(args);
}

function endIterator(call: ServerCall): Promise<void> {
  return call.endIterator();
}

function pump(call: ServerCall, source: AsyncIterable<unknown>): Promise<void> {
  return call.pump(source);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

function wrongShape(target: string, what: string): RapError {
  return new RapError("UNIMPLEMENTED", `${target} ${what}`);
}

function readMetadata(bytes: Uint8Array, start: number, end: number, connection: ServerConnection): Metadata {
  try {
    return decodeMetadata(bytes, start, end);
  } catch (error) {
    if (isMetadataError(error) && error.limit !== undefined) connection.onRefused(error.limit);
    throw new RapError("INVALID_ARGUMENT", (error as Error).message, { cause: error, maybeExecuted: false });
  }
}
