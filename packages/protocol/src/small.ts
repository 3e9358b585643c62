import type { ScanLimits } from "./scan";

// A fast way for values that fit into a few bytes and are made of nothing but null, booleans, numbers, short ASCII
// strings and short arrays and objects, as most arguments and results are. Anything else, be it valid or not, is left
// to the general way, so that there is nothing to decide here and no error to make: not a second codec.
//
// It pays because setting up `Decoder` takes longer than reading such a value, and because one walk that checks and
// writes takes half the time of a walk that checks and one that writes. `scripts/codec-cost.mjs` has the figures.

/** Bytes of the largest message that is tried: reading further in vain would cost more than the tries that succeed save. */
export const SMALL = 256;

/** Entries and bytes that a head of one byte can announce. */
const MAX_ENTRIES = 15;
const MAX_TEXT = 31;

/** More memory than any small message costs. */
const MAX_COST = 64 * 1024;

/** Whether no small value can be beyond these limits, but for its depth. */
export function allowsSmall(limits: ScanLimits): boolean {
  return limits.maxMapEntries >= MAX_ENTRIES && limits.maxCost >= MAX_COST;
}

/** Writes small values, into a buffer of its own. */
export class SmallWriter {
  readonly #bytes = new Uint8Array(SMALL + 1 + MAX_TEXT);
  readonly #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** The bytes of `value`, valid until the next call; undefined when it is left to `Encoder`. Getters may throw. */
  write(value: unknown, maxDepth: number): Uint8Array | undefined {
    this.#at = 0;
    return this.#put(value, maxDepth) ? this.#bytes.subarray(0, this.#at) : undefined;
  }

  #put(value: unknown, room: number): boolean {
    if (this.#at > SMALL) return false;
    switch (typeof value) {
      case "number":
        this.#putNumber(value);
        return true;
      case "string":
        return this.#putText(value);
      case "boolean":
        this.#bytes[this.#at++] = value ? 0xc3 : 0xc2;
        return true;
      case "object":
        if (value === null) {
          this.#bytes[this.#at++] = 0xc0;
          return true;
        }
        if (room === 0) return false;
        return Array.isArray(value) ? this.#putArray(value, room - 1) : this.#putObject(value, room - 1);
      default:
        return false;
    }
  }

  #putArray(array: readonly unknown[], room: number): boolean {
    const { length } = array;
    if (length > MAX_ENTRIES) return false;
    this.#bytes[this.#at++] = 0x90 | length;
    for (let i = 0; i < length; i++) if (!this.#put(array[i], room)) return false;
    return true;
  }

  #putObject(object: object, room: number): boolean {
    const prototype: unknown = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null) return false;
    const keys = Object.keys(object);
    if (keys.length > MAX_ENTRIES) return false;
    this.#bytes[this.#at++] = 0x80 | keys.length;
    for (const key of keys) {
      if (key === "__proto__" || this.#at > SMALL || !this.#putText(key)) return false;
      if (!this.#put((object as Record<string, unknown>)[key], room)) return false;
    }
    return true;
  }

  #putText(text: string): boolean {
    const { length } = text;
    if (length > MAX_TEXT) return false;
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = 0xa0 | length;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      bytes[at++] = unit;
    }
    this.#at = at;
    return true;
  }

  #putNumber(value: number): void {
    const view = this.#view;
    const at = this.#at;
    if (!Number.isSafeInteger(value) || (value === 0 && 1 / value < 0)) {
      view.setUint8(at, 0xcb);
      view.setFloat64(at + 1, value);
      this.#at += 9;
    } else if (value >= -0x20 && value < 0x80) {
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
}

/** What {@link readSmall} returns for a message that it leaves to the scan and `Decoder`. */
export const UNREAD = Symbol("unread");

/** Reads the one small value in `bytes[start, end)`, checking it as it goes; {@link UNREAD} if it is anything else. */
export function readSmall(bytes: Uint8Array, start: number, end: number, maxDepth: number): unknown {
  at = start;
  stop = end;
  const value = read(bytes, maxDepth);
  return at === stop ? value : UNREAD;
}

// Where `read` is. Not in an object, since nothing can interrupt it.
let at = 0;
let stop = 0;

function read(bytes: Uint8Array, room: number): unknown {
  if (at >= stop) return giveUp();
  const head = bytes[at++]!;
  if (head < 0x80) return head;
  if (head >= 0xe0) return head - 0x100;
  if (head < 0x90) return room === 0 ? giveUp() : readObject(bytes, head & 0x0f, room - 1);
  if (head < 0xa0) return room === 0 ? giveUp() : readArray(bytes, head & 0x0f, room - 1);
  if (head < 0xc0) return readText(bytes, head & 0x1f);
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xcb:
      return readFloat(bytes);
    case 0xcc:
      return readUnsigned(bytes, 1);
    case 0xcd:
      return readUnsigned(bytes, 2);
    case 0xce:
      return readUnsigned(bytes, 4);
    case 0xcf: {
      const value = readUnsigned(bytes, 8);
      return value <= Number.MAX_SAFE_INTEGER ? value : giveUp();
    }
    case 0xd0:
      return (readUnsigned(bytes, 1) << 24) >> 24;
    case 0xd1:
      return (readUnsigned(bytes, 2) << 16) >> 16;
    case 0xd2:
      return readUnsigned(bytes, 4) | 0;
    default:
      return giveUp();
  }
}

/** Makes every further `read` fail, and in the end `readSmall`. */
function giveUp(): typeof UNREAD {
  at = stop + 1;
  return UNREAD;
}

function readArray(bytes: Uint8Array, size: number, room: number): unknown[] {
  const array: unknown[] = [];
  while (size-- > 0) array.push(read(bytes, room));
  return array;
}

function readObject(bytes: Uint8Array, size: number, room: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  while (size-- > 0) {
    const head = at < stop ? bytes[at++]! : 0;
    const key = head >= 0xa0 && head < 0xc0 ? readText(bytes, head & 0x1f) : UNREAD;
    if (key === UNREAD || key === "__proto__") {
      giveUp();
      break;
    }
    object[key] = read(bytes, room);
  }
  return object;
}

/** One array of code units for each length, since `apply` on it makes a flat string, and adding characters does not. */
const UNITS = Array.from({ length: MAX_TEXT + 1 }, (_, length) => new Array<number>(length).fill(0));

function readText(bytes: Uint8Array, length: number): string | typeof UNREAD {
  if (at + length > stop) return giveUp();
  const units = UNITS[length]!;
  for (let i = 0; i < length; i++) {
    const unit = bytes[at++]!;
    if (unit >= 0x80) return giveUp();
    units[i] = unit;
  }
  return String.fromCharCode.apply(null, units);
}

function readUnsigned(bytes: Uint8Array, width: number): number {
  let value = 0;
  while (width-- > 0) value = value * 0x100 + bytes[at++]!;
  return value;
}

const scratch = new DataView(new ArrayBuffer(8));

function readFloat(bytes: Uint8Array): number {
  for (let i = 0; i < 8; i++) scratch.setUint8(i, bytes[at++]!);
  return scratch.getFloat64(0);
}
