import type { ScanLimits } from "./scan";

// One walk that checks and builds: for messages of moderate size that hold no Map, Set or bigint, as nearly all are.
// Anything else, be it valid or not, is left to the scan and `Decoder` (`unpack.ts`), so that there is nothing to decide
// here and no error to make. A message is bounded by its own bytes: what a length announces must be there, nothing is
// allocated before it is, and no byte builds more than `BYTE_COST`. `scripts/codec-cost.mjs` has the figures.

/** More bytes of memory than any byte of a message takes: empty binary values take most, see the scan's table. */
const BYTE_COST = 128;

/** Bytes up to which a text of ASCII is made from an array of its characters. */
const SHORT_TEXT = 31;

/** What {@link readDirect} returns for a message that it leaves to the scan and `Decoder`. */
export const UNREAD = Symbol("unread");

/** Bytes of the largest message that is read directly: none of its size can cost more memory than `maxCost`. */
export function directBytes({ maxCost }: ScanLimits): number {
  return Math.floor(maxCost / BYTE_COST);
}

/**
 * Reads the one value in `bytes[start, end)`, checking it as it goes; {@link UNREAD} if it is left to others. Binary values
 * of `view` bytes or more are views of `bytes`.
 */
export function readDirect(bytes: Uint8Array, start: number, end: number, limits: ScanLimits, view: number): unknown {
  at = start;
  stop = end;
  minView = view;
  maxEntries = limits.maxMapEntries;
  const value = read(bytes, limits.maxDepth);
  return at === stop ? value : UNREAD;
}

// Where `read` is. Not in an object, since nothing can interrupt it.
let at = 0;
let stop = 0;
let maxEntries = 0;
let minView = 0;

function read(bytes: Uint8Array, room: number): unknown {
  if (at >= stop) return giveUp();
  const head = bytes[at++]!;
  if (head < 0x80) return head;
  if (head >= 0xe0) return head - 0x100;
  if (head < 0x90) return readObject(bytes, head & 0x0f, room);
  if (head < 0xa0) return readArray(bytes, head & 0x0f, room);
  if (head < 0xc0) return readText(bytes, head & 0x1f);
  switch (head) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return readBinary(bytes, readUnsigned(bytes, 1));
    case 0xc5:
      return readBinary(bytes, readUnsigned(bytes, 2));
    case 0xc6:
      return readBinary(bytes, readUnsigned(bytes, 4));
    case 0xc7:
      return readUnsigned(bytes, 2) === 0x0cff ? readTimestamp(bytes, 12) : giveUp();
    case 0xca:
      return readFloat32(bytes);
    case 0xcb:
      return readFloat64(bytes);
    case 0xcc:
      return readUnsigned(bytes, 1);
    case 0xcd:
      return readUnsigned(bytes, 2);
    case 0xce:
      return readUnsigned(bytes, 4);
    case 0xcf:
      return safe(readUnsigned(bytes, 4), bytes);
    case 0xd0:
      return (readUnsigned(bytes, 1) << 24) >> 24;
    case 0xd1:
      return (readUnsigned(bytes, 2) << 16) >> 16;
    case 0xd2:
      return readUnsigned(bytes, 4) | 0;
    case 0xd3:
      return safe(readUnsigned(bytes, 4) | 0, bytes);
    case 0xd4:
      return readUnsigned(bytes, 2) === 0x0100 ? undefined : giveUp();
    case 0xd6:
      return readUnsigned(bytes, 1) === 0xff ? readTimestamp(bytes, 4) : giveUp();
    case 0xd7:
      return readUnsigned(bytes, 1) === 0xff ? readTimestamp(bytes, 8) : giveUp();
    case 0xd9:
      return readText(bytes, readUnsigned(bytes, 1));
    case 0xda:
      return readText(bytes, readUnsigned(bytes, 2));
    case 0xdb:
      return readText(bytes, readUnsigned(bytes, 4));
    case 0xdc:
      return readArray(bytes, readUnsigned(bytes, 2), room);
    case 0xdd:
      return readArray(bytes, readUnsigned(bytes, 4), room);
    case 0xde:
      return readObject(bytes, readUnsigned(bytes, 2), room);
    case 0xdf:
      return readObject(bytes, readUnsigned(bytes, 4), room);
    default:
      return giveUp();
  }
}

/** Makes every further `read` fail, and in the end `readDirect`. */
function giveUp(): typeof UNREAD {
  at = stop + 1;
  return UNREAD;
}

function readArray(bytes: Uint8Array, size: number, room: number): unknown {
  if (room === 0 || size > stop - at) return giveUp();
  room--;
  // The arguments of nearly every call: an array that grows has room for seventeen values at first.
  if (size === 1) return [read(bytes, room)];
  if (size === 2) return [read(bytes, room), read(bytes, room)];
  if (size === 3) return [read(bytes, room), read(bytes, room), read(bytes, room)];
  const array: unknown[] = [];
  while (size-- > 0 && at <= stop) array.push(read(bytes, room));
  return array;
}

function readObject(bytes: Uint8Array, size: number, room: number): unknown {
  if (room === 0 || size > maxEntries || size * 2 > stop - at) return giveUp();
  const object: Record<string, unknown> = {};
  while (size-- > 0 && at < stop) {
    const key = readKey(bytes);
    if (key === UNREAD || key === "__proto__") return giveUp();
    object[key] = read(bytes, room - 1);
  }
  return size < 0 ? object : giveUp();
}

/** Keys come again and again: what was made of their bytes last time is kept in a table, by their hash. */
const KEYS = 512;
const keys = new Array<string>(KEYS).fill("");

function readKey(bytes: Uint8Array): string | typeof UNREAD {
  const head = bytes[at++]!;
  const length = head & 0x1f;
  if (head === 0xd9) return readText(bytes, readUnsigned(bytes, 1));
  if ((head & 0xe0) !== 0xa0 || at + length > stop) return giveUp();
  const hash = length * 3 + bytes[at]! * 5 + bytes[at + (length >> 1)]! * 7 + bytes[at + length - 1]! * 11;
  const place = hash & (KEYS - 1);
  const known = keys[place]!;
  if (known.length === length) {
    let same = 0;
    while (same < length && known.charCodeAt(same) === bytes[at + same]) same++;
    if (same === length) {
      at += length;
      return known;
    }
  }
  const ascii = isAscii(bytes, at, at + length);
  const key = readText(bytes, length);
  if (ascii && key !== UNREAD) keys[place] = key;
  return key;
}

/** One array of code units for each length, since `apply` on it makes a flat string, and adding characters does not. */
const UNITS = Array.from({ length: SHORT_TEXT + 1 }, (_, length) => new Array<number>(length).fill(0));

function readText(bytes: Uint8Array, length: number): string | typeof UNREAD {
  const end = at + length;
  if (end > stop) return giveUp();
  if (length > SHORT_TEXT) return readLongText(bytes, end);
  const units = UNITS[length]!;
  for (let i = 0; i < length; i++) {
    const unit = bytes[at + i]!;
    if (unit >= 0x80) return readLongText(bytes, end);
    units[i] = unit;
  }
  at = end;
  return String.fromCharCode.apply(null, units);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of text up to which looking for ASCII here, for `latin1Slice`, is faster than the decoder's own look. */
const MIDDLING_TEXT = 64;

/** `latin1Slice` of Node's Buffer, the fastest way to a string of ASCII; undefined elsewhere. */
const latin1Slice = (
  globalThis as { Buffer?: { prototype: { latin1Slice?(this: Uint8Array, start: number, end: number): string } } }
).Buffer?.prototype.latin1Slice;

function readLongText(bytes: Uint8Array, end: number): string | typeof UNREAD {
  const start = at;
  at = end;
  if (end - start <= MIDDLING_TEXT && latin1Slice !== undefined && isAscii(bytes, start, end)) {
    return latin1Slice.call(bytes, start, end);
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    return giveUp();
  }
}

function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  let all = 0;
  for (let i = start; i < end; i++) all |= bytes[i]!;
  return all < 0x80;
}

function readBinary(bytes: Uint8Array, length: number): unknown {
  if (at + length > stop) return giveUp();
  // Not `subarray` or `slice`: those of a Buffer are a Buffer.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset + at, length);
  at += length;
  return length >= minView ? view : view.slice();
}

function readUnsigned(bytes: Uint8Array, width: number): number {
  let value = 0;
  while (width-- > 0) value = value * 0x100 + bytes[at++]!;
  // Where bytes are missing there is no number.
  return at > stop ? 0 : value;
}

/** The integer of 64 bits that begins with `high`, if a number can hold it. */
function safe(high: number, bytes: Uint8Array): number | typeof UNREAD {
  const value = high * 0x1_0000_0000 + readUnsigned(bytes, 4);
  return Number.isSafeInteger(value) ? value : giveUp();
}

const scratch = new DataView(new ArrayBuffer(8));

function readFloat64(bytes: Uint8Array): number {
  scratch.setUint32(0, readUnsigned(bytes, 4));
  scratch.setUint32(4, readUnsigned(bytes, 4));
  return scratch.getFloat64(0);
}

function readFloat32(bytes: Uint8Array): number {
  scratch.setUint32(0, readUnsigned(bytes, 4));
  return scratch.getFloat32(0);
}

/** Milliseconds either side of 1970 that a Date can hold. */
const MAX_DATE = 8.64e15;

function readTimestamp(bytes: Uint8Array, size: 4 | 8 | 12): unknown {
  if (at + size > stop) return giveUp();
  let nanoseconds = 0;
  let seconds = 0;
  if (size === 12) {
    nanoseconds = readUnsigned(bytes, 4);
    seconds = (readUnsigned(bytes, 4) | 0) * 0x1_0000_0000;
  } else if (size === 8) {
    const both = readUnsigned(bytes, 4);
    nanoseconds = both >>> 2;
    seconds = (both & 3) * 0x1_0000_0000;
  }
  seconds += readUnsigned(bytes, 4);
  const ms = seconds * 1e3 + nanoseconds / 1e6;
  return nanoseconds < 1e9 && Math.abs(ms) <= MAX_DATE ? new Date(ms) : giveUp();
}
