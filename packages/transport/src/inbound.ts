import {
  blockEnd,
  decodeError,
  decodeGoaway,
  decodeMetadata,
  Flag,
  type FrameSink,
  GoawayCode,
  Kind,
  MAX_STREAM_ID,
  OPTIONAL_KIND,
  type OpenHead,
  openHead,
  PayloadError,
  RapError,
  readOpen,
  readU32,
} from "@rap/protocol";
import { Bucket } from "./bucket";
import type { Connection } from "./connection";
import type { ConnectionHost } from "./connection-host";
import type { Goaway } from "./goaway";
import { NO_CALLS, REFUSED, Refusal, SHUTTING_DOWN } from "./refusal";
import { Stream, type StreamSink } from "./stream";
import type { StreamTable } from "./stream-table";
import type { FrameTrace } from "./trace";
import { Violation } from "./violation";

/** Frames after which it is asked whether others should have their turn. A power of two. */
const LOOK_EVERY = 16;

/**
 * The way into a connection: what each frame of its peer does, and how often a peer may do what is legal but odd.
 * Whatever it throws ends the connection; a {@link Violation} says with which code and reason.
 */
export class Inbound implements FrameSink {
  readonly #connection: Connection;
  readonly #host: ConnectionHost;
  readonly #streams: StreamTable;
  readonly #goaway: Goaway;
  readonly #trace: FrameTrace | undefined;
  readonly #head = openHead();
  /** Made when first needed: most connections never need one. */
  #glitchBucket: Bucket | undefined;
  #refusalBucket: Bucket | undefined;
  #pingBucket: Bucket | undefined;
  #pingStrikes = 0;
  frames = 0;
  pings = 0;
  glitches = 0;

  constructor(
    connection: Connection,
    host: ConnectionHost,
    streams: StreamTable,
    goaway: Goaway,
    trace: FrameTrace | undefined,
  ) {
    this.#connection = connection;
    this.#host = host;
    this.#streams = streams;
    this.#goaway = goaway;
    this.#trace = trace;
  }

  frame(kind: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    const connection = this.#connection;
    if (++this.frames % LOOK_EVERY === 0) connection.slice.look();
    this.#trace?.("<", kind, flags, id, end - start);
    if (kind < Kind.OPEN && id !== 0) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `frame kind ${kind}, which is the connection's, on stream ${id}`);
    }
    if (!connection.ready) return this.#frameBeforeReady(kind, bytes, start, end);
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
        return this.#goaway.heard(bytes[start]!);
      case Kind.GOAWAY:
        return this.#goaway.receive(decodeGoaway(bytes, start, end));
      case Kind.HELLO:
        throw new Violation(GoawayCode.PROTOCOL_ERROR, "a second HELLO");
      default:
        if (kind < OPTIONAL_KIND) throw new Violation(GoawayCode.PROTOCOL_ERROR, `unknown frame kind ${kind}`);
        this.glitch("an unknown optional frame");
    }
  }

  part(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.#connection.ready) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, "a DATA frame before the handshake is done");
    }
    this.#find(id)?.receive(Flag.MORE, bytes, start, end, false);
  }

  /** Counts something odd but legal; a peer that does too much of it is let go. */
  glitch(what: string): void {
    const { limits, wheel } = this.#connection;
    const now = wheel.now();
    this.glitches++;
    this.#glitchBucket ??= new Bucket(limits.glitchBurst, limits.glitchesPerSecond, now);
    if (!this.#glitchBucket.take(now)) {
      const text = `too many odd frames, the last: ${what}`;
      throw new Violation(GoawayCode.TOO_MANY_GLITCHES, text, "glitchesPerSecond");
    }
  }

  #frameBeforeReady(kind: number, bytes: Uint8Array, start: number, end: number): void {
    const connection = this.#connection;
    if (kind === Kind.GOAWAY && connection.role === "client") {
      return this.#goaway.receive(decodeGoaway(bytes, start, end));
    }
    if (kind === Kind.EXCHANGE) {
      throw new Violation(GoawayCode.HANDSHAKE_FAILED, "the peer encrypts, this side does not");
    }
    if (kind !== Kind.HELLO || connection.introduced) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `frame kind ${kind} before the handshake is done`);
    }
    connection.meet(bytes, start, end);
  }

  #open(flags: number, id: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    const connection = this.#connection;
    const streams = this.#streams;
    const odd = (id & 1) === 1;
    if (id === 0 || id > MAX_STREAM_ID || odd === (connection.role === "client")) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `stream ${id} is not for the peer to open`);
    }
    if (id <= streams.lastPeerId) throw new Violation(GoawayCode.PROTOCOL_ERROR, `stream id ${id} was used before`);
    const head = this.#head;
    readOpen(bytes, start, end, flags, head);
    // A peer that keeps to `maxInFlight` has no more than that; what is over on this side alone takes memory, too.
    if (streams.ofPeer >= 2 * connection.limits.maxInFlight) {
      const text = `${streams.ofPeer + 1} streams that the peer does not end`;
      throw new Violation(GoawayCode.ENHANCE_YOUR_CALM, text, "maxInFlight");
    }
    const stream = new Stream(connection, id, head.shape, true);
    streams.add(stream);
    const { bodyStart } = head;
    const sink = this.#sinkFor(stream, head, bytes);
    if (sink instanceof Refusal) this.#refuse(stream, sink);
    else stream.sink = sink;
    const hasBody = bodyStart < end || (flags & Flag.MORE) !== 0;
    if (hasBody) stream.receive(flags & (Flag.MORE | Flag.END), bytes, bodyStart, end, owned);
    else stream.receiveEnd(flags, undefined);
  }

  #sinkFor(stream: Stream, head: OpenHead, bytes: Uint8Array): StreamSink | Refusal {
    if (this.#host.onOpen === undefined) return NO_CALLS;
    if (stream.id > this.#goaway.lastAcceptedId) return SHUTTING_DOWN;
    try {
      return this.#host.onOpen(stream, head, bytes);
    } catch (error) {
      return new Refusal(RapError.from(error));
    }
  }

  #refuse(stream: Stream, refusal: Refusal): void {
    const { pressure, codec, limits, wheel } = this.#connection;
    pressure.provoked++;
    stream.refuse(refusal.encoded(codec));
    if (refusal.error.reason !== REFUSED) return;
    const now = wheel.now();
    this.#refusalBucket ??= new Bucket(limits.refusedBurst, limits.refusedPerSecond, now);
    if (!this.#refusalBucket.take(now)) {
      const text = "too many calls beyond the limits that were told";
      throw new Violation(GoawayCode.ENHANCE_YOUR_CALM, text, "refusedPerSecond");
    }
  }

  /** The stream of a frame; undefined for one that is over, which a peer should know. */
  #find(id: number): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream !== undefined && !stream.remoteDone) return stream;
    if (!this.#streams.had(id))
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `a frame on stream ${id}, which is not open`);
    this.glitch(`a frame on stream ${id}, which is over`);
    return undefined;
  }

  /** A RESET may follow the END of its own direction, and may then cross the end of ours. */
  #reset(id: number, bytes: Uint8Array, start: number, end: number): void {
    const streams = this.#streams;
    let stream = streams.get(id);
    if (stream === undefined && streams.mayCross > 0 && streams.had(id)) {
      streams.mayCross--;
      return;
    }
    if (stream === undefined || stream.peerReset) stream = this.#find(id);
    if (stream === undefined) return;
    const finished = end - start >= 2 && bytes[start] === 0;
    // Nobody hears why a call was given up that was refused: it makes no error.
    const unheard = stream.sink === undefined;
    stream.receiveReset(finished || unheard ? undefined : decodeError(bytes, start, end, this.#connection.codec));
  }

  #headers(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#connection.role === "server") throw new Violation(GoawayCode.PROTOCOL_ERROR, "HEADERS of a client");
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
    if (id === 0) return this.#connection.credit.receive(granted);
    // A stream may be over on this side while the peer's grant is on its way.
    const stream = this.#streams.get(id) ?? (this.#streams.had(id) ? undefined : this.#find(id));
    if (stream?.receiveCredit(granted, messages) === false) {
      throw new Violation(GoawayCode.FLOW_CONTROL_ERROR, `stream ${id} was granted too much`);
    }
  }

  #ping(bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 8) throw new PayloadError("PING is not 8 bytes long");
    const { limits, outbox, pressure, wheel } = this.#connection;
    const now = wheel.now();
    this.pings++;
    this.#pingBucket ??= new Bucket(limits.pingBurst, limits.pingsPerSecond, now);
    if (!this.#pingBucket.take(now) && ++this.#pingStrikes > limits.pingStrikes) {
      throw new Violation(GoawayCode.TOO_MANY_PINGS, "too many pings", "pingsPerSecond");
    }
    pressure.provoked++;
    outbox.frame(Kind.PONG, 0, 0, bytes.subarray(start, end));
  }
}
