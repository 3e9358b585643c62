import { type Codec, type CodecLimit, type LargeMessage, largeTail } from "./codec";
import { directBytes, readDirect, UNREAD } from "./direct-reader";
import { DirectWriter } from "./direct-writer";
import type { MsgpackEngine } from "./engine";
import type { Pack } from "./pack";
import type { Unpack } from "./unpack";

/** What one message may cost, either way. A message beyond a limit is refused; nothing of it is built. */
export interface CodecLimits {
  /** Containers (arrays, objects, Maps, Sets) inside one another. Default 64. */
  readonly maxDepth: number;
  /** Bytes of memory that decoding one message may build; about eight times the largest message. Default 32 MiB. */
  readonly maxCost: number;
  /** Entries of one object, Map or Set. Default 65 536. */
  readonly maxMapEntries: number;
  /** Told of the limit when a value or message is refused because of it: a server or client counts so. Must not throw. */
  readonly onLimit?: ((limit: CodecLimit) => void) | undefined;
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
 *
 * Throws a RangeError (`ERR_RAP_LIMIT`) for a limit that does not exist, or is no positive number.
 */
export function msgpack({ engine, onLimit, ...limits }: MsgpackOptions = {}): Codec {
  const { encode, encodeLarge, decode } = new Msgpack({ ...limitsOf(limits), onLimit }, engine);
  return { name: "msgpack", encode, encodeLarge, decode };
}

function limitsOf(given: Partial<CodecLimits>): CodecLimits {
  for (const [name, value] of Object.entries(given)) {
    const known = Object.hasOwn(DEFAULT_LIMITS, name);
    if (known && (value === undefined || (typeof value === "number" && value > 0))) continue;
    const message = known
      ? `limit ${name} of a codec must be a positive number, not ${String(value)}`
      : `a codec has no limit "${name.slice(0, 64)}": it has ${Object.keys(DEFAULT_LIMITS).join(", ")}`;
    throw Object.assign(new RangeError(message), { code: "ERR_RAP_LIMIT" });
  }
  const {
    maxDepth = DEFAULT_LIMITS.maxDepth,
    maxCost = DEFAULT_LIMITS.maxCost,
    maxMapEntries = DEFAULT_LIMITS.maxMapEntries,
  } = given;
  return { maxDepth, maxCost, maxMapEntries };
}

/** A binary value that is at least this part of an owned message is a view of it: copying less keeps little alive. */
const MIN_SHARE = 1 / 4;

/**
 * Nearly all values are written and read directly. The general ways, and `@msgpack/msgpack` behind them, are loaded when
 * the first value needs them: a twelfth of the time that loading `@rap/client` takes.
 */
class Msgpack {
  readonly #limits: CodecLimits;
  readonly #engine: MsgpackEngine | undefined;
  readonly #writer: DirectWriter;
  readonly #directBytes: number;
  #pack: Pack | undefined;
  #unpack: Unpack | undefined;
  #writing = false;

  constructor(limits: CodecLimits, engine: MsgpackEngine | undefined) {
    this.#limits = limits;
    this.#engine = engine;
    this.#writer = new DirectWriter(limits);
    this.#directBytes = directBytes(limits);
  }

  readonly encode = (value: unknown, root?: string): Uint8Array => {
    // A getter in the value may use the codec itself.
    if (this.#writing) return new Msgpack(this.#limits, undefined).encode(value, root);
    this.#writing = true;
    try {
      return this.#writeDirectly(value) ?? this.#general().encode(value, root);
    } finally {
      this.#writing = false;
    }
  };

  readonly encodeLarge = (value: unknown): LargeMessage | undefined => {
    const tail = largeTail(value);
    if (tail === undefined || this.#writing) return undefined;
    this.#writing = true;
    try {
      const head = this.#writer.writeHead(value, tail);
      return head && { head, tail };
    } catch {
      return undefined;
    } finally {
      this.#writing = false;
    }
  };

  readonly decode = (bytes: Uint8Array, start: number, end: number, owned: boolean): unknown => {
    const minView = owned ? (end - start) * MIN_SHARE : Infinity;
    if (end - start <= this.#directBytes) {
      const value = readDirect(bytes, start, end, this.#limits, minView);
      if (value !== UNREAD) return value;
    }
    this.#unpack ??= new (require("./unpack") as typeof import("./unpack")).Unpack(this.#limits, this.#engine);
    return this.#unpack.decode(bytes, start, end, minView);
  };

  #writeDirectly(value: unknown): Uint8Array | undefined {
    try {
      return this.#writer.write(value);
    } catch {
      // A getter threw. The general walk meets it again, and knows its path.
      return undefined;
    }
  }

  #general(): Pack {
    this.#pack ??= new (require("./pack") as typeof import("./pack")).Pack(this.#limits, this.#engine);
    return this.#pack;
  }
}
