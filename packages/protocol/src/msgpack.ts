import type { Codec } from "./codec";
import type { MsgpackEngine } from "./engine";
import { Pack } from "./pack";
import { Unpack } from "./unpack";

/** What one message may cost, either way. A message beyond a limit is refused; nothing of it is built. */
export interface CodecLimits {
  /** Containers (arrays, objects, Maps, Sets) inside one another. Default 64. */
  readonly maxDepth: number;
  /** Bytes of memory that decoding one message may build; about eight times the largest message. Default 32 MiB. */
  readonly maxCost: number;
  /** Entries of one object, Map or Set. Default 65 536. */
  readonly maxMapEntries: number;
}

/** Options of {@link msgpack}. */
export interface MsgpackOptions extends Partial<CodecLimits> {
  /** Writes and reads what is plain MessagePack. Default: `@msgpack/msgpack`. */
  readonly engine?: MsgpackEngine;
}

const DEFAULT_LIMITS: CodecLimits = {
  maxDepth: 64,
  maxCost: 32 * 1024 * 1024,
  maxMapEntries: 65_536,
};

/**
 * The default codec: MessagePack, exact for every value that it accepts.
 *
 * These arrive as they were sent: null, undefined (in an array, as a property, alone), booleans, every number including
 * -0, NaN and ±Infinity, bigints of up to 64 bits, well-formed strings, `Uint8Array`, `Date`, arrays, plain objects,
 * `Map` and `Set`, in one another to any depth within the limits.
 *
 * These arrive as something near: a `Buffer` as a `Uint8Array`; an object without prototype as a plain one; a subclass
 * of `Array` as an array, and a hole in an array as undefined. Properties that are not enumerable, or whose key is a
 * symbol, are left out, as are extra properties of arrays. `toJSON` is not called. A getter may be
 * called more than once.
 *
 * These are refused with a {@link CodecError} that names the path: functions, symbols, instances of other classes
 * (errors, typed arrays other than `Uint8Array`, boxed primitives, …), bigints of more than 64 bits, invalid Dates,
 * strings with a lone surrogate, the key `__proto__`, and values that are cyclic or beyond the limits.
 *
 * From a peer in another language, an integer beyond ±(2^53 - 1) arrives as a bigint and every other one as a number; a
 * timestamp is cut to milliseconds; of equal keys in one map the last counts. Keys must be strings, except in a Map.
 *
 * The extension types are listed in `extension.ts` and in `docs/protocol.md`.
 */
export function msgpack({ engine, ...limits }: MsgpackOptions = {}): Codec {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const pack = new Pack(all, engine);
  const unpack = new Unpack(all, engine);
  return {
    name: "msgpack",
    encode: (value, root) => pack.encode(value, root),
    decode: (bytes, start, end, owned) => unpack.decode(bytes, start, end, owned),
  };
}
