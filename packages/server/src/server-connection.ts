import {
  type Connection as ConnectionInfo,
  type Logger,
  ProcessedSink,
  runConnMiddleware,
  type ServerSession,
} from "@rap/core";
import {
  type CallLimit,
  GoawayCode,
  LIMITS,
  type Metadata,
  type MetadataValue,
  type OpenHead,
  type Random,
  RapError,
  Shape,
} from "@rap/protocol";
import {
  Bucket,
  Connection,
  type ConnectionHost,
  type PauseLimit,
  Refusal,
  refusal,
  type Socket,
  type Stream,
  type StreamSink,
  Watch,
} from "@rap/transport";
import type { Seat } from "./admission";
import { ServerCall } from "./answer";
import { type FailureOptions, failureOf } from "./failure";
import { limitedLogger } from "./peer-log";
import type { PlaceLimit } from "./refusals";
import type { Method } from "./registry";
import type { ServerCore } from "./server-core";
import { newSession, Sessions } from "./sessions";

/** One accepted connection: what handlers see of it, and the count of what runs on it. */
export class ServerConnection implements ConnectionInfo, ConnectionHost, FailureOptions {
  readonly server: ServerCore;
  readonly wire: Connection;
  readonly id: string;
  readonly seat: Seat;
  #inFlight = 0;
  #streams = 0;
  #channels = 0;
  #state: Map<string, unknown> | undefined;
  #sessions: Sessions | undefined;
  /** Tells the middleware that the connection is over. */
  #over: (() => void) | undefined;
  #logger: Logger | undefined;
  #stubborn: Bucket | undefined;
  /** Ends the connection at its age. */
  #age: Watch | undefined;

  constructor(server: ServerCore, socket: Socket, seat: Seat) {
    this.server = server;
    this.seat = seat;
    const { limits, wheel, codecs, info, secure } = server;
    this.wire = new Connection(socket, { role: "server", host: this, limits, wheel, codecs, info, secure });
    this.id = `c${this.wire.id}`;
  }

  get remoteAddress(): string {
    return this.wire.socket.peer.address;
  }

  get remotePort(): number {
    return this.wire.socket.peer.port;
  }

  get local(): boolean {
    return this.wire.socket.peer.local;
  }

  get authorized(): boolean {
    return this.wire.socket.peer.authorized;
  }

  get peerCertificate(): unknown {
    return this.wire.socket.peer.certificate;
  }

  get metadata(): Metadata | undefined {
    return this.wire.peer.metadata;
  }

  get state(): Map<string, unknown> {
    this.#state ??= new Map();
    return this.#state;
  }

  /** For what goes wrong in calls of this peer: so many lines of it, and no more. */
  get logger(): Logger {
    const { logger, limits } = this.server;
    this.#logger ??= limitedLogger(
      logger,
      new Bucket(limits.logLinesPerSecond, limits.logLinesPerSecond, this.now()),
      () => this.now(),
    );
    return this.#logger;
  }

  get random(): Random {
    return this.server.random;
  }

  get exposeErrors(): boolean {
    return this.server.exposeErrors;
  }

  /** Calls whose function has not finished. */
  get inFlight(): number {
    return this.#inFlight;
  }

  onHello(): void {
    if (this.server.connMiddleware.length === 0) this.wire.accept();
    else void this.#admit();
  }

  onReady(): void {
    const { admission, limits, random, wheel } = this.server;
    admission.ready(this.seat);
    if (limits.maxConnectionAge === Number.POSITIVE_INFINITY) return;
    this.#age = new Watch(() => this.wire.drain("the connection has reached its age", "maxConnectionAge"));
    // By chance, so that those which came together do not come back together.
    wheel.add(this.#age, limits.maxConnectionAge * (0.9 + random.float() * 0.2));
  }

  openSession(): string {
    this.#sessions ??= new Sessions();
    const { random, limits } = this.server;
    if (this.#sessions.size >= limits.maxSessions) this.onRefused("maxSessions");
    const id = this.#sessions.open(random, limits.maxSessions);
    this.wire.holds++;
    return id;
  }

  closeSession(id: string): void {
    if (this.#sessions?.close(id)) this.wire.holds--;
  }

  /** The session that a call names. Throws FAILED_PRECONDITION when there is none. */
  session(id: MetadataValue): ServerSession {
    this.#sessions ??= new Sessions();
    return this.#sessions.get(id);
  }

  /** A session for one stream. */
  ownSession(): ServerSession {
    return newSession(this.server.random);
  }

  close(reason = "the server closed the connection"): Promise<void> {
    this.wire.close(GoawayCode.REFUSED, reason);
    return Promise.resolve();
  }

  now(): number {
    return this.server.clock.now();
  }

  onOpen(stream: Stream, head: OpenHead, bytes: Uint8Array): StreamSink | Refusal {
    const method = this.#find(head, bytes);
    if (method instanceof Refusal) return method;
    const limit = this.#take(head.shape);
    if (limit !== undefined) {
      this.onRefused(limit);
      return this.server.refusals[limit];
    }
    try {
      const call = new ServerCall(this, stream, method, head, bytes);
      const { processors } = this.server;
      return processors === undefined ? call : new ProcessedSink(call, processors, "onRequest");
    } catch (error) {
      this.release(head.shape);
      // What a processor throws is no more the caller's business than what a function throws.
      throw RapError.is(error) ? error : failureOf(error, method.target, this);
    }
  }

  onRefused(limit: CallLimit): void {
    this.server.refused[limit]++;
  }

  onPaused(limit: PauseLimit): void {
    this.server.paused[limit]++;
  }

  onClose(_wire: Connection, error: RapError | undefined): void {
    if (this.#age !== undefined) this.server.wheel.remove(this.#age);
    this.#over?.();
    this.server.left(this, error);
  }

  /** Cancels what runs, telling the callers. */
  abortCalls(error: RapError): void {
    for (const { sink } of this.wire.openStreams()) {
      const call = sink instanceof ProcessedSink ? sink.target : sink;
      if (call instanceof ServerCall) call.abort(error);
    }
  }

  /** A call's function has finished: its place is free. */
  release(shape: Shape): void {
    if (shape === Shape.CHANNEL) this.#channels--;
    else if (shape !== Shape.UNARY) this.#streams--;
    this.#inFlight--;
    this.server.inFlight--;
    const { source } = this.seat;
    if (source !== undefined) source.inFlight--;
  }

  /** A function went on for long after its caller had given it up. A peer that provokes too many of these has to go. */
  outlived(): void {
    const { cancelBurst, cancelsPerSecond } = this.server.limits;
    this.#stubborn ??= new Bucket(cancelBurst, cancelsPerSecond, this.now());
    if (this.#stubborn.take(this.now())) return;
    const text = "too many calls were cancelled while their functions ran";
    this.wire.close(GoawayCode.ENHANCE_YOUR_CALM, text, "cancelsPerSecond");
  }

  /** The longest a call may take by the server's own rules; 0 when there is none. */
  ownTimeout(method: Method, shape: Shape): number {
    const cap = method.maxTimeout ?? (shape === Shape.UNARY ? this.server.limits.maxTimeout : 0);
    const own = method.timeout ?? 0;
    return own === 0 || cap === 0 ? own || cap : Math.min(own, cap);
  }

  /** Asks the middleware whether the peer may come in. */
  async #admit(): Promise<void> {
    const over = new Promise<void>((resolve) => {
      this.#over = resolve;
    });
    const admit = (): Promise<void> => {
      this.wire.accept();
      return over;
    };
    try {
      await runConnMiddleware(this.server.connMiddleware, this, admit);
    } catch (error) {
      this.logger.error({ err: error, peer: this.remoteAddress }, "a connection middleware failed");
    }
    // Neither admitted nor closed, or left before its end: it may not stay.
    this.wire.close(GoawayCode.REFUSED, "the server refused the connection");
  }

  #find(head: OpenHead, bytes: Uint8Array): Method | Refusal {
    const { targetStart, targetEnd } = head;
    const found = this.server.dispatcher.find(bytes, targetStart, targetEnd);
    const isChannel = head.shape === Shape.CHANNEL;
    const method = isChannel ? found?.channel : found?.method;
    if (method !== undefined && (!method.private || this.local)) return method;
    const other = isChannel ? found?.method : found?.channel;
    const target = printable(bytes, targetStart, targetEnd);
    if (other !== undefined && (!other.private || this.local)) {
      const hint = isChannel
        ? "is not a channel: call it as a function"
        : "is a channel: open it as one (registerChannel)";
      return refusal("UNIMPLEMENTED", `${target} ${hint}`);
    }
    if (tooLong(bytes, targetStart, targetEnd)) this.onRefused("maxNameBytes");
    return refusal("NOT_FOUND", `there is no function ${target}`);
  }

  /** Takes a place for a call, or gives the limit at which there is none. */
  #take(shape: Shape): PlaceLimit | undefined {
    const { limits } = this.server;
    if (this.#inFlight >= limits.maxInFlight) return "maxInFlight";
    if (this.server.inFlight >= limits.maxServerInFlight) return "maxServerInFlight";
    const { source } = this.seat;
    if (source !== undefined && source.inFlight >= source.maxInFlight) return "maxInFlightPerIp";
    if (shape === Shape.CHANNEL) {
      if (this.#channels >= limits.maxChannels) return "maxChannels";
      this.#channels++;
    } else if (shape !== Shape.UNARY) {
      if (this.#streams >= limits.maxStreams) return "maxStreams";
      this.#streams++;
    }
    this.#inFlight++;
    this.server.inFlight++;
    if (source !== undefined) source.inFlight++;
    return undefined;
  }
}

/** Whether the group or the name of a target is longer than any can be. */
function tooLong(bytes: Uint8Array, start: number, end: number): boolean {
  const slash = bytes.subarray(start, end).indexOf(SLASH);
  return slash > LIMITS.maxNameBytes || end - start - slash - 1 > LIMITS.maxNameBytes;
}

const SLASH = 0x2f;

/** A name from a peer, fit for a message. */
function printable(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < Math.min(end, start + 256); at++) {
    const byte = bytes[at]!;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?";
  }
  return JSON.stringify(text);
}
