import { LARGE_BYTES, MAX_HEAD_BYTES, OWNED_BYTES } from "./codec";
import type { ScanLimits } from "./scan";

// One walk that checks and writes: for values made of null, undefined, booleans, numbers, strings, bytes, Dates, arrays
// and plain objects, as nearly all are. Anything else, be it valid or not, is left to the general way (`pack.ts`), so
// that there is no error to make here. It takes half the time of a walk that checks and one that writes:
// `scripts/codec-cost.mjs` has the figures.

/** Bytes of the buffer between messages. */
const BUFFER = 4 * 1024;
/** Characters up to which a loop is faster than `TextEncoder`. */
const SHORT_TEXT = 64;
/** Views of up to so many bytes are kept for the next message: two of them were a tenth of what a small call allocates. */
const KEPT_VIEWS = 128;
/** What a number, a date or the head of anything else takes at most. */
const MAX_HEAD = 16;

const encoder = new TextEncoder();

/** Writes values into a buffer of its own. */
export class DirectWriter {
  readonly #maxDepth: number;
  readonly #maxMapEntries: number;
  #bytes: Uint8Array = new Uint8Array(BUFFER);
  #view = new DataView(this.#bytes.buffer);
  /** The first bytes of the buffer, by how many. */
  #views: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(KEPT_VIEWS + 1).fill(undefined);
  #at = 0;
  /** What is written is a head: it is given up when the buffer is full. */
  #short = false;

  constructor({ maxDepth, maxMapEntries }: ScanLimits) {
    this.#maxDepth = maxDepth;
    this.#maxMapEntries = maxMapEntries;
  }

  /**
   * The bytes of `value`, valid until the next call, and the caller's own if they are more than `OWNED_BYTES`;
   * undefined when it is left to the general way. Getters may throw.
   */
  write(value: unknown): Uint8Array | undefined {
    this.#at = 0;
    const written = this.#put(value, this.#maxDepth);
    const bytes = written ? this.#written() : undefined;
    if (this.#bytes.length > OWNED_BYTES) this.#use(new Uint8Array(BUFFER));
    return bytes;
  }

  /**
   * What comes before `tail`, which `value` is or, as an array, ends in. Valid until the next call; undefined when it is
   * long or left to the general way. Throws when it is very long; getters may throw, too.
   */
  writeHead(value: unknown, tail: Uint8Array): Uint8Array | undefined {
    this.#at = 0;
    if (value !== tail && !this.#putAllButLast(value as readonly unknown[])) return undefined;
    // A getter may have taken the tail's memory away.
    if (this.#at + MAX_HEAD > MAX_HEAD_BYTES || tail.length < LARGE_BYTES) return undefined;
    this.#putBinaryHead(tail.length);
    return this.#bytes.subarray(0, this.#at);
  }

  #putAllButLast(items: readonly unknown[]): boolean {
    const room = this.#maxDepth - 1;
    const last = items.length - 1;
    this.#putSize(items.length, 0x90, 0x0f, 0xdc);
    this.#short = true;
    try {
      for (let i = 0; i < last; i++) {
        if (!this.#put(items[i], room) || this.#at > MAX_HEAD_BYTES) return false;
      }
    } finally {
      this.#short = false;
    }
    return room >= 0;
  }

  #put(value: unknown, room: number): boolean {
    if (this.#at + MAX_HEAD > this.#bytes.length) this.#grow(MAX_HEAD);
    switch (typeof value) {
      case "number":
        this.#putNumber(value);
        return true;
      case "string":
        return this.#putText(value);
      case "boolean":
        this.#bytes[this.#at++] = value ? 0xc3 : 0xc2;
        return true;
      case "undefined":
        this.#view.setUint16(this.#at, 0xd401);
        this.#view.setUint8(this.#at + 2, 0);
        this.#at += 3;
        return true;
      case "object":
        if (value === null) {
          this.#bytes[this.#at++] = 0xc0;
          return true;
        }
        return this.#putObject(value, room);
      default:
        return false;
    }
  }

  #putObject(value: object, room: number): boolean {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      return room > 0 && this.#putEntries(value as Record<string, unknown>, room - 1);
    }
    if (Array.isArray(value)) return room > 0 && this.#putItems(value, room - 1);
    if (ArrayBuffer.isView(value)) return this.#putBinary(value);
    return prototype === Date.prototype && this.#putDate((value as Date).getTime());
  }

  #putItems(items: readonly unknown[], room: number): boolean {
    const { length } = items;
    this.#putSize(length, 0x90, 0x0f, 0xdc);
    for (let i = 0; i < length; i++) if (!this.#put(items[i], room)) return false;
    return true;
  }

  #putEntries(object: Record<string, unknown>, room: number): boolean {
    const keys = Object.keys(object);
    const { length } = keys;
    if (length > this.#maxMapEntries) return false;
    this.#putSize(length, 0x80, 0x0f, 0xde);
    for (let i = 0; i < length; i++) {
      const key = keys[i]!;
      if (this.#at + MAX_HEAD > this.#bytes.length) this.#grow(MAX_HEAD);
      if (key === "__proto__" || !this.#putText(key) || !this.#put(object[key], room)) return false;
    }
    return true;
  }

  #putText(text: string): boolean {
    const { length } = text;
    if (length > SHORT_TEXT || !this.#putAscii(text)) return this.#putUnicode(text);
    return true;
  }

  /** A short text of ASCII; false, and nothing written, when it is another. */
  #putAscii(text: string): boolean {
    const { length } = text;
    if (this.#at + MAX_HEAD + SHORT_TEXT > this.#bytes.length) this.#grow(MAX_HEAD + SHORT_TEXT);
    const bytes = this.#bytes;
    let at = this.#at;
    if (length < 32) bytes[at++] = 0xa0 | length;
    else {
      bytes[at++] = 0xd9;
      bytes[at++] = length;
    }
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      bytes[at++] = unit;
    }
    this.#at = at;
    return true;
  }

  #putUnicode(text: string): boolean {
    const most = 3 * text.length;
    if (this.#at + MAX_HEAD + most > this.#bytes.length) this.#grow(MAX_HEAD + most);
    const at = this.#at;
    // Written where it stands if it is ASCII; the head of any other may turn out longer.
    const head = textHead(text.length);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(at + head));
    if (written !== text.length && LONE_SURROGATE.test(text)) return false;
    const size = textHead(written);
    if (size !== head) this.#bytes.copyWithin(at + size, at + head, at + head + written);
    if (size === 1) this.#bytes[at] = 0xa0 | written;
    else if (size === 2) this.#view.setUint16(at, 0xd900 | written);
    else if (size === 3) {
      this.#view.setUint8(at, 0xda);
      this.#view.setUint16(at + 1, written);
    } else {
      this.#view.setUint8(at, 0xdb);
      this.#view.setUint32(at + 1, written);
    }
    this.#at = at + size + written;
    return true;
  }

  #putBinary(value: ArrayBufferView): boolean {
    // A Buffer is one too, and so is what another realm made.
    if ((value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] !== "Uint8Array") return false;
    const bytes = value as Uint8Array;
    const { length } = bytes;
    this.#putBinaryHead(length);
    if (this.#at + length > this.#bytes.length) this.#grow(length);
    this.#bytes.set(bytes, this.#at);
    this.#at += length;
    return true;
  }

  #putBinaryHead(length: number): void {
    if (length < 0x100) {
      this.#view.setUint16(this.#at, 0xc400 | length);
      this.#at += 2;
    } else if (length < 0x1_0000) {
      this.#view.setUint8(this.#at, 0xc5);
      this.#view.setUint16(this.#at + 1, length);
      this.#at += 3;
    } else {
      this.#view.setUint8(this.#at, 0xc6);
      this.#view.setUint32(this.#at + 1, length);
      this.#at += 5;
    }
  }

  /** The three forms of MessagePack's timestamp, the shortest that holds it. */
  #putDate(ms: number): boolean {
    if (Number.isNaN(ms)) return false;
    const view = this.#view;
    const at = this.#at;
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = (ms - seconds * 1000) * 1_000_000;
    const high = Math.floor(seconds / 0x1_0000_0000);
    if (high < 0 || high > 3) {
      view.setUint16(at, 0xc70c);
      view.setUint8(at + 2, 0xff);
      view.setUint32(at + 3, nanoseconds);
      view.setInt32(at + 7, high);
      view.setUint32(at + 11, seconds);
      this.#at += 15;
    } else if (high > 0 || nanoseconds > 0) {
      view.setUint16(at, 0xd7ff);
      view.setUint32(at + 2, nanoseconds * 4 + high);
      view.setUint32(at + 6, seconds);
      this.#at += 10;
    } else {
      view.setUint16(at, 0xd6ff);
      view.setUint32(at + 2, seconds);
      this.#at += 6;
    }
    return true;
  }

  /** The head of an array or object: `short` with the size, or `long` and the one after it. */
  #putSize(size: number, short: number, mostShort: number, long: number): void {
    if (size <= mostShort) this.#bytes[this.#at++] = short | size;
    else if (size < 0x1_0000) {
      this.#view.setUint8(this.#at, long);
      this.#view.setUint16(this.#at + 1, size);
      this.#at += 3;
    } else {
      this.#view.setUint8(this.#at, long + 1);
      this.#view.setUint32(this.#at + 1, size);
      this.#at += 5;
    }
  }

  #putNumber(value: number): void {
    const view = this.#view;
    const at = this.#at;
    if (value >= 0 && value < 0x80 && (value | 0) === value && (value > 0 || 1 / value > 0)) {
      this.#bytes[at] = value;
      this.#at += 1;
    } else if (!Number.isSafeInteger(value) || value === 0) {
      view.setUint8(at, 0xcb);
      view.setFloat64(at + 1, value);
      this.#at += 9;
    } else if (value >= -0x20 && value < 0) {
      view.setInt8(at, value);
      this.#at += 1;
    } else if (value >= -0x80 && value < 0x100) {
      view.setUint8(at, value < 0 ? 0xd0 : 0xcc);
      view.setUint8(at + 1, value);
      this.#at += 2;
    } else if (value >= -0x8000 && value < 0x1_0000) {
      view.setUint8(at, value < 0 ? 0xd1 : 0xcd);
      view.setUint16(at + 1, value);
      this.#at += 3;
    } else if (value >= -0x8000_0000 && value < 0x1_0000_0000) {
      view.setUint8(at, value < 0 ? 0xd2 : 0xce);
      view.setUint32(at + 1, value);
      this.#at += 5;
    } else {
      view.setUint8(at, value < 0 ? 0xd3 : 0xcf);
      view.setUint32(at + 1, Math.floor(value / 0x1_0000_0000));
      view.setUint32(at + 5, value);
      this.#at += 9;
    }
  }

  /** Makes room for `size` more bytes. */
  #grow(size: number): void {
    if (this.#short) throw new RangeError("the head is too long");
    const grown = allocate(Math.max(2 * this.#bytes.length, this.#at + size + MAX_HEAD));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#use(grown);
  }

  #written(): Uint8Array {
    const size = this.#at;
    if (size > KEPT_VIEWS) return this.#bytes.subarray(0, size);
    this.#views[size] ??= this.#bytes.subarray(0, size);
    return this.#views[size];
  }

  #use(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
    this.#views.fill(undefined);
  }
}

/** Node's way to memory that need not be cleared, as all of it that is handed out is written first. */
const { allocUnsafeSlow } =
  (globalThis as { Buffer?: { allocUnsafeSlow?(size: number): { buffer: ArrayBuffer } } }).Buffer ?? {};

function allocate(size: number): Uint8Array {
  return allocUnsafeSlow === undefined ? new Uint8Array(size) : new Uint8Array(allocUnsafeSlow(size).buffer);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Bytes of the head of a text of so many bytes. */
function textHead(length: number): number {
  return length < 32 ? 1 : length < 0x100 ? 2 : length < 0x1_0000 ? 3 : 5;
}
