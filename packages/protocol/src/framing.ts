import { Flag, HEAD_BYTES, Kind, PREAMBLE } from "./frame";

/** Where a `FrameReader` hands what it found. */
export interface FrameSink {
  /**
   * One whole frame. Its payload is bytes[start, end), valid only during the call unless `owned`, in which case the
   * bytes belong to this frame alone.
   */
  frame(kind: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number, owned: boolean): void;
  /**
   * The beginning, or more, of a DATA frame without metadata: a part of its message, of at least 256 bytes. `frame` gets
   * the rest of it, again of at least 256 bytes. Absent: frames come whole.
   */
  part?(id: number, bytes: Uint8Array, start: number, end: number): void;
}

/** Less of an unfinished frame is not worth a part of its own. */
const MIN_PART = 4 * 1024;
/** A message's parts but the last are at least this long, and so is what is left of a frame. */
const MIN_REST = 256;

/** The empty array of bytes. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** A stream of bytes that is not rap's. The message says what it looks like. */
export class FramingError extends Error {
  override readonly name: string = "FramingError";
  constructor(
    readonly problem: "PREAMBLE" | "FRAME_TOO_LARGE",
    message: string,
  ) {
    super(message);
  }
}

/**
 * Bytes in, frames out: finds the preamble and then whole frames in any cutting of the stream. Allocates nothing on
 * the word of a length prefix: what is kept of an unfinished frame is at most twice what has come of it.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  #maxFrameBytes: number;
  #preamble = 0;
  /** An unfinished frame, its head included: the first `#have` bytes of `#partial`. */
  #partial: Uint8Array = NO_BYTES;
  #have = 0;
  #stopped = false;
  #held = false;
  /** What came and is not looked at while it is held. */
  #kept: Uint8Array[] = [];
  /** Payload bytes to come of a frame whose beginning was handed over; its flags and stream. */
  #rest = 0;
  #restFlags = 0;
  #restId = 0;
  /** Bytes of it that had come when it began; 0 when there is no such frame. */
  #restBegan = 0;

  constructor(sink: FrameSink, maxFrameBytes: number) {
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Bytes of a frame, or of the preamble, that has begun and is not whole; 0 between frames. */
  get partial(): number {
    if (this.#rest > 0) return 1;
    return this.#preamble < PREAMBLE.length ? this.#preamble : this.#have;
  }

  /** Bytes of the unfinished frame, counted when what was pushed last began it; 0 between frames. */
  get begun(): number {
    return this.#restBegan > 0 ? this.#restBegan : this.partial;
  }

  set maxFrameBytes(bytes: number) {
    this.#maxFrameBytes = bytes;
  }

  /** Hands over no more frames, not even those of bytes already pushed. */
  stop(): void {
    this.#stopped = true;
    this.#partial = NO_BYTES;
    this.#kept = [];
    this.#have = 0;
    this.#rest = 0;
    this.#restBegan = 0;
  }

  /** Hands over no more frames until `release`; what is pushed is kept. */
  hold(): void {
    this.#held = true;
  }

  /** The next `push` goes on with what was kept. */
  release(): void {
    this.#held = false;
  }

  /** Takes the next bytes of the stream. Throws FramingError for bytes that are not rap's. */
  push(bytes: Uint8Array): void {
    if (bytes.length > 0 && (this.#held || this.#kept.length > 0)) this.#kept.push(bytes);
    if (this.#held) return;
    const chunk = this.#kept.length === 0 ? bytes : joined(this.#kept);
    // Too little of a large frame would end its parts.
    if (chunk.length === 0) return;
    this.#kept = [];
    let at = this.#preamble < PREAMBLE.length ? this.#readPreamble(chunk) : 0;
    if (this.#rest > 0) at = this.#goOn(chunk, at);
    if (this.#have > 0) at = this.#finish(chunk, at);
    const length = chunk.length;
    while (length - at >= HEAD_BYTES && !this.#stopped && !this.#held) {
      const start = at + HEAD_BYTES;
      const end = start + this.#payloadSize(chunk, at);
      if (end > length) {
        if (this.#begin(chunk, at, end)) return;
        break;
      }
      this.#sink.frame(chunk[at + 4]!, chunk[at + 5]!, readU32(chunk, at + 6), chunk, start, end, false);
      at = end;
    }
    if (at < length && !this.#stopped) {
      const rest = chunk.subarray(at);
      if (this.#held) {
        this.#kept.push(rest);
        return;
      }
      // A view of a few bytes would keep the whole chunk in memory for as long as the peer lets the frame wait.
      this.#partial = rest.length * 2 < length ? new Uint8Array(rest) : rest;
      this.#have = rest.length;
    }
  }

  #readPreamble(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && this.#preamble < PREAMBLE.length) {
      if (chunk[at] !== PREAMBLE[this.#preamble]) {
        throw new FramingError("PREAMBLE", `the peer does not speak rap/1: ${guess(chunk)}`);
      }
      at++;
      this.#preamble++;
    }
    return at;
  }

  /** Hands over what there is of a large DATA frame, so that it need not be put together here; false if it is no such. */
  #begin(chunk: Uint8Array, at: number, end: number): boolean {
    const flags = chunk[at + 5]!;
    if (this.#sink.part === undefined || chunk[at + 4] !== Kind.DATA || (flags & Flag.METADATA) !== 0) return false;
    const start = at + HEAD_BYTES;
    if (partEnd(chunk, end) - start < MIN_PART) return false;
    this.#restBegan = chunk.length - at;
    this.#restFlags = flags;
    this.#restId = readU32(chunk, at + 6);
    this.#handPart(chunk, start, end);
    return true;
  }

  /** Hands over more of a frame that was begun; returns where in the chunk the next one begins. */
  #goOn(chunk: Uint8Array, at: number): number {
    const end = at + this.#rest;
    if (end > chunk.length) {
      this.#handPart(chunk, at, end);
      return chunk.length;
    }
    this.#rest = 0;
    this.#restBegan = 0;
    this.#sink.frame(Kind.DATA, this.#restFlags, this.#restId, chunk, at, end, false);
    return end;
  }

  /** Hands over what the chunk has of a payload; what is too little for that is an unfinished frame like others. */
  #handPart(chunk: Uint8Array, from: number, end: number): void {
    const { length } = chunk;
    const cut = partEnd(chunk, end);
    const to = cut - from < MIN_PART ? from : cut;
    if (to === length) this.#rest = end - to;
    else {
      this.#rest = 0;
      this.#have = HEAD_BYTES + length - to;
      this.#partial = new Uint8Array(this.#have);
      writeHead(this.#partial, 0, end - to, Kind.DATA, this.#restFlags, this.#restId);
      this.#partial.set(chunk.subarray(to), HEAD_BYTES);
    }
    if (to > from) this.#sink.part!(this.#restId, chunk, from, to);
  }

  /** Goes on with the unfinished frame; returns where in the chunk the next one begins. */
  #finish(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#have < HEAD_BYTES) at = this.#grow(chunk, at, HEAD_BYTES);
    if (this.#have < HEAD_BYTES) return at;
    const whole = HEAD_BYTES + this.#payloadSize(this.#partial, 0);
    at = this.#grow(chunk, at, whole);
    if (this.#have < whole) return at;
    const frame = this.#partial;
    this.#partial = NO_BYTES;
    this.#have = 0;
    this.#restBegan = 0;
    this.#sink.frame(frame[4]!, frame[5]!, readU32(frame, 6), frame, HEAD_BYTES, whole, true);
    return at;
  }

  /** Takes from the chunk what is missing to `whole` bytes. */
  #grow(chunk: Uint8Array, from: number, whole: number): number {
    const take = Math.min(whole - this.#have, chunk.length - from);
    const have = this.#have + take;
    if (have > this.#partial.length) {
      const grown = new Uint8Array(Math.min(whole, 2 * have));
      grown.set(this.#partial.subarray(0, this.#have));
      this.#partial = grown;
    }
    this.#partial.set(chunk.subarray(from, from + take), this.#have);
    this.#have = have;
    return from + take;
  }

  #payloadSize(bytes: Uint8Array, at: number): number {
    const size = readU32(bytes, at);
    if (size <= this.#maxFrameBytes) return size;
    throw new FramingError("FRAME_TOO_LARGE", `a frame of ${size} bytes is over the limit of ${this.#maxFrameBytes}`);
  }
}

/** Where a part must end: with the chunk, or 256 bytes before the payload does, so that `frame` gets the rest. */
function partEnd(chunk: Uint8Array, end: number): number {
  return Math.min(chunk.length, end - MIN_REST);
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const all = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Writes a frame's head at `at`. */
export function writeHead(buffer: Uint8Array, at: number, size: number, kind: number, flags: number, id: number): void {
  buffer[at] = size >>> 24;
  buffer[at + 1] = size >>> 16;
  buffer[at + 2] = size >>> 8;
  buffer[at + 3] = size;
  buffer[at + 4] = kind;
  buffer[at + 5] = flags;
  buffer[at + 6] = id >>> 24;
  buffer[at + 7] = id >>> 16;
  buffer[at + 8] = id >>> 8;
  buffer[at + 9] = id;
}

/** A big-endian unsigned number of four bytes. */
export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** A big-endian unsigned number of two bytes. */
export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** For a handful of bytes a loop is faster than the call into `TypedArray.set`. */
export function copyBytes(from: Uint8Array, to: Uint8Array, at: number): void {
  const length = from.length;
  if (length > 48) to.set(from, at);
  else for (let index = 0; index < length; index++) to[at + index] = from[index]!;
}

/** What a stream of bytes that is not rap's looks like, for the error's reader. */
function guess(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < Math.min(bytes.length, 8); at++) text += String.fromCharCode(bytes[at]!);
  if (bytes[0] === 0x16 && bytes[1] === 0x03) return "it looks like TLS (is this a TLS port or client?)";
  if (text.startsWith("rap/")) return "it speaks another version of rap";
  if (text.startsWith("HTTP/")) return "it looks like an HTTP server";
  if (/^(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|PRI) /.test(text)) return "it looks like an HTTP client";
  if (text.startsWith("SSH-")) return "it looks like SSH";
  if (bytes[0] === 0x15 && bytes[1] === 0x03) return "it looks like a TLS alert (is this a TLS port?)";
  return `it begins with ${JSON.stringify(text.replace(/[^\x20-\x7e]/g, "."))}`;
}
