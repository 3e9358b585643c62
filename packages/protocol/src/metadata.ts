import { type CallLimit, LIMITS } from "./limits";

/** Text, or bytes under a key that ends in `-bin`. */
export type MetadataValue = string | Uint8Array;

/** What can be given where metadata is due: `{ tenant: "t1", "trace-bin": bytes, tag: ["a", "b"] }`. */
export type MetadataInit = Metadata | Readonly<Record<string, MetadataValue | readonly MetadataValue[]>>;

const KEY = /^[a-z0-9._-]+$/;
const ENTRY_OVERHEAD = 32;
const NONE: [string, MetadataValue][] = [];
const LONE_SURROGATE = /\p{Surrogate}/u;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Pairs that travel beside a call: at its opening, with its first reply (headers) and at its end (trailers).
 *
 * Keys are case-insensitive and stored in lower case (`[a-z0-9._-]`, at most 128 bytes); a key may have several
 * values. A key that ends in `-bin` holds bytes, any other text. At most 64 entries, 4 KiB a value, 8 KiB in all;
 * what does not fit throws a `TypeError` (`ERR_RAP_METADATA`) where it is set. Keys that begin with `rap-` are reserved.
 */
export class Metadata implements Iterable<[string, MetadataValue]> {
  /** The empty one is everybody's: most messages have metadata to which nothing is ever added. */
  #entries: [string, MetadataValue][] = NONE;
  #cost = 0;

  constructor(init?: MetadataInit) {
    if (init === undefined) return;
    if (isMetadata(init)) {
      for (const [key, value] of init) this.append(key, value);
      return;
    }
    if (typeof init !== "object" || init === null || Symbol.iterator in init) {
      throw invalid("metadata is a record of texts, or a Metadata");
    }
    for (const key of Object.keys(init)) {
      const value = init[key];
      if (value === undefined) continue;
      for (const each of Array.isArray(value) ? (value as readonly MetadataValue[]) : [value as MetadataValue]) {
        this.append(key, each);
      }
    }
  }

  /** Entries, counting every value of a key. */
  get size(): number {
    return this.#entries.length;
  }

  /** The first value of a key. */
  get(key: string): MetadataValue | undefined {
    const name = nameOf(key);
    return this.#entries.find(([each]) => each === name)?.[1];
  }

  /** All values of a key, in the order in which they were added. */
  getAll(key: string): readonly MetadataValue[] {
    const name = nameOf(key);
    return this.#entries.filter(([each]) => each === name).map(([, value]) => value);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** Replaces all values of a key by one. */
  set(key: string, value: MetadataValue): this {
    this.delete(key);
    return this.append(key, value);
  }

  /** Adds a value to a key. */
  append(key: string, value: MetadataValue): this {
    const name = nameOf(key);
    if (name.length > LIMITS.metadataKeyBytes || !KEY.test(name)) {
      const limit = name.length > LIMITS.metadataKeyBytes ? "metadataKeyBytes" : undefined;
      const rule = "must be 1 to 128 characters of a-z 0-9 . _ -";
      throw invalid(`metadata key ${JSON.stringify(key.slice(0, 64))} ${rule}`, limit);
    }
    const binary = name.endsWith("-bin");
    if (binary !== value instanceof Uint8Array || (!binary && typeof value !== "string")) {
      throw invalid(`metadata value of "${name}" must be ${binary ? "bytes (its key ends in -bin)" : "a string"}`);
    }
    if (typeof value === "string" && LONE_SURROGATE.test(value)) {
      throw invalid(`metadata value of "${name}" has a lone surrogate`);
    }
    const size = byteLength(value);
    if (size > LIMITS.metadataValueBytes) {
      throw invalid(
        `metadata value of "${name}" is longer than ${LIMITS.metadataValueBytes} bytes`,
        "metadataValueBytes",
      );
    }
    if (this.#entries.length >= LIMITS.metadataEntries) {
      throw invalid(`metadata has more than ${LIMITS.metadataEntries} entries`, "metadataEntries");
    }
    const cost = this.#cost + entryCost(name, size);
    if (cost > LIMITS.metadataBytes) {
      throw invalid(`metadata is larger than ${LIMITS.metadataBytes} bytes in all`, "metadataBytes");
    }
    this.#cost = cost;
    if (this.#entries === NONE) this.#entries = [];
    this.#entries.push([name, value]);
    return this;
  }

  /** Removes all values of a key; false when it had none. */
  delete(key: string): boolean {
    const name = nameOf(key);
    let kept = 0;
    for (const entry of this.#entries) {
      if (entry[0] === name) this.#cost -= entryCost(name, byteLength(entry[1]));
      else this.#entries[kept++] = entry;
    }
    const removed = kept < this.#entries.length;
    if (removed) this.#entries.length = kept;
    return removed;
  }

  [Symbol.iterator](): IterableIterator<[string, MetadataValue]> {
    return this.#entries[Symbol.iterator]();
  }

  /** The first value of each key, for logs. */
  toJSON(): Record<string, MetadataValue> {
    return Object.fromEntries(this.#entries.slice().reverse());
  }
}

/** The metadata block of the wire: `u8 count`, then per entry `u8 key length, key, u16 value length, value`. */
export function encodeMetadata(metadata: Metadata): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(metadata.size)];
  let total = 1;
  for (const [key, value] of metadata) {
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    const head = new Uint8Array(3 + key.length);
    head[0] = key.length;
    encoder.encodeInto(key, head.subarray(1));
    head[1 + key.length] = bytes.length >>> 8;
    head[2 + key.length] = bytes.length;
    parts.push(head, bytes);
    total += head.length + bytes.length;
  }
  const block = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    block.set(part, at);
    at += part.length;
  }
  return block;
}

/** Reads a metadata block, which may have no bytes at all, from an untrusted peer. Throws a `TypeError` that names what is wrong. */
export function decodeMetadata(bytes: Uint8Array, start: number, end: number): Metadata {
  const metadata = new Metadata();
  if (start === end) return metadata;
  const count = bytes[start]!;
  let at = start + 1;
  for (let index = 0; index < count; index++) {
    const keyEnd = at + 1 + (bytes[at] ?? 0);
    if (keyEnd + 2 > end) throw invalid("metadata is cut short");
    const length = (bytes[keyEnd]! << 8) | bytes[keyEnd + 1]!;
    const valueEnd = keyEnd + 2 + length;
    if (valueEnd > end) throw invalid("metadata is cut short");
    const key = ascii(bytes, at + 1, keyEnd);
    if (/[A-Z]/.test(key)) throw invalid("metadata keys are lower case on the wire");
    const value = bytes.subarray(keyEnd + 2, valueEnd);
    metadata.append(key, key.endsWith("-bin") ? Uint8Array.from(value) : text(key, value));
    at = valueEnd;
  }
  if (at !== end) throw invalid("metadata has trailing bytes");
  return metadata;
}

/** `undefined` and empty metadata alike are "none". */
export function toMetadata(init: MetadataInit | undefined): Metadata | undefined {
  if (init === undefined) return undefined;
  const metadata = isMetadata(init) ? init : new Metadata(init);
  return metadata.size === 0 ? undefined : metadata;
}

/** Whether it is a `Metadata`, of this or another copy of the package. */
export function isMetadata(init: MetadataInit): init is Metadata {
  return typeof (init as Partial<Metadata> | null)?.getAll === "function";
}

/** A key as it is stored. */
function nameOf(key: string): string {
  if (typeof key !== "string") throw invalid(`metadata key must be a string, not of type ${typeof key}`);
  return key.toLowerCase();
}

function entryCost(key: string, size: number): number {
  return Math.max(ENTRY_OVERHEAD, key.length + size);
}

function text(key: string, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw invalid(`metadata value of "${key}" is not UTF-8`);
  }
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  let out = "";
  for (let at = start; at < end; at++) out += String.fromCharCode(bytes[at]!);
  return out;
}

function byteLength(value: MetadataValue): number {
  if (typeof value !== "string") return value.length;
  return value.length > LIMITS.metadataValueBytes ? value.length : encoder.encode(value).length;
}

function invalid(message: string, limit?: CallLimit): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_METADATA", ...(limit !== undefined && { limit }) });
}

/**
 * Whether a value is what `Metadata` and `decodeMetadata` throw; its `limit` is the one that was exceeded, if it was
 * that. Never throws, whatever the value does.
 */
export function isMetadataError(value: unknown): value is TypeError & { readonly limit?: CallLimit } {
  try {
    return (value as { code?: unknown }).code === "ERR_RAP_METADATA";
  } catch {
    return false;
  }
}
