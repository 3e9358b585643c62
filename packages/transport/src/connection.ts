import {
  blockEnd,
  type CallLimit,
  type Codec,
  type ConnectionLimit,
  copyBytes,
  decodeError,
  decodeGoaway,
  decodeMetadata,
  encodeError,
  encodeGoaway,
  Flag,
  FrameReader,
  type FrameSink,
  GoawayCode,
  type Hello,
  Kind,
  type Limits,
  MAX_STREAM_ID,
  OPTIONAL_KIND,
  type OpenHead,
  openHead,
  openSize,
  PayloadError,
  PREAMBLE,
  RapError,
  readOpen,
  readU32,
  SHAPE_SHIFT,
  Shape,
  writeOpen,
  writeU32,
} from "@rap/protocol";
import { Bucket } from "./bucket";
import type { ConnectionHost, ConnectionOptions, ConnectionStats } from "./connection-host";
import { ReceiveWindow, SendWindow } from "./credit";
import { Handshake } from "./handshake";
import { Keepalive } from "./keepalive";
import { faultOf, lost } from "./loss";
import { Outbox, SMALL_BYTES } from "./outbox";
import { type PauseLimit, Pressure } from "./pressure";
import { NO_CALLS, REFUSED, Refusal, SHUTTING_DOWN } from "./refusal";
import { SealedSocket } from "./sealed-socket";
import { Slice } from "./slice";
import { kept, MIN_FRAGMENT, putFirst, Stream, type StreamSink } from "./stream";
import { StreamTable } from "./stream-table";
import { type FrameTrace, frameTrace } from "./trace";
import type { Socket, SocketHandler } from "./transport";
import { Violation } from "./violation";
import { type TimerWheel, WheelEntry } from "./wheel";

const NONE = new Uint8Array(0);
/** What the fields of OPEN hold. */
const MAX_TARGET_BYTES = 0xffff;
const MAX_STREAM_ARG = 0xff;
const MAX_TIMEOUT = 0xffffffff;
/** Frames after which it is asked whether others should have their turn. A power of two. */
const LOOK_EVERY = 16;
const NO_LIMITS_YET = { streamWindowBytes: 0, streamWindowMessages: 0, keepaliveInterval: 0 } as Hello;
let connections = 0;

/**
 * Many streams on one socket: handshake, flow control, keepalive, drain. It knows frames and bytes; what the
 * bytes mean, and who is called, is its host's.
 */
export class Connection implements SocketHandler, FrameSink {
  readonly id = ++connections;
  readonly socket: Socket;
  readonly role: "client" | "server";
  readonly limits: Limits;
  readonly wheel: TimerWheel;
  readonly outbox: Outbox;
  /** What the peer said of itself. Before the handshake is done it has no limits. */
  peer: Hello = NO_LIMITS_YET;
  /** Credit for what this side sends on all streams together. */
  sendWindow = new SendWindow(0, 0);
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
  readonly #slice: Slice;
  readonly #trace: FrameTrace | undefined;
  readonly #streams = new StreamTable();
  readonly #head = openHead();
  readonly #receiveWindow: ReceiveWindow;
  readonly #glitches: Bucket;
  readonly #refusals: Bucket;
  readonly #pings: Bucket;
  readonly #handshake: Handshake;
  readonly #handshakeWatch: Watch;
  /** Whether the peer's HELLO came, be it readable or not. */
  #introduced = false;
  readonly #sealed: SealedSocket | undefined;
  #keepalive: Keepalive | undefined;
  #waiting: Set<Stream> | undefined;
  #nextId: number;
  /** The largest id that the peer opened. */
  #lastPeerId = 0;
  /** Ids above it are refused: the second step of a goaway was sent. */
  #lastAcceptedId = MAX_STREAM_ID;
  #drainStep: Watch | undefined;
  #pingStrikes = 0;
  readonly #pressure: Pressure;
  #opened = 0;
  /** Streams that the peer opened and that are not over on both sides. */
  #peerStreams = 0;
  #framesReceived = 0;
  #bytesReceived = 0;
  #pingsReceived = 0;
  #glitchCount = 0;
  /** The socket is closed; what it has brought may still be handled. */
  #gone = false;
  /** Streams that are over and that the peer may still have aborted before it knew. */
  #mayCross = 0;
  #goaway: { code: number; reason: string } | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    const { limits, wheel, role, secure } = options;
    if (secure !== undefined) this.#sealed = new SealedSocket(socket, secure, role, limits.maxHandshakeBytes);
    this.socket = this.#sealed ?? socket;
    this.role = role;
    this.limits = limits;
    this.wheel = wheel;
    this.#host = options.host;
    this.#nextId = role === "client" ? 1 : 2;
    this.#reader = new FrameReader(this, limits.maxHandshakeBytes);
    this.#slice = new Slice(this, this.#reader);
    this.#trace = frameTrace(`${role} ${this.id}`);
    this.outbox = new Outbox(this.socket, limits.fragmentBytes, this.#trace, () => this.#pressure.fallBehind());
    this.#pressure = new Pressure(this, this.#slice);
    const { connectionWindowBytes } = limits;
    this.#receiveWindow = new ReceiveWindow(connectionWindowBytes, Number.MAX_SAFE_INTEGER, connectionWindowBytes / 32);
    const now = wheel.now();
    this.#glitches = new Bucket(limits.glitchBurst, limits.glitchesPerSecond, now);
    this.#refusals = new Bucket(limits.refusedBurst, limits.refusedPerSecond, now);
    this.#pings = new Bucket(limits.pingBurst, limits.pingsPerSecond, now);
    this.#handshake = new Handshake(options);
    const tooLong = () => this.abort(GoawayCode.HANDSHAKE_FAILED, "the handshake took too long", "handshakeTimeout");
    this.#handshakeWatch = new Watch(tooLong);
    // A TLS handshake has used up a part of the time.
    wheel.add(this.#handshakeWatch, Math.max(1, limits.handshakeTimeout - (performance.now() - socket.openedAt)));
    if (role === "client") this.#sendHello();
    this.socket.start(this);
  }

  /** The codec that both sides agreed on. */
  get codec(): Codec {
    return this.#handshake.codec!;
  }

  /** Streams that are not over on both sides. */
  get streams(): number {
    return this.#streams.size;
  }

  /** The streams that are not over on both sides. */
  openStreams(): readonly Stream[] {
    return this.#streams.list();
  }

  /** More waits for the peer than it should, so that what can wait does. */
  get isBehind(): boolean {
    return this.outbox.blocked && this.socket.buffered > this.limits.writeQueueSoftBytes;
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
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new Stream(this, id, shape, false);
    stream.sink = sink;
    this.#streams.add(stream);
    this.#opened++;
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
      stream.push({ body: tail, sent, begun: true, prefix: NONE, kind: Kind.OPEN, flags: 0, end });
    } else if (whole) {
      if (body !== undefined) {
        copyBytes(body, outbox.buffer, at + size);
        this.messagesSent++;
      }
      stream.localDone = end;
    } else {
      copyBytes(body!.subarray(0, first), outbox.buffer, at + size);
      const rest = kept(body!);
      stream.push({ body: rest, sent: first, begun: true, prefix: NONE, kind: Kind.OPEN, flags: 0, end });
    }
    if (this.#nextId >= this.limits.maxStreamId) this.#exhausted();
    return stream;
  }

  /** Ids are never used twice: what runs goes on, and new calls need a new connection. */
  #exhausted(): void {
    this.draining = true;
    this.#goaway ??= { code: GoawayCode.NO_ERROR, reason: "all stream ids are used" };
    this.#host.onGoaway?.(this, "all stream ids are used");
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
   * the first goaway leaves are still accepted; those after the second are refused and never ran.
   */
  drain(reason: string): void {
    if (this.closed || this.#drainStep !== undefined) return;
    this.draining = true;
    if (!this.ready) return this.close(GoawayCode.NO_ERROR, reason);
    this.#drainStep = new Watch(() => this.#lastCall(reason));
    // A client takes no calls, so there is nothing to wait for.
    if (this.role === "client") return this.#lastCall(reason);
    this.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(MAX_STREAM_ID, GoawayCode.NO_ERROR, reason));
    this.wheel.add(this.#drainStep, this.limits.goawayPause);
    this.ping();
  }

  /** Says why and closes at once; streams that are open fail with UNAVAILABLE. */
  close(code: GoawayCode, reason: string, limit?: ConnectionLimit): void {
    if (this.closed) return;
    this.endedBy = limit;
    // Before it introduced itself a peer is told nothing; one that is refused gets the reason in place of a HELLO.
    if (this.ready || this.#introduced) {
      if (!this.ready && this.role === "server") this.socket.write(PREAMBLE);
      this.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(this.#lastPeerId, code, reason));
      this.outbox.flush();
    }
    this.socket.end();
    // One that waits for its turn is read to its end, which would not be seen otherwise.
    this.socket.resume();
    this.closedHere = true;
    this.#finish(
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
    this.#finish(lost(code, reason), code, reason);
  }

  ping(): void {
    this.outbox.frame(Kind.PING, 0, 0, PING_DATA);
  }

  stats(): ConnectionStats {
    return {
      streams: this.#streams.size,
      opened: this.#opened,
      messagesSent: this.messagesSent,
      messagesReceived: this.messagesReceived,
      framesSent: this.outbox.framesSent,
      framesReceived: this.#framesReceived,
      bytesSent: this.outbox.bytesSent,
      bytesReceived: this.#bytesReceived,
      pingsSent: this.#keepalive?.pingsSent ?? 0,
      pingsReceived: this.#pingsReceived,
      glitches: this.#glitchCount,
      buffered: this.socket.buffered,
      waitingForCredit: this.#waiting?.size ?? 0,
    };
  }

  // From the socket.

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    this.#bytesReceived += bytes.length;
    const began = this.wheel.now();
    if (bytes.length > 0) this.readAt = began;
    this.#slice.begin(bytes.length, began);
    const frames = this.#framesReceived;
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
    this.#keepalive?.read(now, received, this.#reader.begun + sealed, this.#framesReceived > frames);
    this.#pressure.read(partial);
    this.#slice.end(now);
  }

  onDrain(): void {
    if (this.closed) return;
    this.#pressure.drained();
  }

  onClose(error?: Error): void {
    this.#gone = true;
    this.#slice.finish(() => this.#onGone(error));
  }

  #onGone(error: Error | undefined): void {
    if (this.closed) return;
    const goaway = this.#goaway;
    const clean = error === undefined && this.#streams.size === 0 && (goaway === undefined || goaway.code === 0);
    this.#finish(clean && this.ready ? undefined : this.#lostBy(error), GoawayCode.NO_ERROR, "");
  }

  // From the reader.

  frame(kind: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    if (++this.#framesReceived % LOOK_EVERY === 0) this.#slice.look();
    this.#trace?.("<", kind, flags, id, end - start);
    if (kind < Kind.OPEN && id !== 0) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `frame kind ${kind}, which is the connection's, on stream ${id}`);
    }
    if (!this.ready) return this.#frameBeforeReady(kind, bytes, start, end);
    switch (kind) {
      case Kind.OPEN:
        return this.#open(flags, id, bytes, start, end, owned);
      case Kind.DATA: {
        const stream = this.#find(id);
        if (stream !== undefined) stream.receive(flags, bytes, start, end, owned);
        return;
      }
      case Kind.HEADERS:
        return this.#headers(id, bytes, start, end);
      case Kind.END: {
        const stream = this.#find(id);
        if (stream !== undefined) this.#end(stream, flags, bytes, start, end);
        return;
      }
      case Kind.RESET:
        return this.#reset(id, bytes, start, end);
      case Kind.CREDIT:
        return this.#credit(id, bytes, start, end);
      case Kind.PING:
        return this.#ping(bytes, start, end);
      case Kind.PONG:
        if (end - start !== 8) throw new PayloadError("PONG is not 8 bytes long");
        if (this.#drainStep !== undefined && this.#drainStep.slot >= 0) this.#drainStep.expire();
        return;
      case Kind.GOAWAY:
        return this.#goawayFrom(decodeGoaway(bytes, start, end));
      case Kind.HELLO:
        throw new Violation(GoawayCode.PROTOCOL_ERROR, "a second HELLO");
      default:
        if (kind < OPTIONAL_KIND) throw new Violation(GoawayCode.PROTOCOL_ERROR, `unknown frame kind ${kind}`);
        this.glitch("an unknown optional frame");
    }
  }

  part(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.ready) throw new Violation(GoawayCode.PROTOCOL_ERROR, "a DATA frame before the handshake is done");
    this.#find(id)?.receive(Flag.MORE, bytes, start, end, false);
  }

  // From streams.

  /** Counts something odd but legal; a peer that does too much of it is let go. */
  glitch(what: string): void {
    this.#glitchCount++;
    if (!this.#glitches.take(this.wheel.now())) {
      const text = `too many odd frames, the last: ${what}`;
      throw new Violation(GoawayCode.TOO_MANY_GLITCHES, text, "glitchesPerSecond");
    }
  }

  /** A message of a stream was refused because of a limit. */
  refused(limit: CallLimit): void {
    this.#host.onRefused?.(limit);
  }

  /** Its peer is not read from any more, because of a limit. */
  paused(limit: PauseLimit): void {
    this.#host.onPaused?.(limit);
  }

  violation(code: GoawayCode, what: string, limit?: ConnectionLimit): never {
    throw new Violation(code, what, limit);
  }

  chargeCredit(bytes: number): void {
    if (this.#receiveWindow.receive(bytes, 0)) return;
    this.#overdrawn("the connection has no credit for what was sent on it", "connectionWindowBytes");
  }

  releaseCredit(bytes: number): void {
    if (!this.#receiveWindow.release(bytes, 0) || this.closed) return;
    this.sendCredit(0, this.#receiveWindow.grant().bytes, 0);
  }

  sendCredit(id: number, bytes: number, messages: number): void {
    if (this.closed) return;
    const at = this.outbox.reserve(Kind.CREDIT, 0, id, 8);
    writeU32(this.outbox.buffer, at, bytes);
    writeU32(this.outbox.buffer, at + 4, messages);
    // Not at the end of the turn: a reader may be busy with what came for long, and the sender would idle meanwhile.
    if (id !== 0) this.outbox.flush();
  }

  /** Parts of a message came (or, below 0, are no longer kept). */
  keep(bytes: number): void {
    this.#pressure.keep(bytes);
  }

  /** Messages were left to the outbox (or, below 0, sent or dropped); those that are no `result` may need credit. */
  queue(bytes: number, result: boolean): void {
    this.#pressure.queue(bytes, result);
  }

  /** Called now and then: lets peers go for which too much has waited for too long. */
  relieve(now: number): void {
    this.#pressure.relieve(now);
  }

  /** Looks at no further frame, not even of what has come. */
  hold(): void {
    this.#reader.hold();
    this.socket.pause();
  }

  /** Looks at what has come meanwhile; more comes when its socket is resumed. */
  release(): void {
    this.#reader.release();
    this.onData(NONE);
  }

  waitForCredit(stream: Stream): void {
    this.#waiting ??= new Set();
    this.#waiting.add(stream);
  }

  /** It tries again for another reason. */
  waitNoMore(stream: Stream): void {
    this.#waiting?.delete(stream);
  }

  /** A stream is over on both sides. */
  forget(stream: Stream): void {
    this.#waiting?.delete(stream);
    if (!this.#streams.delete(stream) || this.closed) return;
    // What its reader has not taken, and perhaps never will, is no matter of the connection any more.
    stream.detach();
    if (!stream.peerReset) this.#mayCross++;
    if ((stream.id & 1) !== (this.#nextId & 1)) this.#peerStreams--;
    this.#host.onRoom?.(this);
    if (this.draining && this.#streams.size === 0) this.#endIfDrained();
  }

  /** Bytes handed to the socket, those it has not passed on, those that came, and whether more may come now. */
  progress(): { written: number; buffered: number; received: number; reading: boolean } {
    const written = this.outbox.bytesSent + (this.#sealed?.overhead ?? 0);
    const received = this.#bytesReceived + (this.#sealed?.partial ?? 0);
    return { written, buffered: this.socket.buffered, received, reading: this.#pressure.reading };
  }

  #overdrawn(what: string, limit?: ConnectionLimit): never {
    this.violation(GoawayCode.FLOW_CONTROL_ERROR, what, limit);
  }

  #sendHello(): void {
    this.socket.write(PREAMBLE);
    this.outbox.frame(Kind.HELLO, 0, 0, this.#handshake.hello());
  }

  #frameBeforeReady(kind: number, bytes: Uint8Array, start: number, end: number): void {
    if (kind === Kind.GOAWAY && this.role === "client") return this.#goawayFrom(decodeGoaway(bytes, start, end));
    if (kind === Kind.EXCHANGE) {
      throw new Violation(GoawayCode.HANDSHAKE_FAILED, "the peer encrypts, this side does not");
    }
    if (kind !== Kind.HELLO || this.#introduced) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `frame kind ${kind} before the handshake is done`);
    }
    this.#introduced = true;
    this.peer = this.#handshake.read(bytes, start, end);
    this.sendWindow = new SendWindow(this.peer.connectionWindowBytes, 0);
    if (this.role === "client") this.#becomeReady();
    else if (this.#host.onHello === undefined) this.accept();
    else this.#host.onHello(this, this.peer);
  }

  #becomeReady(): void {
    this.ready = true;
    this.wheel.remove(this.#handshakeWatch);
    this.#reader.maxFrameBytes = this.limits.maxFrameBytes;
    this.#keepalive = new Keepalive(this);
    this.#host.onReady?.(this);
  }

  #open(flags: number, id: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    const odd = (id & 1) === 1;
    if (id === 0 || id > MAX_STREAM_ID || odd === (this.role === "client")) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `stream ${id} is not for the peer to open`);
    }
    if (id <= this.#lastPeerId) throw new Violation(GoawayCode.PROTOCOL_ERROR, `stream id ${id} was used before`);
    const head = this.#head;
    readOpen(bytes, start, end, flags, head);
    // A peer that keeps to `maxInFlight` has no more than that; what is over on this side alone takes memory, too.
    if (++this.#peerStreams > 2 * this.limits.maxInFlight) {
      const text = `${this.#peerStreams} streams that the peer does not end`;
      throw new Violation(GoawayCode.ENHANCE_YOUR_CALM, text, "maxInFlight");
    }
    this.#lastPeerId = id;
    this.#opened++;
    const stream = new Stream(this, id, head.shape, true);
    this.#streams.add(stream);
    const sink = this.#sinkFor(stream, head, bytes);
    if (sink instanceof Refusal) this.#refuse(stream, sink);
    else stream.sink = sink;
    const hasBody = head.bodyStart < end || (flags & Flag.MORE) !== 0;
    if (hasBody) stream.receive(flags & (Flag.MORE | Flag.END), bytes, head.bodyStart, end, owned);
    else stream.receiveEnd(flags, undefined);
  }

  #sinkFor(stream: Stream, head: OpenHead, bytes: Uint8Array): StreamSink | Refusal {
    if (this.#host.onOpen === undefined) return NO_CALLS;
    if (stream.id > this.#lastAcceptedId) return SHUTTING_DOWN;
    try {
      return this.#host.onOpen(stream, head, bytes);
    } catch (error) {
      return new Refusal(RapError.from(error));
    }
  }

  #refuse(stream: Stream, refusal: Refusal): void {
    this.#pressure.provoked++;
    stream.refuse(refusal.encoded(this.codec));
    if (refusal.error.reason === REFUSED && !this.#refusals.take(this.wheel.now())) {
      const text = "too many calls beyond the limits that were told";
      throw new Violation(GoawayCode.ENHANCE_YOUR_CALM, text, "refusedPerSecond");
    }
  }

  /** The stream of a frame; undefined for one that is over, which a peer should know. */
  #find(id: number): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream !== undefined && !stream.remoteDone) return stream;
    if (!this.#wasOpened(id))
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `a frame on stream ${id}, which is not open`);
    this.glitch(`a frame on stream ${id}, which is over`);
    return undefined;
  }

  #wasOpened(id: number): boolean {
    if (id === 0) return false;
    return (id & 1) === (this.#nextId & 1) ? id < this.#nextId : id <= this.#lastPeerId;
  }

  /** A RESET may follow the END of its own direction, and may then cross the end of ours. */
  #reset(id: number, bytes: Uint8Array, start: number, end: number): void {
    let stream = this.#streams.get(id);
    if (stream === undefined && this.#mayCross > 0 && this.#wasOpened(id)) {
      this.#mayCross--;
      return;
    }
    if (stream === undefined || stream.peerReset) stream = this.#find(id);
    if (stream === undefined) return;
    const finished = end - start >= 2 && bytes[start] === 0;
    // Nobody hears why a call was given up that was refused: it makes no error.
    const unheard = stream.sink === undefined;
    stream.receiveReset(finished || unheard ? undefined : decodeError(bytes, start, end, this.codec));
  }

  #headers(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.role === "server") throw new Violation(GoawayCode.PROTOCOL_ERROR, "HEADERS of a client");
    this.#find(id)?.receiveHeaders(decodeMetadata(bytes, start, end));
  }

  #end(stream: Stream, flags: number, bytes: Uint8Array, start: number, end: number): void {
    const hasBlock = (flags & Flag.METADATA) !== 0;
    if ((hasBlock ? blockEnd(bytes, start, end) : start) !== end) throw new PayloadError("END has trailing bytes");
    stream.receiveEnd(Flag.END, hasBlock ? decodeMetadata(bytes, start + 2, end) : undefined);
  }

  #credit(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 8) throw new PayloadError("CREDIT is not 8 bytes long");
    const granted = readU32(bytes, start);
    const messages = readU32(bytes, start + 4);
    if (granted === 0 && messages === 0) this.glitch("a grant of nothing");
    if (id !== 0) {
      // A stream may be over on this side while the peer's grant is on its way.
      const stream = this.#streams.get(id) ?? (this.#wasOpened(id) ? undefined : this.#find(id));
      if (stream?.receiveCredit(granted, messages) === false) this.#overdrawn(`stream ${id} was granted too much`);
      return;
    }
    if (!this.sendWindow.add(granted, 0)) this.#overdrawn("the connection was granted too much");
    if (this.#waiting === undefined || this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) this.outbox.enqueue(stream);
  }

  #ping(bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 8) throw new PayloadError("PING is not 8 bytes long");
    this.#pingsReceived++;
    if (!this.#pings.take(this.wheel.now()) && ++this.#pingStrikes > this.limits.pingStrikes) {
      throw new Violation(GoawayCode.TOO_MANY_PINGS, "too many pings", "pingsPerSecond");
    }
    this.#pressure.provoked++;
    this.outbox.frame(Kind.PONG, 0, 0, bytes.subarray(start, end));
  }

  #goawayFrom(goaway: { lastId: number; code: number; reason: string }): void {
    this.draining = true;
    for (const stream of this.#streams.list()) {
      if ((stream.id & 1) !== (this.#nextId & 1) || stream.id <= goaway.lastId) continue;
      // The peer never looked at it, so there is nothing to tell it either.
      stream.localDone = true;
      stream.dropPending();
      stream.receiveReset(
        new RapError("UNAVAILABLE", `the server is going away: ${goaway.reason}`, {
          origin: "transport",
          maybeExecuted: false,
        }),
      );
    }
    if (this.closed) return;
    // Not before, or the last of those streams would end the connection in their midst.
    this.#goaway = goaway;
    if (goaway.code !== GoawayCode.NO_ERROR) {
      this.socket.end();
      this.#finish(this.#lostBy(undefined), goaway.code, goaway.reason);
      return;
    }
    this.#host.onGoaway?.(this, goaway.reason);
    if (this.#streams.size === 0) this.#endIfDrained();
  }

  /** The second step of a goaway: from here on calls are refused. */
  #lastCall(reason: string): void {
    if (this.closed) return;
    if (this.#drainStep !== undefined) this.wheel.remove(this.#drainStep);
    this.#lastAcceptedId = this.#lastPeerId;
    this.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(this.#lastPeerId, GoawayCode.NO_ERROR, reason));
    if (this.#streams.size === 0) this.#endIfDrained();
  }

  #endIfDrained(): void {
    // Between the two steps more calls may be on their way.
    if (this.#drainStep !== undefined && this.#drainStep.slot >= 0) return;
    if (this.#goaway === undefined && this.#drainStep === undefined) return;
    this.outbox.flush();
    this.socket.end();
    this.#finish(this.ready ? undefined : this.#lostBy(undefined), GoawayCode.NO_ERROR, "");
  }

  /** What a peer sent cannot be borne, or our own code failed: the connection ends, and nothing else. */
  #fault(error: unknown): void {
    this.#reader.stop();
    const { code, reason, limit } = faultOf(error);
    const frameLimit = this.ready ? "maxFrameBytes" : "maxHandshakeBytes";
    if (code === GoawayCode.INTERNAL) this.abort(code, reason);
    else this.close(code, reason, code === GoawayCode.FRAME_TOO_LARGE ? frameLimit : limit);
  }

  #lostBy(error: Error | undefined): RapError {
    if (this.#goaway !== undefined) {
      const { code, reason } = this.#goaway;
      return lost(code as GoawayCode, reason, error, "the peer closed the connection");
    }
    if (error !== undefined) return lost(GoawayCode.NO_ERROR, error.message, error, "the connection was lost");
    const when = this.ready ? "" : " before the handshake was done";
    return lost(GoawayCode.NO_ERROR, `the peer closed it${when}`, undefined, "the connection was lost");
  }

  /** The end, however it came: every stream is told, every timer is gone. */
  #finish(error: RapError | undefined, code: number, reason: string): void {
    this.closed = true;
    this.draining = true;
    this.#reader.stop();
    this.outbox.close();
    this.wheel.remove(this.#handshakeWatch);
    if (this.#drainStep !== undefined) this.wheel.remove(this.#drainStep);
    this.#keepalive?.stop();
    const streams = this.#streams.list();
    this.#streams.clear();
    this.#waiting?.clear();
    for (const stream of streams) {
      const { sink } = stream;
      stream.localDone = true;
      stream.remoteDone = true;
      stream.dropPending();
      stream.detach();
      sink?.onReset(error ?? lost(code as GoawayCode, reason || "it was closed"));
    }
    this.#pressure.end();
    this.#host.onClose(this, error);
  }
}

const PING_DATA = new Uint8Array(8);

class Watch extends WheelEntry {
  constructor(readonly callback: () => void) {
    super();
  }

  override expire(): void {
    this.callback();
  }
}
