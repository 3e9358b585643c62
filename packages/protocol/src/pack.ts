import { Encoder, ExtData, encodeDateToTimeSpec, encodeTimeSpecToTimestamp } from "@msgpack/msgpack";
import { CodecError, OWNED_BYTES } from "./codec";
import type { MsgpackEngine } from "./engine";
import { BIGINT, MAP, SET, TIMESTAMP, UNDEFINED } from "./extension";
import type { ScanLimits } from "./scan";

/** An encoder's buffer that has grown past this many bytes is let go after use. */
const MAX_KEPT_BUFFER = 1 << 20;

const NOTHING = new ExtData(UNDEFINED, Uint8Array.of(0));

/**
 * The encoding half of the msgpack codec: one walk that refuses what cannot be sent and replaces what `Encoder` would
 * damage, then `Encoder`. A value with nothing special in it is not copied, and is the engine's if there is one.
 */
export class Pack {
  readonly #limits: ScanLimits;
  readonly #engine: MsgpackEngine | undefined;
  #encoder = newEncoder();

  /** Where the walk is: the containers around the current value, and the key or index taken in each of them. */
  readonly #around: (object | undefined)[] = [];
  readonly #taken: (string | number)[] = [];
  #depth = 0;

  readonly #slots: Slot[] = [];

  constructor(limits: ScanLimits, engine?: MsgpackEngine) {
    this.#limits = limits;
    this.#engine = engine;
  }

  /** As `Codec.encode`, but may be called only when no other call is under way. */
  encode(value: unknown, root = "value"): Uint8Array {
    this.#depth = 0;
    try {
      const replaced = this.#replace(value, 0);
      if (this.#engine !== undefined && replaced === value) return own(this.#engine.encode(value));
      const bytes = this.#write(replaced, 0);
      if (bytes.buffer.byteLength > MAX_KEPT_BUFFER) this.#encoder = newEncoder();
      return own(bytes);
    } catch (cause) {
      const path = root + this.#path();
      if (cause instanceof Refusal) throw new CodecError(cause.reason, path);
      throw new CodecError("reading it failed", path, { cause });
    } finally {
      if (this.#depth > 0) this.#around.length = 0;
      if (this.#slots.length > 0) this.#slots.length = 0;
    }
  }

  /** Encodes a replaced value, whose slots are those from `mark` on. */
  #write(value: unknown, mark: number): Uint8Array {
    const bytes = this.#encoder.encodeSharedRef(value);
    while (this.#slots.length > mark) this.#slots.pop()!.fill(bytes);
    return bytes;
  }

  /** What `Encoder` must be given so that `value` arrives: the value itself, nearly always. */
  #replace(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "number":
        return value === 0 && 1 / value < 0 ? this.#slot(0xcb, 1n << 63n) : value;
      case "string":
        if (!isWellFormed(value)) throw new Refusal("a string with a lone surrogate cannot be sent");
        return value;
      case "boolean":
        return value;
      case "undefined":
        return NOTHING;
      case "bigint":
        return this.#bigint(value);
      case "object":
        return value === null ? null : this.#object(value, depth);
      default:
        throw new Refusal(`a ${typeof value} cannot be sent`);
    }
  }

  #object(value: object, depth: number): unknown {
    const kind = kindOf(value);
    // One of another realm would be no Uint8Array to an engine.
    if (kind === "Uint8Array") return value instanceof Uint8Array ? value : Uint8Array.from(value as Uint8Array);
    if (kind === "Date") return timestamp(value as Date);
    if (depth === this.#limits.maxDepth) throw this.#tooDeep(value);
    switch (kind) {
      case "Array":
        return this.#items(value, value as unknown[], depth);
      case "Object":
        return this.#entries(value as Record<string, unknown>, depth);
      case "Map":
        return this.#extension(MAP, value as Map<unknown, unknown>, depth);
      case "Set":
        return this.#extension(SET, value as Set<unknown>, depth);
    }
  }

  #items(container: object, items: readonly unknown[], depth: number): readonly unknown[] {
    this.#enter(container, depth);
    let copy: unknown[] | undefined;
    for (let i = 0; i < items.length; i++) {
      this.#taken[depth] = i;
      const item = items[i];
      const replaced = this.#replace(item, depth + 1);
      if (copy === undefined && !Object.is(replaced, item)) copy = items.slice(0, i);
      copy?.push(replaced);
    }
    this.#leave(depth);
    return copy ?? items;
  }

  #entries(object: Record<string, unknown>, depth: number): Record<string, unknown> {
    const keys = Object.keys(object);
    this.#checkSize(keys.length);
    this.#enter(object, depth);
    let copy: Record<string, unknown> | undefined;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      this.#taken[depth] = key;
      if (key === "__proto__") throw new Refusal("the key __proto__ cannot be sent");
      if (!isWellFormed(key)) throw new Refusal("a key with a lone surrogate cannot be sent");
      const item = object[key];
      const replaced = this.#replace(item, depth + 1);
      if (copy === undefined && !Object.is(replaced, item)) {
        copy = {};
        for (const before of keys.slice(0, i)) copy[before] = object[before];
      }
      if (copy !== undefined) copy[key] = replaced;
    }
    this.#leave(depth);
    return copy ?? object;
  }

  #extension(
    type: typeof MAP | typeof SET,
    container: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>,
    depth: number,
  ): ExtData {
    this.#checkSize(container.size);
    const items = type === MAP ? [...(container as ReadonlyMap<unknown, unknown>)].flat() : [...container];
    const mark = this.#slots.length;
    return new ExtData(type, this.#write(this.#items(container, items, depth), mark).slice());
  }

  #enter(container: object, depth: number): void {
    this.#around[depth] = container;
    this.#depth = depth + 1;
  }

  #leave(depth: number): void {
    this.#around[depth] = undefined;
    this.#depth = depth;
  }

  #bigint(value: bigint): ExtData {
    if (value > MAX_UINT64 || value < MIN_INT64) throw new Refusal("a bigint of more than 64 bits cannot be sent");
    // A native integer would arrive as a number wherever a number can hold it.
    const isSafe = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
    return isSafe ? new ExtData(BIGINT, int64(value)) : this.#slot(value < 0n ? 0xd3 : 0xcf, value);
  }

  #slot(head: number, bits: bigint): Slot {
    const slot = new Slot(head, bits);
    this.#slots.push(slot);
    return slot;
  }

  #checkSize(entries: number): void {
    const { maxMapEntries } = this.#limits;
    if (entries <= maxMapEntries) return;
    this.#limits.onLimit?.("maxMapEntries");
    throw new Refusal(`${entries} entries cannot be sent, the most is ${maxMapEntries}`);
  }

  #tooDeep(value: object): Refusal {
    // Whatever is cyclic is too deep as well, so that a cycle need not be looked for before.
    const chain = [...this.#around.slice(0, this.#depth), value];
    const repeated = chain.findIndex((container, depth) => chain.indexOf(container) < depth);
    if (repeated < 0) {
      this.#limits.onLimit?.("maxDepth");
      return new Refusal(`more than ${this.#limits.maxDepth} levels cannot be sent`);
    }
    this.#depth = repeated;
    return new Refusal("a cyclic value cannot be sent (it contains itself)");
  }

  /** The place in the value that the walk has reached, as JavaScript would name it. */
  #path(): string {
    let path = "";
    for (let depth = 0; depth < this.#depth; depth++) {
      path += step(this.#around[depth]!, this.#taken[depth]!);
    }
    return path;
  }
}

/** Why the walk stopped. Not an Error, since only its reason is used. */
class Refusal {
  constructor(readonly reason: string) {}
}

/**
 * Keeps nine bytes free for a value that `Encoder` cannot write: -0, or an integer beyond 2^53. To `Encoder` it is an
 * extension whose data is a function; that makes a head of six bytes whatever the length, and tells the position.
 */
class Slot extends ExtData {
  #at = 0;
  readonly #head: number;
  readonly #bits: bigint;

  constructor(head: number, bits: bigint) {
    super(0, (position) => {
      this.#at = position - 6;
      return new Uint8Array(3);
    });
    this.#head = head;
    this.#bits = bits;
  }

  fill(bytes: Uint8Array): void {
    bytes[this.#at] = this.#head;
    bytes.set(int64(this.#bits), this.#at + 1);
  }
}

const MAX_UINT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);

function int64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value);
  return bytes;
}

function timestamp(date: Date): ExtData {
  if (Number.isNaN(date.getTime())) throw new Refusal("an invalid Date cannot be sent");
  return new ExtData(TIMESTAMP, encodeTimeSpecToTimestamp(encodeDateToTimeSpec(date)));
}

function newEncoder(): Encoder {
  // The walk has limited the depth, and left no object for the extension codec but its own.
  return new Encoder({
    maxDepth: Infinity,
    extensionCodec: {
      tryToEncode: (object) => (object instanceof ExtData ? object : null),
      decode: () => undefined,
    },
  });
}

function own(bytes: Uint8Array): Uint8Array {
  return bytes.length > OWNED_BYTES ? bytes.slice() : bytes;
}

const LONE_SURROGATE = /\p{Surrogate}/u;

const isWellFormed: (text: string) => boolean =
  "isWellFormed" in String.prototype
    ? (text) => (text as string & { isWellFormed(): boolean }).isWellFormed()
    : (text) => !LONE_SURROGATE.test(text);

type Kind = "Object" | "Array" | "Uint8Array" | "Date" | "Map" | "Set";

/** What a value that can be sent is, be it of this realm or another (a worker's, a test runner's). */
function kindOf(value: object): Kind {
  const prototype: object | null = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return "Object";
  if (Array.isArray(value)) return "Array";
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (ArrayBuffer.isView(value) && tag === "Uint8Array") return tag;
  const parent: object | null = Object.getPrototypeOf(prototype);
  if (parent === null) {
    if (Object.hasOwn(prototype, "isPrototypeOf")) return "Object";
  } else if (Object.getPrototypeOf(parent) === null && prototype.constructor.name === tag) {
    if (tag === "Date" || tag === "Map" || tag === "Set") return tag;
  }
  throw new Refusal(`an instance of ${nameOf(value)} cannot be sent; ${hint(value, tag)}`);
}

function nameOf(value: object): string {
  const maker: unknown = value.constructor;
  return (typeof maker === "function" && maker.name) || "an unnamed class";
}

function hint(value: object, tag: string): string {
  if (ArrayBuffer.isView(value) || tag === "ArrayBuffer") return "send a Uint8Array of its bytes";
  if (tag === "Promise") return "await it first";
  if (tag === "Number" || tag === "String" || tag === "Boolean") return "send the primitive value";
  if (tag === "Error") return "throw it, or send its fields";
  return "send a plain object with its fields";
}

/** How JavaScript would write the way from a container to one of the things in it. */
function step(container: object, taken: string | number): string {
  if (typeof taken === "string") {
    return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(taken) ? `.${taken}` : `[${quote(taken)}]`;
  }
  if (container instanceof Map) {
    const entry = taken >> 1;
    if ((taken & 1) === 0) return `.keys()[${entry}]`;
    const key: unknown = [...container.keys()][entry];
    return typeof key === "string" ? `.get(${quote(key)})` : `.values()[${entry}]`;
  }
  return Array.isArray(container) ? `[${taken}]` : `.values()[${taken}]`;
}

/** A key as it may stand in an error: it may be long, or hold anything. */
function quote(key: string): string {
  return JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key);
}
