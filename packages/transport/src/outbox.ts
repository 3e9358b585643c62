import { copyBytes, Flag, HEAD_BYTES, Kind, writeHead } from "@rap/protocol";
import type { Connection } from "./connection";
import type { Stream } from "./stream";
import type { FrameTrace } from "./trace";
import type { Socket } from "./transport";
import { atTurnEnd, nextTurn } from "./turn";

const SLAB_BYTES = 64 * 1024;
/** A slab with less room than this is left to the garbage collector. */
const MIN_ROOM = 4 * 1024;
/** Bytes after which a turn's frames go out before the turn ends, so that both peers work at the same time. */
const EARLY_FLUSH = 8 * 1024;
/** Payloads up to here are copied into the slab; larger ones are handed to the socket as they are. */
export const SMALL_BYTES = 16 * 1024;
/** A part of a message is at least this long, unless it is the last: shorter ones are a waste, and a glitch. */
export const MIN_FRAGMENT = 256;
/** Bytes in the socket above which large messages wait, so that small ones stay close to the wire. */
const SOCKET_QUEUE_BYTES = 256 * 1024;
/** Bytes of large messages that go out in one turn of the event loop. */
const TURN_BYTES = 1024 * 1024;

/** Slabs that are kept for later: as many connections can write in one turn without new memory. */
const MAX_SPARES = 64;

/** Memory that frames are written into. One connection at a time uses a slab, and only between two flushes. */
interface Slab {
  readonly buffer: Buffer;
  used: number;
}

/** Of all connections of the process. How much of one is left decides where writes are cut. */
export const spares: Slab[] = [];

/** A message that is larger than a frame or waits for credit. */
export interface Pending {
  readonly body: Uint8Array;
  /** Bytes of the body that are already sent. */
  sent: number;
  /** Whether its first frame is already sent. */
  begun: boolean;
  /** Goes before the body in the first frame: an OPEN's head or a metadata block. */
  readonly prefix: Uint8Array;
  readonly kind: number;
  /** Flags of the first frame, without MORE and END. */
  readonly flags: number;
  readonly end: boolean;
}

/**
 * The way out of a connection: gathers the frames of a turn into one write, and lets large messages take turns, a
 * fragment each, so that none of them holds up a small one.
 */
export class Outbox {
  readonly #connection: Connection;
  readonly #socket: Socket;
  #slab: Slab | undefined;
  #start = 0;
  #scheduled = false;
  /** Streams with a fragment to send and the credit for it, in the order of their turns. */
  #ready: Stream[] = [];
  #closed = false;
  /** Goes on with fragments in the next turn. */
  #resting = false;
  /**
   * Heads and bodies of large frames that go to the socket together, as many as may wait there: a system call for each
   * took a fifth of the time of large messages.
   */
  #batch: Uint8Array[] = [];
  /** Bytes of the batch. */
  #batchBytes = 0;
  /** The socket wants no more, and will say when it does. */
  blocked = false;
  bytesSent = 0;
  framesSent = 0;

  readonly #trace: FrameTrace | undefined;

  constructor(connection: Connection, trace: FrameTrace | undefined) {
    this.#connection = connection;
    this.#socket = connection.socket;
    this.#trace = trace;
  }

  /** Where `reserve` made room. */
  buffer!: Uint8Array;

  /** Writes a small frame's head and returns where in `buffer` its payload of `size` bytes must be put, now. */
  reserve(kind: number, flags: number, id: number, size: number): number {
    const whole = HEAD_BYTES + size;
    let slab = this.#slab;
    if (slab !== undefined && slab.used - this.#start >= EARLY_FLUSH) {
      this.#write(slab);
      slab = this.#slab;
    }
    if (slab === undefined || slab.used + whole > slab.buffer.length) slab = this.#nextSlab(whole);
    const at = slab.used;
    writeHead(slab.buffer, at, size, kind, flags, id);
    slab.used = at + whole;
    this.buffer = slab.buffer;
    this.framesSent++;
    this.#trace?.(">", kind, flags, id, size);
    if (!this.#scheduled) {
      this.#scheduled = true;
      atTurnEnd(this.#endTurn);
    }
    return at + HEAD_BYTES;
  }

  /** A small frame with its payload. */
  frame(kind: number, flags: number, id: number, payload: Uint8Array): void {
    const at = this.reserve(kind, flags, id, payload.length);
    copyBytes(payload, this.buffer, at);
  }

  /** Lets a stream that has something pending take its turns. */
  enqueue(stream: Stream): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#ready.push(stream);
    this.#pump();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.blocked = false;
    this.#pump();
  }

  /**
   * Sends fragments as long as the socket takes them; one that is not blocked would not say when to go on. A peer that
   * reads as fast as this side writes must not keep it from everything else.
   */
  #pump(): void {
    if (this.#resting) return;
    const until = this.bytesSent + TURN_BYTES;
    while (this.#ready.length > 0 && !this.#closed && !this.#resting) {
      if (this.blocked && this.#socket.buffered + this.#batchBytes >= SOCKET_QUEUE_BYTES) break;
      if (this.bytesSent >= until) {
        this.#resting = true;
        nextTurn(() => this.#goOn());
        break;
      }
      const stream = this.#ready.shift()!;
      stream.queued = false;
      if (this.#sendFragment(stream) && !stream.queued) {
        stream.queued = true;
        this.#ready.push(stream);
      }
    }
    if (this.#batchBytes > 0) this.flush();
  }

  /** Everything written so far goes to the socket now. */
  flush(): void {
    const slab = this.#slab;
    if (slab === undefined) return;
    if (slab.used > this.#start || this.#batchBytes > 0) this.#write(slab);
    this.#slab = undefined;
    if (slab.buffer.length - slab.used >= MIN_ROOM && spares.length < MAX_SPARES) spares.push(slab);
  }

  /** Writes nothing any more. */
  close(): void {
    this.#closed = true;
    this.#ready = [];
    this.#batch = [];
    this.#batchBytes = 0;
    this.#slab = undefined;
  }

  /** Sends the next fragment of a stream's first pending message; true when the stream can go on at once. */
  #sendFragment(stream: Stream): boolean {
    const pending = stream.pending[0];
    if (pending === undefined) return false;
    const left = pending.body.length - pending.sent;
    if (left < 0) {
      stream.lostBody(this.#batchBytes > 0);
      return false;
    }
    const control = pending.kind !== Kind.DATA && pending.kind !== Kind.OPEN;
    const allowed = control ? left : stream.allowance(Math.min(left, this.#connection.limits.fragmentBytes), left);
    if (allowed < 0) return false;
    const last = allowed === left;
    const first = !pending.begun;
    pending.begun = true;
    const flags = (first ? pending.flags : 0) | (last ? (pending.end ? Flag.END : 0) : Flag.MORE);
    const prefix = first ? pending.prefix.length : 0;
    if (prefix + allowed <= SMALL_BYTES) {
      const at = this.reserve(first ? pending.kind : Kind.DATA, flags, stream.id, prefix + allowed);
      if (first) copyBytes(pending.prefix, this.buffer, at);
      this.buffer.set(pending.body.subarray(pending.sent, pending.sent + allowed), at + prefix);
    } else {
      this.#writeLarge(
        first ? pending.kind : Kind.DATA,
        flags,
        stream.id,
        first ? pending.prefix : undefined,
        pending,
        allowed,
      );
    }
    pending.sent += allowed;
    stream.queue(-allowed);
    if (!last) return true;
    stream.pending.shift();
    if (!control) stream.connection.messagesSent++;
    stream.sent(pending.end);
    return stream.pending.length > 0;
  }

  /** The head goes through the slab, the body's bytes go to the socket without a copy. */
  #writeLarge(
    kind: number,
    flags: number,
    id: number,
    prefix: Uint8Array | undefined,
    pending: Pending,
    size: number,
  ): void {
    const head = HEAD_BYTES + (prefix?.length ?? 0);
    let slab = this.#slab;
    if (slab === undefined || slab.used + head > slab.buffer.length) slab = this.#nextSlab(head);
    writeHead(slab.buffer, slab.used, head - HEAD_BYTES + size, kind, flags, id);
    if (prefix !== undefined) slab.buffer.set(prefix, slab.used + HEAD_BYTES);
    slab.used += head;
    this.framesSent++;
    this.#trace?.(">", kind, flags, id, head - HEAD_BYTES + size);
    this.#addToBatch(slab.buffer.subarray(this.#start, slab.used));
    this.#start = slab.used;
    this.#addToBatch(pending.body.subarray(pending.sent, pending.sent + size));
    if (this.#batchBytes >= SOCKET_QUEUE_BYTES) this.flush();
  }

  #goOn(): void {
    this.#resting = false;
    this.#pump();
  }

  readonly #endTurn = (): void => {
    this.#scheduled = false;
    if (!this.#closed) this.flush();
  };

  #write(slab: Slab): void {
    const bytes = slab.buffer.subarray(this.#start, slab.used);
    this.#start = slab.used;
    if (this.#batchBytes === 0) {
      this.bytesSent += bytes.length;
      return this.#hand(bytes);
    }
    if (bytes.length > 0) this.#addToBatch(bytes);
    const batch = this.#batch;
    const last = batch.pop()!;
    this.#batch = [];
    this.#batchBytes = 0;
    for (const each of batch) this.#socket.write(each, true);
    this.#hand(last);
  }

  /** These bytes go with what is handed over next. */
  #addToBatch(bytes: Uint8Array): void {
    this.bytesSent += bytes.length;
    this.#batchBytes += bytes.length;
    this.#batch.push(bytes);
  }

  #hand(bytes: Uint8Array): void {
    if (this.#socket.write(bytes)) return;
    this.blocked = true;
    this.#connection.pressure.fallBehind();
  }

  /** A slab with room for `size` bytes; what the old one holds is written first. */
  #nextSlab(size: number): Slab {
    this.flush();
    let slab = spares.pop();
    if (slab === undefined || slab.buffer.length - slab.used < size) {
      slab = { buffer: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, size)), used: 0 };
    }
    this.#slab = slab;
    this.#start = slab.used;
    return slab;
  }
}
