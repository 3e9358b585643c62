import {
  type CallScope,
  callScope,
  type Dependent,
  type Envelope,
  type InheritedOptions,
  isPromise,
  type ProcessorChain,
  runMessageMiddleware,
  type ServerSession,
  type StreamChannel,
} from "@rap/core";
import {
  type Awaitable,
  type Codec,
  Metadata,
  messageOf,
  type OpenHead,
  peersError,
  RapError,
  Shape,
} from "@rap/protocol";
import { type Stream, type StreamSink, WheelEntry } from "@rap/transport";
import { CallContext } from "./call-context";
import { failureOf, told } from "./failure";
import type { Method } from "./registry";
import { openChannel } from "./server-channel";
import type { ServerConnection } from "./server-connection";
import { endIterator, StreamedItems } from "./streamed-items";

/**
 * One call on the server, from its OPEN to its last frame: reads the arguments, runs the function, sends what comes
 * of it. It is also the scope that calls made inside inherit from, so that a plain call costs one object.
 */
export class ServerCall extends WheelEntry implements StreamSink, CallScope {
  readonly connection: ServerConnection;
  readonly stream: Stream;
  readonly method: Method;
  /** The one that the caller named, or a stream's own. */
  session: ServerSession | undefined;
  /** Why nobody waits for it any more. */
  cancelled: RapError | undefined;
  readonly #startedAt: number;
  readonly #timeout: number;
  /** Whether the time is the server's own limit, which the caller does not know of and must be told. */
  readonly #ownTimeout: boolean;
  #context: CallContext | undefined;
  #abort: AbortController | undefined;
  #dependents: Set<Dependent> | undefined;
  readonly #items: StreamedItems | undefined;
  readonly #channel: StreamChannel<unknown, unknown> | undefined;
  /** Tells the processors that the call is over. */
  readonly #exit: ((error?: unknown) => void) | undefined;
  /** When the call ended by its caller's doing, and not because its time was over; 0 while it has not. */
  #givenUpAt = 0;
  #started = false;
  /** The function itself was called: no schema and no middleware kept the call from it. */
  #ran = false;
  #released = false;

  constructor(connection: ServerConnection, stream: Stream, method: Method, head: OpenHead, bytes: Uint8Array) {
    super();
    this.connection = connection;
    this.stream = stream;
    this.method = method;
    if (head.metadataEnd > head.metadataStart) this.#context = CallContext.read(this, head, bytes);
    const own = connection.ownTimeout(method, head.shape);
    this.#ownTimeout = own > 0 && (head.timeout === 0 || own < head.timeout);
    this.#timeout = this.#ownTimeout ? own : head.timeout;
    this.#startedAt = this.#timeout > 0 ? connection.wire.readAt : 0;
    const { processors } = connection.server;
    if (processors?.watchesCalls) this.#exit = processors.enter(this.context);
    // Nothing throws from here on, so nothing is left in the wheel.
    if (this.#timeout > 0) connection.server.wheel.add(this, this.#timeout, this.#startedAt);
    if (head.shape === Shape.UNARY) return;
    if (head.shape === Shape.CHANNEL) {
      this.#started = true;
      this.#channel = openChannel(this);
    } else this.#items = new StreamedItems(this, head.streamArg);
  }

  get codec(): Codec {
    return this.stream.connection.codec;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.cancelled !== undefined) this.#abort.abort(this.cancelled);
    }
    return this.#abort.signal;
  }

  // The scope of calls made inside.

  get context(): CallContext {
    this.#context ??= new CallContext(this, undefined);
    return this.#context;
  }

  get options(): InheritedOptions | undefined {
    return undefined;
  }

  get sessions(): undefined {
    return undefined;
  }

  remaining(): number | undefined {
    if (this.#timeout === 0) return undefined;
    return Math.max(0, this.#startedAt + this.#timeout - this.connection.now());
  }

  addDependent(dependent: Dependent): void {
    if (this.cancelled !== undefined) dependent.onScopeCancel(this.cancelled);
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
    else this.#items?.receive(body, metadata, cost);
  }

  /** A message cannot be read: it ends the call, or what the caller streams into it. */
  unreadable(error: unknown): void {
    const what = this.#started ? "a message for" : "the arguments of";
    this.rejected(
      new RapError("INVALID_ARGUMENT", `${what} ${this.method.target} cannot be read: ${messageOf(error)}`, {
        cause: error,
      }),
    );
  }

  /** A message was refused before the function saw it. */
  rejected(error: unknown): void {
    const failure = this.failure(error);
    if (!this.#started) {
      this.#started = true;
      return this.finish(failure);
    }
    // What a processor of ours threw by mistake is not the caller's doing.
    if (RapError.is(error)) this.#giveUp();
    // The caller is told when the function is done: it takes that for a free place.
    this.cancel(failure);
  }

  envelope(body: unknown, metadata: Metadata | undefined): Envelope {
    const { name, group } = this.method;
    const beside = metadata ?? (this.#started ? new Metadata() : this.context.metadata);
    return { body, metadata: beside, method: name, group, session: this.session?.id };
  }

  onHeaders(): void {}

  onEnd(): void {
    this.#items?.receiveEnd();
    this.#channel?.receiveEnd();
    if (!this.#started) {
      this.#started = true;
      this.finish(new RapError("INVALID_ARGUMENT", `${this.method.target} was called without arguments`));
    }
  }

  onReset(error: RapError | undefined): void {
    if (error === undefined) return this.#onFinished();
    if (error.code !== "DEADLINE_EXCEEDED" || !this.#callersTimeIsOver()) this.#giveUp();
    else if (this.cancelled === undefined) this.connection.onRefused("timeout");
    this.cancel(error.origin === "remote" ? peersError(error.code, error.message, { origin: "remote" }) : error);
    if (!this.#started) {
      this.#started = true;
      this.finish(error);
    }
  }

  /**
   * The caller is done with both directions. That is how a channel is closed: its function is told, and can still read
   * what was sent before. Of any other call nobody reads the result.
   */
  #onFinished(): void {
    if (this.#channel === undefined) {
      return this.onReset(peersError("CANCELLED", "the caller wants no result", { origin: "remote" }));
    }
    this.#channel.receiveClose();
    this.cancel(peersError("CANCELLED", "the caller has closed the channel", { origin: "remote" }));
  }

  /** Whether the time is over that the caller gave the call. That it says so is no proof. */
  #callersTimeIsOver(): boolean {
    return !this.#ownTimeout && this.#timeout > 0 && this.remaining()! <= JITTER;
  }

  /** The call ends by its caller's doing, unless it was over before. */
  #giveUp(): void {
    if (this.cancelled === undefined) this.#givenUpAt = this.connection.now();
  }

  onWritable(): void {
    this.#items?.writable();
    this.#channel?.writable();
  }

  /** The call's time is over. */
  override expire(): void {
    if (this.cancelled !== undefined) return this.#abandon(this.cancelled);
    const error = new RapError(
      "DEADLINE_EXCEEDED",
      `${this.method.target} took longer than ${Math.round(this.#timeout)} ms`,
    );
    this.connection.onRefused(this.#ownTimeout ? "maxTimeout" : "timeout");
    // A caller whose own time is over has left; it is told when the function is done, as then a place is free.
    if (this.#ownTimeout) this.stream.fail(error);
    this.cancel(error);
  }

  /** Tells the function, and every call it made, that nobody waits for it any more. */
  cancel(error: RapError): void {
    if (this.cancelled !== undefined) return;
    this.cancelled = error;
    this.#items?.cancel(error);
    if (this.#channel?.closed === false) this.#channel.fail(error);
    // Listeners are the function's code, so context() is there for them too.
    if (this.#abort !== undefined) callScope.run(this, () => this.#abort?.abort(error));
    const dependents = this.#dependents;
    this.#dependents = undefined;
    if (dependents !== undefined) for (const dependent of dependents) dependent.onScopeCancel(error);
    const { wheel, limits } = this.connection.server;
    // The deadline is of no matter any more, and must not free the place of a function that runs on.
    if (this.slot >= 0) wheel.remove(this);
    if (!this.#released && this.#items?.leave()) wheel.add(this, limits.generatorReturnTimeout);
  }

  /** A generator that waits for something else than its signal never reaches its `finally`. */
  #abandon(error: RapError): void {
    this.connection.onRefused("generatorReturnTimeout");
    this.connection.logger.warn({ method: this.method.target }, "a generator went on after its call was cancelled");
    this.finish(error);
  }

  /** The server goes down: the caller is told at once. */
  abort(error: RapError): void {
    this.stream.fail(error);
    this.cancel(error);
  }

  #readArguments(args: unknown): void {
    this.#started = true;
    if (Array.isArray(args) && !this.method.checked) this.#run(args);
    else this.#bind(args);
  }

  /** Checks the arguments; only an asynchronous schema makes the call wait. */
  #bind(args: unknown): void {
    let bound: unknown[] | Promise<unknown[]>;
    try {
      bound = this.method.bind(args, this.#items?.argument ?? -1);
    } catch (error) {
      return this.fail(error);
    }
    if (bound instanceof Promise) {
      bound.then(
        (checked) => this.#run(checked),
        (error: unknown) => this.fail(error),
      );
    } else this.#run(bound);
  }

  #run(args: unknown[]): void {
    if (this.cancelled !== undefined) return this.finish(this.cancelled);
    const items = this.#items;
    if (items !== undefined && items.argument >= 0) {
      if (items.argument > args.length) {
        return this.finish(new RapError("INVALID_ARGUMENT", `there is no argument ${items.argument} to stream`));
      }
      args[items.argument] = items.incoming();
    }
    if (args.length > MAX_ARGUMENTS) {
      return this.finish(new RapError("INVALID_ARGUMENT", `${args.length} arguments are too many`));
    }
    try {
      const result: unknown = callScope.run(this, invoke, this, args);
      if (isThenable(result)) this.#await(result);
      else this.#succeed(result);
    } catch (error) {
      this.fail(error);
    }
  }

  // A method with closures allocates for them also where it needs none, so those stand apart from every call's way.

  #await(result: PromiseLike<unknown>): void {
    result.then(
      (value) => this.#succeed(value),
      (error: unknown) => this.fail(error),
    );
  }

  /** Runs the function, through the middleware if there is any. Called inside the call's scope. */
  invoke(args: unknown[]): unknown {
    const { messageMiddleware } = this.connection.server;
    return messageMiddleware.length === 0
      ? this.invokeFunction(args)
      : runMessageMiddleware(messageMiddleware, this.context, args, invokeFunction);
  }

  /** Runs the function itself, here or in a worker. */
  invokeFunction(args: unknown[]): unknown {
    this.#ran = true;
    const { worker, call } = this.method;
    if (worker === undefined) return call(...args);
    return this.connection.server.workers.run(worker, args, this.signal);
  }

  /** Never throws, whatever the function gave: an object can do anything when it is looked at. */
  #succeed(value: unknown): void {
    try {
      this.#deliver(value);
    } catch (error) {
      this.fail(error);
    }
  }

  #deliver(value: unknown): void {
    const { shape } = this.stream;
    const { target, checkResult } = this.method;
    const streams = shape === Shape.SERVER_STREAM || shape === Shape.BIDI_STREAM;
    if (isAsyncIterable(value)) {
      if (streams) {
        void callScope.run(this, sendItems, this.#items!, value);
        return;
      }
      void callScope.run(this, endIterator, value[Symbol.asyncIterator](), this);
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
      (error: unknown) => this.fail(error),
    );
  }

  #reply(value: unknown): void {
    const { processors } = this.connection.server;
    if (processors === undefined) this.#sendReply(value, undefined);
    else this.#process(value, processors);
  }

  #process(value: unknown, processors: ProcessorChain): void {
    try {
      const message = processors.outbound("onResponse", this.envelope(value, undefined));
      if (isPromise(message)) this.#awaitProcessed(message);
      else this.#sendProcessed(message);
    } catch (error) {
      this.fail(error);
    }
  }

  #awaitProcessed(message: PromiseLike<Envelope>): void {
    message.then((processed) => this.#sendProcessed(processed)).then(undefined, (error: unknown) => this.fail(error));
  }

  #sendProcessed({ body, metadata }: Envelope): void {
    this.#sendReply(body, metadata.size > 0 ? metadata : undefined);
  }

  #sendReply(value: unknown, metadata: Metadata | undefined): void {
    // What a function makes of its cancelling is no result.
    if (this.cancelled !== undefined) return this.finish(this.cancelled);
    try {
      const large = typeof value === "object" ? this.codec.encodeLarge?.(value) : undefined;
      const body = large?.head ?? this.codec.encode(value, "result");
      this.sendHeaders();
      const { trailers } = this;
      if (large === undefined) this.stream.send(body, trailers === undefined, metadata);
      else this.stream.sendLarge(large, trailers === undefined, metadata);
      if (trailers !== undefined) this.stream.end(trailers);
    } catch (error) {
      return this.fail(error);
    }
    this.release();
  }

  /** Sends the headers, if there are any. */
  sendHeaders(): boolean {
    const headers = CallContext.headersOf(this.#context);
    if (headers === undefined || headers.size === 0) return false;
    this.stream.sendHeaders(headers);
    return true;
  }

  /** What goes with the end of the call, if there is anything. */
  get trailers(): Metadata | undefined {
    const trailers = CallContext.trailersOf(this.#context);
    return trailers !== undefined && trailers.size > 0 ? trailers : undefined;
  }

  /** Takes a message that is to be sent through the processors. */
  outbound(body: unknown, metadata = new Metadata()): Awaitable<Envelope> {
    return this.connection.server.processors!.outbound("onResponse", this.envelope(body, metadata));
  }

  /** What the caller learns of what was thrown. */
  failure(error: unknown): RapError {
    return failureOf(error, this.method.target, this.connection);
  }

  /** Ends the call with what was thrown. */
  fail(error: unknown): void {
    if (this.cancelled !== undefined) return this.finish(this.cancelled);
    this.finish(this.failure(error));
  }

  /** Ends the call with an error. */
  finish(error: RapError): void {
    try {
      this.stream.fail(told(error, this.trailers, this.#ran));
    } catch (unsendable) {
      this.lost(unsendable);
      this.stream.fail(new RapError(error.code, "the error itself cannot be sent"));
    }
    this.release(error);
  }

  /** The function is done: the call's place is free. What the caller still sends is not looked at. */
  release(error?: RapError): void {
    if (this.#released) return;
    this.#released = true;
    this.#exit?.(error);
    if (this.slot >= 0) this.connection.server.wheel.remove(this);
    if (!this.stream.remoteDone) this.stream.detach();
    this.connection.release(this.stream.shape);
    if (this.#givenUpAt > 0 && this.connection.now() - this.#givenUpAt > PROMPT) this.connection.outlived();
  }

  /** An error that nobody waits for is still worth a line. */
  lost(error: unknown): void {
    this.connection.logger.warn({ err: error }, `${this.method.target}: an error after the call was over`);
  }
}

/** Milliseconds in which a function that listens to its signal has ended. */
const PROMPT = 100;
/** Milliseconds that a call's OPEN may have been longer on its way than the RESET that says that its time is over. */
const JITTER = 100;
/** More than any function takes; far more would overflow the stack when it is called. */
const MAX_ARGUMENTS = 65_535;

// For `callScope.run`, which takes a function and its arguments: a closure for each call would cost more.

function invoke(call: ServerCall, args: unknown[]): unknown {
  return call.invoke(args);
}

function invokeFunction(args: unknown[], context: CallContext): unknown {
  return CallContext.callOf(context).invokeFunction(args);
}

function sendItems(items: StreamedItems, source: AsyncIterable<unknown>): Promise<void> {
  return items.send(source);
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
