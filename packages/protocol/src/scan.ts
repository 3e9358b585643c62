import { CodecError, type CodecLimit } from "./codec";
import { BIGINT, MAP, SET, TIMESTAMP, UNDEFINED } from "./extension";
import { Shapes } from "./shapes";

/** What a {@link Scan} holds messages to. */
export interface ScanLimits {
  /** Containers (arrays, objects, Maps, Sets) inside one another. */
  readonly maxDepth: number;
  /** Bytes of memory that decoding one message may build. */
  readonly maxCost: number;
  /** Entries of one object, Map or Set. */
  readonly maxMapEntries: number;
  /** Told of the limit when something is refused because of it. */
  readonly onLimit?: ((limit: CodecLimit) => void) | undefined;
}

/**
 * Bytes of memory that V8 takes for one decoded thing, rounded up from what `scripts/codec-cost.mjs` measures. `key` is
 * for one that gives its object a shape that the message did not have before, see {@link Shapes}.
 */
const COST = {
  slot: 8,
  number: 16,
  string: 24,
  key: 80,
  array: 48,
  object: 56,
  hash: 200,
  bytes: 216,
  ext: 96,
} as const;

/** How many bytes of number (a length or the value itself, and the type of an extension) follow the heads c0 … df. */
const WIDTH = Uint8Array.of(
  ...[0, 0, 0, 0, 1, 2, 4, 2, 3, 5, 4, 8, 1, 2, 4, 8],
  ...[1, 2, 4, 8, 1, 1, 1, 1, 1, 1, 2, 4, 2, 4, 2, 4],
);

/** Milliseconds either side of 1970 that a Date can hold. */
const MAX_DATE = 8.64e15;

/** From this many bytes on, Node's own check is faster than a loop. */
const LONG_TEXT = 96;

/** `isUtf8` of Node's buffer module, which has no global; undefined elsewhere. */
const isUtf8 = (
  globalThis as {
    process?: {
      getBuiltinModule?(name: "buffer"): {
        isUtf8?(bytes: Uint8Array): boolean;
      };
    };
  }
).process?.getBuiltinModule?.("buffer").isUtf8;

// What the values of an open container are. An extension is a Map or Set: an array that ends exactly where its bytes do.
const ROOT = 0;
const ARRAY = 1;
const OBJECT = 2;
const EXTENSION = 3;

/**
 * Reads a whole message once, in place, before anything is built from it. What passes is exactly one well-formed value
 * that `Decoder` accepts and whose memory is within the limits.
 *
 * It is iterative and allocates nothing per node, because a decoder that trusts the lengths it reads can be made to
 * take gigabytes by five bytes, and one that recurses to overflow its stack by a few thousand.
 */
export class Scan {
  /** Whether the last message has binary values. */
  binary = false;

  /** Whether it has values of extension types. */
  extensions = false;

  /**
   * Offsets from `start` of values in the last message that `Decoder` would not give back exactly: integers beyond
   * 2^53, and strings beginning with U+FEFF.
   */
  readonly inexact: number[] = [];

  readonly #limits: ScanLimits;

  // The containers around the innermost one. Of each: its kind, the values it still lacks, the
  // byte it must not pass, and the shape that an object has so far.
  readonly #kinds: Uint8Array;
  readonly #lacks: Int32Array;
  readonly #stops: Int32Array;
  readonly #shapesAround: Int32Array;

  readonly #shapes = new Shapes();

  constructor(limits: ScanLimits) {
    this.#limits = limits;
    this.#kinds = new Uint8Array(limits.maxDepth);
    this.#lacks = new Int32Array(limits.maxDepth);
    this.#stops = new Int32Array(limits.maxDepth);
    this.#shapesAround = new Int32Array(limits.maxDepth);
  }

  /**
   * Checks that `bytes[start, end)` is one acceptable value.
   *
   * @throws CodecError naming the offset from `start` of the first value that is not.
   */
  check(bytes: Uint8Array, start: number, end: number): void {
    const { maxDepth, maxCost, maxMapEntries } = this.#limits;
    this.binary = false;
    this.extensions = false;
    this.inexact.length = 0;
    this.#shapes.clear();

    let at = start;
    let cost = 0;
    let depth = 0;
    let kind: number = ROOT;
    let lacks = 1;
    let stop = end;
    let shape = 0;

    for (;;) {
      while (lacks === 0) {
        if (kind === EXTENSION && at !== stop) throw malformed("an extension that is too long", at - start);
        if (depth === 0) {
          if (at !== end) throw malformed("bytes after the value", at - start);
          return;
        }
        depth--;
        kind = this.#kinds[depth]!;
        lacks = this.#lacks[depth]!;
        stop = this.#stops[depth]!;
        shape = this.#shapesAround[depth]!;
      }

      const offset = at - start;
      if (at >= stop) throw malformed("truncated", offset);
      const isKey = kind === OBJECT && (lacks & 1) === 0;
      lacks--;

      // A head says what follows it: nothing more, so many bytes of text, so many others, or so many values.
      const head = bytes[at++]!;
      let text = -1;
      let skip = 0;
      let values = -1;
      let opens: number = ARRAY;
      let opensUntil = stop;

      if (head >= 0xc0 && head < 0xe0) {
        const number = at;
        at += WIDTH[head - 0xc0]!;
        if (at > stop) throw malformed("truncated", offset);
        switch (head) {
          case 0xc1:
            throw malformed("c1 is not a value", offset);
          case 0xc4:
          case 0xc5:
          case 0xc6:
            skip = unsigned(bytes, number, at);
            cost += COST.bytes + skip;
            this.binary = true;
            break;
          case 0xd9:
          case 0xda:
          case 0xdb:
            text = unsigned(bytes, number, at);
            if (text >= 3 && bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) {
              this.inexact.push(offset);
              cost += COST.ext;
            }
            break;
          case 0xdc:
          case 0xdd:
            values = unsigned(bytes, number, at);
            break;
          case 0xde:
          case 0xdf:
            values = unsigned(bytes, number, at);
            opens = OBJECT;
            break;
          case 0xc7:
          case 0xc8:
          case 0xc9:
          case 0xd4:
          case 0xd5:
          case 0xd6:
          case 0xd7:
          case 0xd8: {
            const size = head < 0xd4 ? unsigned(bytes, number, at - 1) : 1 << (head - 0xd4);
            const type = (bytes[at - 1]! << 24) >> 24;
            if (size > stop - at) throw malformed("truncated", offset);
            cost += COST.ext;
            this.extensions = true;
            if (type === MAP || type === SET) {
              opens = EXTENSION;
              opensUntil = at + size;
              const first = size === 0 ? 0 : bytes[at++]!;
              const width = first >= 0x90 && first < 0xa0 ? 0 : first === 0xdc ? 2 : first === 0xdd ? 4 : opensUntil;
              if (at + width > opensUntil) throw malformed("a Map or Set that is not an array", offset);
              values = width === 0 ? first & 0x0f : unsigned(bytes, at, at + width);
              at += width;
              if (type === MAP && values % 2 !== 0) throw malformed("a Map with a key but no value", offset);
              if (values > (type === MAP ? 2 * maxMapEntries : maxMapEntries)) {
                throw this.#over("maxMapEntries", "more than maxMapEntries", maxMapEntries, offset);
              }
              cost += COST.hash + COST.slot * 4 * values;
            } else {
              const reason = refuse(bytes, at, size, type);
              if (reason !== undefined) throw malformed(reason, offset);
              skip = size;
            }
            break;
          }
          case 0xcf:
          case 0xd3:
            if (isWide(bytes, number, head === 0xd3)) {
              this.inexact.push(offset);
              cost += COST.ext;
            }
            cost += COST.number;
            break;
          default:
            if (at - number >= 4) cost += COST.number;
        }
      } else if (head >= 0x80 && head < 0xc0) {
        if (head >= 0xa0) {
          text = head & 0x1f;
        } else {
          values = head & 0x0f;
          if (head < 0x90) opens = OBJECT;
        }
      }

      if (isKey) {
        if (text < 0) throw malformed("a key that is not a string", offset);
        if (text === PROTO.length && PROTO.every((byte, i) => bytes[at + i] === byte)) {
          throw malformed("the key __proto__", offset);
        }
      }

      if (text >= 0) {
        if (text > stop - at) throw malformed("truncated", offset);
        if (!isText(bytes, at, at + text)) throw malformed("a string that is not UTF-8", offset);
        if (isKey) {
          const { last } = this.#shapes;
          shape = this.#shapes.extend(shape, bytes, at, text);
          if (shape > last) cost += COST.key + COST.string + 2 * text;
        } else {
          cost += COST.string + 2 * text;
        }
        at += text;
      } else if (values >= 0) {
        if (opens === OBJECT) {
          if (values > maxMapEntries)
            throw this.#over("maxMapEntries", "more than maxMapEntries", maxMapEntries, offset);
          cost += COST.object + COST.slot * values;
          values *= 2;
        } else {
          cost += COST.array + COST.slot * values;
        }
        if (values > opensUntil - at) throw malformed("truncated", offset);
        if (depth === maxDepth) throw this.#over("maxDepth", "deeper than maxDepth", maxDepth, offset);
        this.#kinds[depth] = kind;
        this.#lacks[depth] = lacks;
        this.#stops[depth] = stop;
        this.#shapesAround[depth] = shape;
        depth++;
        kind = opens;
        lacks = values;
        stop = opensUntil;
        shape = 0;
      } else if (skip > 0) {
        if (skip > stop - at) throw malformed("truncated", offset);
        at += skip;
      }
      if (cost > maxCost) throw this.#over("maxDecodeBytes", "more memory than maxCost", maxCost, offset);
    }
  }

  #over(limit: CodecLimit, what: string, most: number, offset: number): CodecError {
    this.#limits.onLimit?.(limit);
    return new CodecError(`cannot decode: ${what} ${most}, at byte ${offset}`);
  }
}

const PROTO = [..."__proto__"].map((character) => character.charCodeAt(0));

function malformed(what: string, offset: number): CodecError {
  return new CodecError(`cannot decode: ${what}, at byte ${offset}`);
}

function unsigned(bytes: Uint8Array, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) number = number * 256 + bytes[at]!;
  return number;
}

function uint32(bytes: Uint8Array, at: number): number {
  return unsigned(bytes, at, at + 4);
}

/** Whether the 64-bit integer at `at` is one that a number cannot hold exactly: beyond ±(2^53 - 1). */
function isWide(bytes: Uint8Array, at: number, signed: boolean): boolean {
  const high = uint32(bytes, at);
  if (!signed || high < 0x80000000) return high > 0x1fffff;
  return high < 0xffe00000 || (high === 0xffe00000 && uint32(bytes, at + 4) === 0);
}

/** Why an extension other than Map and Set cannot be accepted; undefined when it can. */
function refuse(bytes: Uint8Array, at: number, size: number, type: number): string | undefined {
  switch (type) {
    case UNDEFINED:
      return size === 1 && bytes[at] === 0 ? undefined : "an undefined of another form";
    case BIGINT:
      return size === 8 && !isWide(bytes, at, true) ? undefined : "a bigint of another form";
    case TIMESTAMP:
      return isTimestamp(bytes, at, size) ? undefined : "a timestamp that is no Date";
    default:
      return `the unknown extension type ${type}`;
  }
}

function isTimestamp(bytes: Uint8Array, at: number, size: number): boolean {
  if (size === 4) return true;
  if (size === 8) return uint32(bytes, at) >>> 2 < 1e9;
  if (size !== 12) return false;
  const nanoseconds = uint32(bytes, at);
  const seconds = (uint32(bytes, at + 4) | 0) * 0x1_0000_0000 + uint32(bytes, at + 8);
  return nanoseconds < 1e9 && Math.abs(seconds * 1e3 + nanoseconds / 1e6) <= MAX_DATE;
}

/** Whether `bytes[at, end)` is strict UTF-8: nothing overlong, cut, or meant for UTF-16 only. */
function isText(bytes: Uint8Array, at: number, end: number): boolean {
  if (isUtf8 !== undefined && end - at >= LONG_TEXT) return isUtf8(bytes.subarray(at, end));
  while (at < end) {
    const first = bytes[at++]!;
    if (first < 0x80) continue;
    // Table 3-7 of the Unicode standard: it is the second byte that tells overlong forms, surrogates and > U+10FFFF.
    if (first < 0xc2 || first > 0xf4) return false;
    const more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (at + more > end) return false;
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    const second = bytes[at]!;
    if (second < low || second > high) return false;
    for (let i = 1; i < more; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return false;
    at += more;
  }
  return true;
}
