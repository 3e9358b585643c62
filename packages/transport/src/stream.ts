import {
  blockEnd,
  copyBytes,
  decodeMetadata,
  Flag,
  GoawayCode,
  isMetadataError,
  Kind,
  type LargeMessage,
  type Metadata,
  metadataBlock,
  NO_BYTES,
  OWNED_BYTES,
  RapError,
  Shape,
} from "@rap/protocol";
import { Assembly } from "./assembly";
import type { Connection } from "./connection";
import { MIN_FRAGMENT, type Pending, SMALL_BYTES } from "./outbox";
import { StreamCredit } from "./stream-credit";
import { Violation } from "./violation";

/** A message that can wait: what the codec's buffer holds would not last. */
export function kept(body: Uint8Array): Uint8Array {
  return body.length > OWNED_BYTES ? body : new Uint8Array(body);
}

/** A RESET without an error: code 0. */
const FINISHED = Uint8Array.of(0, 0);
const NO_PENDING: Pending[] = [];
/** Writes the first `MIN_FRAGMENT` bytes of a message of two parts; gives how many of them are the tail's. */
export function putFirst(head: Uint8Array, tail: Uint8Array, buffer: Uint8Array, at: number): number {
  const sent = MIN_FRAGMENT - head.length;
  copyBytes(head, buffer, at);
  buffer.set(tail.subarray(0, sent), at + head.length);
  return sent;
}

/** What happens on a stream, as the call that owns it sees it. None of these may throw. */
export interface StreamSink {
  /**
   * One whole message: bytes[start, end), valid only during the call unless `owned`. `cost` is what
   * `Stream.consumed` must be told once the message was taken by its reader; for arguments and a single result it is 0,
   * and there is no need.
   */
  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void;
  /** Metadata before the first message. */
  onHeaders(metadata: Metadata): void;
  /** The peer sends nothing more. */
  onEnd(trailers: Metadata | undefined): void;
  /** The peer, or the end of the connection, aborted the stream; without an error: the peer is done with both directions. */
  onReset(error: RapError | undefined): void;
  /** All that was sent is on its way: go on. */
  onWritable(): void;
}

/**
 * One call on a connection. Each side ends its direction, with END or with RESET; the stream is forgotten when both
 * have, so an id that is not known any more is a peer's fault and not a race. RESET, which may also follow a side's
 * END, says that it reads nothing more either.
 */
export class Stream {
  readonly id: number;
  readonly shape: Shape;
  readonly connection: Connection;
  /** Gone once this side has lost interest: what still comes is counted and dropped. */
  sink: StreamSink | undefined;

  /** Messages that wait for credit or for their turn; owned by the outbox. */
  pending: Pending[] = NO_PENDING;
  /** Bytes of them. */
  #queued = 0;
  /** Whether the outbox has the stream in its line. */
  queued = false;
  /** This side has sent its END or RESET. */
  localDone = false;
  /** The peer has sent its END or RESET. */
  remoteDone = false;
  /** It was a RESET: nothing can follow it. */
  peerReset = false;

  /** A RESET was sent, or waits as the last. */
  #reset = false;
  /** HEADERS came. */
  #headed = false;
  readonly #credit: StreamCredit | undefined;
  /** There was a message that came in parts. */
  #assembly: Assembly | undefined;
  /** What comes next are the arguments: one message, bounded by its limit and not by credit. */
  #awaitsArguments: boolean;

  constructor(connection: Connection, id: number, shape: Shape, incoming: boolean) {
    this.connection = connection;
    this.id = id;
    this.shape = shape;
    this.sink = undefined;
    this.#awaitsArguments = incoming && shape !== Shape.CHANNEL;
    if (shape !== Shape.UNARY) this.#credit = new StreamCredit(this, incoming);
  }

  /**
   * Sends a message; false when it waits for credit or its turn, so that the sender should wait for `onWritable`.
   * A `body` of up to `OWNED_BYTES` is copied; a larger one must not change any more. Throws RESOURCE_EXHAUSTED when
   * it is larger than the peer takes.
   */
  send(body: Uint8Array, end: boolean, metadata?: Metadata): boolean {
    // After a RESET nobody reads any more, nor grants credit: an item would wait for ever, and the end behind it.
    if (this.localDone || (this.peerReset && !end)) return true;
    this.connection.checkSize(body.length);
    const block = metadataBlock(metadata);
    const flags = block.length > 0 ? Flag.METADATA : 0;
    if (
      this.pending.length === 0 &&
      block.length + body.length <= SMALL_BYTES &&
      this.#credit?.pay(body.length) !== false
    ) {
      const { outbox } = this.connection;
      const at = outbox.reserve(Kind.DATA, end ? flags | Flag.END : flags, this.id, block.length + body.length);
      if (block.length > 0) outbox.buffer.set(block, at);
      copyBytes(body, outbox.buffer, at + block.length);
      this.connection.messagesSent++;
      if (end) this.#finishLocal();
      return true;
    }
    this.push({ body: kept(body), sent: 0, begun: false, prefix: block, kind: Kind.DATA, flags, end });
    return this.pending.length === 0;
  }

  /** Sends the one result of a call, in two parts: `tail` is not copied, and must not change until it is sent. */
  sendLarge({ head, tail }: LargeMessage, end: boolean, metadata?: Metadata): void {
    if (this.localDone) return;
    this.connection.checkSize(head.length + tail.length);
    const block = metadataBlock(metadata);
    const { outbox } = this.connection;
    const flags = Flag.MORE | (block.length > 0 ? Flag.METADATA : 0);
    const at = outbox.reserve(Kind.DATA, flags, this.id, block.length + MIN_FRAGMENT);
    if (block.length > 0) outbox.buffer.set(block, at);
    const sent = putFirst(head, tail, outbox.buffer, at + block.length);
    this.push({ body: tail, sent, begun: true, prefix: NO_BYTES, kind: Kind.DATA, flags: 0, end });
  }

  /** Adds a message to those that wait; the outbox takes it from there. */
  push(pending: Pending): void {
    if (this.pending === NO_PENDING) this.pending = [];
    this.pending.push(pending);
    this.queue(pending.body.length - pending.sent);
    this.connection.outbox.enqueue(this);
  }

  /** Metadata before the first message. */
  sendHeaders(metadata: Metadata): void {
    if (!this.localDone) this.#control(Kind.HEADERS, 0, metadataBlock(metadata).subarray(2), false);
  }

  /** Half-close: after what was sent, nothing more comes from this side. */
  end(trailers?: Metadata): void {
    if (this.localDone || this.pending.at(-1)?.end === true) return;
    const block = metadataBlock(trailers);
    this.#control(Kind.END, block.length > 0 ? Flag.METADATA : 0, block, true);
  }

  /** Ends this side with an error, after what was sent; an error that comes after this side's END is told too. */
  fail(error: RapError): void {
    if (this.#reset || (this.localDone && this.remoteDone)) return;
    const body = this.connection.encodeError(error);
    this.#reset = true;
    this.#control(Kind.RESET, 0, body, true);
  }

  /** This side is done with both directions and has no error: it sends and reads nothing more. */
  finish(): void {
    if (this.remoteDone) this.end();
    else if (!this.#reset) {
      this.#reset = true;
      this.#control(Kind.RESET, 0, FINISHED, true);
    }
    this.#assembly?.stop();
    this.detach();
  }

  /** Ends this side with an error at once: what waits is dropped, and what the peer still sends is not looked at. */
  reset(error: RapError): void {
    this.#assembly?.stop();
    this.detach();
    const waited = this.pending.length > 0;
    this.dropPending();
    // Also after this side's END: the peer must know that nobody reads any more.
    if ((this.#reset && !waited) || (this.localDone && this.remoteDone)) return;
    this.refuse(this.connection.encodeError(error));
  }

  /** Ends this side with an error that is encoded. */
  refuse(body: Uint8Array): void {
    this.#reset = true;
    this.#control(Kind.RESET, 0, body, true);
  }

  /** Loses interest: no callback comes any more, and credit that was held is given back. */
  detach(): void {
    // What came whole is delivered to a client, also after the end.
    if (!this.remoteDone || (this.connection.closed && this.connection.role === "server")) this.#assembly?.stop();
    this.sink = undefined;
    this.#assembly?.drop();
    this.#credit?.giveUp();
  }

  /** The reader took a message that cost this much: the peer may send as much again. */
  consumed(cost: number): void {
    if (cost > 0) this.#credit!.consumed(cost);
  }

  // What follows is called by the connection and the outbox.

  /** A DATA frame, or an OPEN's body: a message or a part of one. */
  receive(flags: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void {
    let from = start;
    let metadata: Metadata | undefined;
    if ((flags & Flag.METADATA) !== 0) {
      from = blockEnd(bytes, start, end);
      metadata = this.#readMetadata(bytes, start + 2, from);
      if (metadata === undefined) return this.receiveEnd(flags, undefined);
    }
    const last = (flags & Flag.MORE) === 0;
    if (!last && (flags & Flag.END) !== 0) throw new Violation(GoawayCode.PROTOCOL_ERROR, "MORE and END in one frame");
    const size = end - from;
    if (!last && size < MIN_FRAGMENT) this.connection.glitch("a tiny part of a message");
    const cost = this.#credit === undefined || this.#awaitsArguments ? 0 : this.#credit.charge(size, last);
    if (this.sink !== undefined) {
      const before = this.#assembly === undefined ? 0 : this.#assembly.bytes;
      if (before + size > this.connection.limits.maxMessageBytes) this.#tooLarge();
      else if (!last) this.#keep(bytes, from, end, metadata, cost);
      else this.#deliver(bytes, from, end, owned, metadata, cost);
    }
    if (last) this.#awaitsArguments = false;
    if ((flags & Flag.END) !== 0) this.receiveEnd(flags, undefined);
  }

  /** Metadata before the first message. */
  receiveHeaders(metadata: Metadata): void {
    if (this.#headed) throw new Violation(GoawayCode.PROTOCOL_ERROR, "HEADERS a second time");
    this.#headed = true;
    this.sink?.onHeaders(metadata);
  }

  /** The peer's direction is over. */
  receiveEnd(flags: number, trailers: Metadata | undefined): void {
    if ((flags & Flag.END) === 0) return;
    if (this.#assembly?.begun) {
      throw new Violation(GoawayCode.PROTOCOL_ERROR, `stream ${this.id} ended in the middle of a message`);
    }
    this.remoteDone = true;
    this.sink?.onEnd(trailers);
    if (this.localDone) this.connection.forget(this);
  }

  /** The peer aborted, or is done with both directions. */
  receiveReset(error: RapError | undefined): void {
    this.remoteDone = true;
    this.peerReset = true;
    // A caller that gave up waits for nothing; a server's error comes after its messages.
    if (error !== undefined && this.connection.role === "server") this.#assembly?.stop();
    const { sink } = this;
    if (this.localDone) {
      this.detach();
      this.connection.forget(this);
    } else {
      // An end that waits behind what is dropped now must get out all the same: nobody would send another.
      const ends = this.pending.at(-1)?.end === true;
      this.dropPending();
      if (ends) this.#control(Kind.RESET, 0, FINISHED, true);
    }
    sink?.onReset(error);
  }

  /** So many bytes wait in `pending`, or (below 0) no longer do. */
  queue(bytes: number): void {
    this.#queued += bytes;
    this.connection.pressure.queue(bytes, this.#credit?.sending === undefined);
  }

  dropPending(): void {
    this.pending = NO_PENDING;
    this.connection.credit.waitNoMore(this);
    if (this.#queued > 0) this.queue(-this.#queued);
  }

  receiveCredit(bytes: number, messages: number): boolean {
    const window = this.#credit?.sending;
    if (window === undefined) return true;
    if (!window.add(bytes, messages)) return false;
    if (this.pending.length > 0) {
      this.connection.credit.waitNoMore(this);
      this.connection.outbox.enqueue(this);
    }
    return true;
  }

  /** How many of the next `want` bytes of a message of which `left` are left may go now; -1: none, wait for credit. */
  allowance(want: number, left: number): number {
    if (this.#credit === undefined || this.pending[0]!.kind !== Kind.DATA) return want;
    return this.#credit.payPart(want, left);
  }

  /**
   * The memory of a message was taken away (`transfer`) before all of it was sent. What the socket has not passed on has
   * lost its bytes, too; `gathered`: some are in the outbox's batch, and lost as well.
   */
  lostBody(gathered: boolean): void {
    const { connection } = this;
    if (gathered || connection.socket.buffered > 0) {
      connection.abort(GoawayCode.NO_ERROR, "bytes were transferred elsewhere while they were sent");
    } else this.#abort(new RapError("INTERNAL", "bytes were transferred elsewhere before they were sent"));
  }

  /** The outbox sent the whole of the first pending message. */
  sent(end: boolean): void {
    if (end) this.#finishLocal();
    else if (this.pending.length === 0) this.sink?.onWritable();
  }

  #control(kind: number, flags: number, payload: Uint8Array, end: boolean): void {
    if (this.pending.length > 0) {
      this.push({ body: payload, sent: 0, begun: false, prefix: NO_BYTES, kind, flags, end });
      return;
    }
    this.connection.outbox.frame(kind, flags, this.id, payload);
    if (end) this.#finishLocal();
  }

  #finishLocal(): void {
    this.localDone = true;
    if (!this.remoteDone) return;
    this.connection.forget(this);
  }

  #keep(bytes: Uint8Array, start: number, end: number, metadata: Metadata | undefined, cost: number): void {
    this.#assembly ??= new Assembly(this);
    this.#assembly.add(bytes, start, end, metadata);
    if (cost > 0) this.#credit!.keep(cost);
  }

  #deliver(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    this.connection.messagesReceived++;
    const whole = this.#credit === undefined ? 0 : this.#credit.whole(cost);
    if (this.#assembly?.begun) this.#assembly.finish(bytes, start, end, metadata, whole);
    else this.sink!.onMessage(bytes, start, end, owned, metadata, whole);
  }

  /** The metadata of a message; undefined if it is no good, which ends the call. */
  #readMetadata(bytes: Uint8Array, start: number, end: number): Metadata | undefined {
    try {
      return decodeMetadata(bytes, start, end);
    } catch (error) {
      if (isMetadataError(error) && error.limit !== undefined) this.connection.refused(error.limit);
      this.#abort(new RapError("INVALID_ARGUMENT", (error as Error).message, { cause: error }));
      return undefined;
    }
  }

  #tooLarge(): void {
    const { maxMessageBytes } = this.connection.limits;
    this.connection.refused("maxMessageBytes");
    this.#abort(
      new RapError("RESOURCE_EXHAUSTED", `a message is larger than the limit of ${maxMessageBytes} bytes`, {
        details: [{ limit: maxMessageBytes }],
      }),
    );
  }

  /** Ends the call because of what the peer sent: both ends learn it. */
  #abort(error: RapError): void {
    const { sink } = this;
    this.reset(error);
    sink?.onReset(error);
  }
}
