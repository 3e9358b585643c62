import {
  type CallLimit,
  type Codec,
  type ConnectionLimit,
  copyBytes,
  encodeError,
  encodeGoaway,
  Flag,
  FrameReader,
  GoawayCode,
  type Hello,
  isMetadataError,
  Kind,
  type Limits,
  NO_BYTES,
  openSize,
  PREAMBLE,
  RapError,
  SHAPE_SHIFT,
  Shape,
  writeOpen,
} from "@rap/protocol";
import { ConnectionCredit } from "./connection-credit";
import type { ConnectionHost, ConnectionOptions, ConnectionStats } from "./connection-host";
import { SendWindow } from "./credit";
import { Goaway } from "./goaway";
import { Handshake } from "./handshake";
import { Inbound } from "./inbound";
import { Keepalive } from "./keepalive";
import { faultOf, lost } from "./loss";
import { MIN_FRAGMENT, Outbox, SMALL_BYTES } from "./outbox";
import { type PauseLimit, Pressure } from "./pressure";
import { SealedSocket } from "./sealed-socket";
import { Slice } from "./slice";
import { kept, putFirst, Stream, type StreamSink } from "./stream";
import { StreamTable } from "./stream-table";
import { frameTrace } from "./trace";
import type { Socket, SocketHandler } from "./transport";
import { type TimerWheel, Watch } from "./wheel";

/** What the fields of OPEN hold. */
const MAX_TARGET_BYTES = 0xffff;
const MAX_STREAM_ARG = 0xff;
const MAX_TIMEOUT = 0xffffffff;
const PING_DATA = new Uint8Array(8);
const NO_LIMITS_YET = { streamWindowBytes: 0, streamWindowMessages: 0, keepaliveInterval: 0 } as Hello;
let connections = 0;

/**
 * Many streams on one socket: handshake, flow control, keepalive, drain. It knows frames and bytes; what the
 * bytes mean, and who is called, is its host's.
 */
export class Connection implements SocketHandler {
  readonly id = ++connections;
  readonly socket: Socket;
  readonly role: "client" | "server";
  readonly limits: Limits;
  readonly wheel: TimerWheel;
  readonly outbox: Outbox;
  readonly slice: Slice;
  readonly pressure: Pressure;
  readonly credit: ConnectionCredit;
  /** What the peer said of itself. Before the handshake is done it has no limits. */
  peer: Hello = NO_LIMITS_YET;
  /** The codec that both sides agreed on: there is one when the peer's HELLO was read. */
  codec!: Codec;
  /** Whether the peer's HELLO came, be it readable or not. */
  introduced = false;
  ready = false;
  /** No new streams: this side or the peer said goaway. */
  draining = false;
  closed = false;
  /** It was this side that closed it, in good order. */
  closedHere = false;
  /** The limit over which this side ended it. */
  endedBy: ConnectionLimit | undefined;
  /** Sessions and the like that need the connection though no call is open: it is not idle then. */
  holds = 0;
  messagesSent = 0;
  messagesReceived = 0;
  /** When the bytes came that are handled now. Calls begin then: reading the clock for each is a thirtieth of a small one. */
  readAt = 0;

  readonly #host: ConnectionHost;
  readonly #reader: FrameReader;
  readonly #inbound: Inbound;
  readonly #streams: StreamTable;
  readonly #goaway: Goaway;
  /** Both until the handshake is done. */
  #handshake: Handshake | undefined;
  #handshakeWatch: Watch | undefined;
  readonly #sealed: SealedSocket | undefined;
  #keepalive: Keepalive | undefined;
  /** The limit over which it takes leave. */
  #drainedBy: ConnectionLimit | undefined;
  #bytesReceived = 0;
  /** The socket is closed; what it has brought may still be handled. */
  #gone = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    const { host, limits, wheel, role, secure } = options;
    if (secure !== undefined) this.#sealed = new SealedSocket(socket, secure, role, limits.maxHandshakeBytes);
    this.socket = this.#sealed ?? socket;
    this.role = role;
    this.limits = limits;
    this.wheel = wheel;
    this.#host = host;
    const trace = frameTrace(`${role} ${this.id}`);
    this.#streams = new StreamTable(role);
    this.#goaway = new Goaway(this, host, this.#streams);
    this.#inbound = new Inbound(this, host, this.#streams, this.#goaway, trace);
    this.#reader = new FrameReader(this.#inbound, limits.maxHandshakeBytes);
    this.slice = new Slice(this, this.#reader);
    this.outbox = new Outbox(this, trace);
    this.pressure = new Pressure(this, this.slice);
    this.credit = new ConnectionCredit(this);
    this.#handshake = new Handshake(options);
    const tooLong = () => this.abort(GoawayCode.HANDSHAKE_FAILED, "the handshake took too long", "handshakeTimeout");
    this.#handshakeWatch = new Watch(tooLong);
    // A TLS handshake has used up a part of the time.
    wheel.add(this.#handshakeWatch, Math.max(1, limits.handshakeTimeout - (performance.now() - socket.openedAt)));
    if (role === "client") this.#sendHello();
    this.socket.start(this);
  }

  /** Streams that are not over on both sides. */
  get streams(): number {
    return this.#streams.size;
  }

  /** The streams that are not over on both sides. */
  openStreams(): readonly Stream[] {
    return this.#streams.list();
  }

  /** Whether the server takes another call of this shape now. */
  hasRoom(shape: Shape): boolean {
    if (this.draining || this.#gone || !this.ready || this.#streams.size >= this.peer.maxInFlight) return false;
    if (shape === Shape.UNARY) return true;
    return shape === Shape.CHANNEL
      ? this.#streams.channels < this.peer.maxChannels
      : this.#streams.streaming < this.peer.maxStreams;
  }

  /** Server: lets a peer in whose hello came. */
  accept(): void {
    if (this.closed || this.ready) return;
    this.#sendHello();
    this.#becomeReady();
  }

  /**
   * Client: opens a stream with its first message (none for a channel), whose body is treated as `Stream.send` does,
   * and which may go on with a `tail` that is not copied, as in `Stream.sendLarge`.
   * Throws RESOURCE_EXHAUSTED when it is larger than the peer takes, NOT_FOUND or INVALID_ARGUMENT for a target or a
   * `streamArg` that no frame can hold.
   */
  open(
    shape: Shape,
    target: Uint8Array,
    timeout: number,
    metadata: Uint8Array | undefined,
    streamArg: number,
    body: Uint8Array | undefined,
    end: boolean,
    sink: StreamSink,
    tail?: Uint8Array,
  ): Stream {
    const bodyBytes = (body === undefined ? 0 : body.length) + (tail === undefined ? 0 : tail.length);
    this.checkSize(bodyBytes);
    if (target.length > MAX_TARGET_BYTES) {
      throw new RapError("NOT_FOUND", `no function has a name of ${target.length} bytes`, { maybeExecuted: false });
    }
    if (streamArg > MAX_STREAM_ARG) {
      throw new RapError(
        "INVALID_ARGUMENT",
        `argument ${streamArg} cannot be streamed: it is beyond ${MAX_STREAM_ARG}`,
        {
          maybeExecuted: false,
        },
      );
    }
    const id = this.#streams.nextId;
    const stream = new Stream(this, id, shape, false);
    stream.sink = sink;
    this.#streams.add(stream);
    const flags =
      (shape << SHAPE_SHIFT) | (timeout > 0 ? Flag.DEADLINE : 0) | (metadata === undefined ? 0 : Flag.METADATA);
    const size = openSize(target, timeout, metadata, streamArg);
    const whole = size + bodyBytes <= SMALL_BYTES;
    // Of a large one a first part goes at once: ids must arrive in order, and before any other frame of their stream.
    const first = whole ? bodyBytes : MIN_FRAGMENT;
    const { outbox } = this;
    const at = outbox.reserve(Kind.OPEN, flags | (!whole ? Flag.MORE : end ? Flag.END : 0), id, size + first);
    writeOpen(outbox.buffer, at, target, Math.min(timeout, MAX_TIMEOUT), metadata, streamArg);
    if (tail !== undefined) {
      const sent = putFirst(body!, tail, outbox.buffer, at + size);
      stream.push({ body: tail, sent, begun: true, prefix: NO_BYTES, kind: Kind.OPEN, flags: 0, end });
    } else if (whole) {
      if (body !== undefined) {
        copyBytes(body, outbox.buffer, at + size);
        this.messagesSent++;
      }
      stream.localDone = end;
    } else {
      copyBytes(body!.subarray(0, first), outbox.buffer, at + size);
      const rest = kept(body!);
      stream.push({ body: rest, sent: first, begun: true, prefix: NO_BYTES, kind: Kind.OPEN, flags: 0, end });
    }
    if (this.#streams.nextId >= this.limits.maxStreamId) this.#goaway.exhausted();
    return stream;
  }

  /** Throws RESOURCE_EXHAUSTED when the peer takes no message of this size. */
  checkSize(bytes: number): void {
    const limit = this.peer.maxMessageBytes;
    if (bytes <= limit) return;
    this.refused("maxMessageBytes");
    throw new RapError("RESOURCE_EXHAUSTED", `a message of ${bytes} bytes is over the peer's limit of ${limit}`, {
      details: [{ limit, size: bytes }],
      maybeExecuted: false,
    });
  }

  encodeError(error: RapError): Uint8Array {
    return encodeError(error, this.codec);
  }

  /**
   * Takes no new streams, finishes those that run and then closes. In two steps: calls that are on their way when
   * the first goaway leaves are still accepted; those after the second are refused and never ran. `limit` is why, if
   * nothing else ends it before.
   */
  drain(reason: string, limit?: ConnectionLimit): void {
    if (!this.draining) this.#drainedBy = limit;
    this.#goaway.send(reason);
  }

  /** Says why and closes at once; streams that are open fail with UNAVAILABLE. */
  close(code: GoawayCode, reason: string, limit?: ConnectionLimit): void {
    if (this.closed) return;
    this.endedBy = limit;
    // Before it introduced itself a peer is told nothing; one that is refused gets the reason in place of a HELLO.
    if (this.ready || this.introduced) {
      if (!this.ready && this.role === "server") this.socket.write(PREAMBLE);
      this.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(this.#streams.lastPeerId, code, reason));
      this.outbox.flush();
    }
    this.socket.end();
    // One that waits for its turn is read to its end, which would not be seen otherwise.
    this.socket.resume();
    this.closedHere = true;
    this.finish(
      code === GoawayCode.NO_ERROR || code === GoawayCode.IDLE ? undefined : lost(code, reason),
      code,
      reason,
    );
  }

  /** Closes without a word to a peer that would not hear it. */
  abort(code: GoawayCode, reason: string, limit?: ConnectionLimit): void {
    if (this.closed) return;
    this.endedBy = limit;
    this.socket.destroy();
    this.finish(lost(code, reason), code, reason);
  }

  /** Asks for a sign of life; the answer has the same `mark`, a byte. */
  ping(mark = 0): void {
    PING_DATA[0] = mark;
    this.outbox.frame(Kind.PING, 0, 0, PING_DATA);
  }

  stats(): ConnectionStats {
    return {
      streams: this.#streams.size,
      opened: this.#streams.opened,
      messagesSent: this.messagesSent,
      messagesReceived: this.messagesReceived,
      framesSent: this.outbox.framesSent,
      framesReceived: this.#inbound.frames,
      bytesSent: this.outbox.bytesSent,
      bytesReceived: this.#bytesReceived,
      pingsSent: this.#keepalive?.pingsSent ?? 0,
      pingsReceived: this.#inbound.pings,
      glitches: this.#inbound.glitches,
      buffered: this.socket.buffered,
      waitingForCredit: this.credit.waiting,
    };
  }

  // From the socket.

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    this.#bytesReceived += bytes.length;
    const began = this.wheel.now();
    if (bytes.length > 0) this.readAt = began;
    this.slice.begin(bytes.length, began);
    const { frames } = this.#inbound;
    try {
      this.#reader.push(bytes);
    } catch (error) {
      this.#fault(error);
      return;
    }
    if (this.closed) return;
    const sealed = this.#sealed?.partial ?? 0;
    const partial = this.#reader.partial + sealed;
    const received = this.#bytesReceived + sealed;
    const now = this.wheel.now();
    this.#keepalive?.read(now, received, this.#reader.begun + sealed, this.#inbound.frames > frames);
    this.pressure.read(partial);
    this.slice.end(now);
  }

  onDrain(): void {
    if (this.closed) return;
    this.pressure.drained();
  }

  onClose(error?: Error): void {
    this.#gone = true;
    this.slice.finish(() => this.#onGone(error));
  }

  #onGone(error: Error | undefined): void {
    if (this.closed) return;
    const clean = error === undefined && this.#streams.size === 0 && this.#goaway.inOrder;
    this.finish(clean && this.ready ? undefined : this.#goaway.lostBy(error), GoawayCode.NO_ERROR, "");
  }

  // From the way in, from streams, and from what else belongs to the connection.

  /** The peer introduced itself. */
  meet(bytes: Uint8Array, start: number, end: number): void {
    this.introduced = true;
    this.peer = this.#handshake!.read(bytes, start, end);
    this.codec = this.#handshake!.codec!;
    this.credit.sending = new SendWindow(this.peer.connectionWindowBytes, 0);
    if (this.role === "client") this.#becomeReady();
    else if (this.#host.onHello === undefined) this.accept();
    else this.#host.onHello(this, this.peer);
  }

  /** Counts something odd but legal; a peer that does too much of it is let go. */
  glitch(what: string): void {
    this.#inbound.glitch(what);
  }

  /** A message of a stream was refused because of a limit. */
  refused(limit: CallLimit): void {
    this.#host.onRefused?.(limit);
  }

  /** Its peer is not read from any more, because of a limit. */
  paused(limit: PauseLimit): void {
    this.#host.onPaused?.(limit);
  }

  /** Looks at no further frame, not even of what has come. */
  hold(): void {
    this.#reader.hold();
    this.socket.pause();
  }

  /** Looks at what has come meanwhile; more comes when its socket is resumed. */
  release(): void {
    this.#reader.release();
    this.onData(NO_BYTES);
  }

  /** A stream is over on both sides. */
  forget(stream: Stream): void {
    this.credit.waitNoMore(stream);
    if (!this.#streams.delete(stream) || this.closed) return;
    // What its reader has not taken, and perhaps never will, is no matter of the connection any more.
    stream.detach();
    this.#host.onRoom?.(this);
    if (this.draining) this.#goaway.endIfDrained();
  }

  /** Bytes handed to the socket, those it has not passed on, and those that came. */
  progress(): { written: number; buffered: number; received: number } {
    const written = this.outbox.bytesSent + (this.#sealed?.overhead ?? 0);
    const received = this.#bytesReceived + (this.#sealed?.partial ?? 0);
    return { written, buffered: this.socket.buffered, received };
  }

  /** The end, however it came: every stream is told, every timer is gone. */
  finish(error: RapError | undefined, code: number, reason: string): void {
    if (error === undefined) this.endedBy ??= this.#drainedBy;
    this.closed = true;
    this.draining = true;
    this.#reader.stop();
    this.outbox.close();
    this.#endHandshake();
    this.#goaway.stop();
    this.#keepalive?.stop();
    const streams = this.#streams.list();
    this.#streams.clear();
    this.credit.end();
    for (const stream of streams) {
      const { sink } = stream;
      stream.localDone = true;
      stream.remoteDone = true;
      stream.dropPending();
      stream.detach();
      sink?.onReset(error ?? lost(code as GoawayCode, reason || "it was closed"));
    }
    this.pressure.end();
    this.#host.onClose(this, error);
  }

  #sendHello(): void {
    this.socket.write(PREAMBLE);
    this.outbox.frame(Kind.HELLO, 0, 0, this.#handshake!.hello());
  }

  #becomeReady(): void {
    this.ready = true;
    this.#endHandshake();
    this.#reader.maxFrameBytes = this.limits.maxFrameBytes;
    this.#keepalive = new Keepalive(this);
    this.#host.onReady?.(this);
  }

  #endHandshake(): void {
    if (this.#handshakeWatch !== undefined) this.wheel.remove(this.#handshakeWatch);
    this.#handshakeWatch = undefined;
    this.#handshake = undefined;
  }

  /** What a peer sent cannot be borne, or our own code failed: the connection ends, and nothing else. */
  #fault(error: unknown): void {
    this.#reader.stop();
    const { code, reason, limit } = faultOf(error);
    // Of headers, trailers or an error; that of a call or message fails the call alone.
    if (isMetadataError(error) && error.limit !== undefined) this.refused(error.limit);
    const frameLimit = this.ready ? "maxFrameBytes" : "maxHandshakeBytes";
    if (code === GoawayCode.INTERNAL) this.abort(code, reason);
    else this.close(code, reason, code === GoawayCode.FRAME_TOO_LARGE ? frameLimit : limit);
  }
}
