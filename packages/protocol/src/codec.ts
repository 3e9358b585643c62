/** An encoded value of more bytes than this belongs to who asked for it; others lie in a buffer of the codec. */
export const OWNED_BYTES = 16 * 1024;
/** A binary value of at least this many bytes that a message ends in is sent from where it lies. */
export const LARGE_BYTES = 32 * 1024;
/** What comes before such a value is at most this long, so that it fits into the first part of its message. */
export const MAX_HEAD_BYTES = 200;

/** A message whose last part is a value's own memory. */
export interface LargeMessage {
  /** At most `MAX_HEAD_BYTES`, valid until the next use of the codec. */
  readonly head: Uint8Array;
  /** Not a copy: it must not change until it was sent. */
  readonly tail: Uint8Array;
}

/**
 * Turns values into bytes and back. One codec may serve any number of connections; it keeps no state between calls
 * apart from its buffers. `@rap/protocol/compliance` has the tests that every implementation must pass.
 */
export interface Codec {
  /** Name that both peers agree on in the handshake, e.g. `"msgpack"`. */
  readonly name: string;

  /**
   * Encodes one value. Up to `OWNED_BYTES` the bytes are only valid until the next `encode` of the same codec, since they
   * may lie in a shared buffer: copy or send them first. More bytes are the caller's, and never change. `root` names the value in error paths (`"args"`, `"result"`), default `"value"`.
   *
   * @throws CodecError naming the path of what cannot be sent, e.g. `args[0].user.fn`.
   */
  encode(value: unknown, root?: string): Uint8Array;

  /**
   * The same bytes as `encode` without a copy of the large binary value that `value` is, or, if it is an array, ends
   * in; undefined for any other value and for what cannot be sent. A codec may leave it out.
   */
  encodeLarge?(value: unknown): LargeMessage | undefined;

  /**
   * Decodes the one value that `bytes[start, end)` holds. The bytes come from a peer that is not trusted: they are
   * checked before anything is built. With `owned: false` the result never aliases `bytes`, so the caller may reuse
   * them; with `owned: true` large binary values may be views of `bytes`.
   *
   * @throws CodecError when the bytes are malformed or would cost more than the codec's limits allow.
   */
  decode(bytes: Uint8Array, start: number, end: number, owned: boolean): unknown;
}

/** What a codec holds values and bytes to: the names are those in `LIMITS`. */
export type CodecLimit = "maxDepth" | "maxDecodeBytes" | "maxMapEntries";

/** A value that cannot be sent, or bytes that cannot be accepted. */
export class CodecError extends Error {
  override readonly name = "CodecError";

  /** Where in the value the trouble is, e.g. `args[0].user.fn`; undefined when bytes were refused. */
  readonly path: string | undefined;

  constructor(reason: string, path?: string, options?: ErrorOptions) {
    super(path === undefined ? reason : `${path}: ${reason}`, options);
    this.path = path;
  }

  /** Whether a value is a `CodecError`, of this or another copy of the package. Never throws, whatever the value does. */
  static is(value: unknown): value is CodecError {
    try {
      return typeof value === "object" && value !== null && (value as Error).name === "CodecError";
    } catch {
      return false;
    }
  }
}

/** The binary value of at least `LARGE_BYTES` that `value` is or, if it is an array, ends in. */
export function largeTail(value: unknown): Uint8Array | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const last: unknown = Array.isArray(value) ? value[value.length - 1] : value;
  if (!ArrayBuffer.isView(last) || last.byteLength < LARGE_BYTES) return undefined;
  if ((last as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] !== "Uint8Array") return undefined;
  // Memory that another thread may write, or that may shrink, is copied.
  const { buffer } = last as { buffer: ArrayBufferLike & { resizable?: boolean } };
  return buffer.resizable || buffer[Symbol.toStringTag] !== "ArrayBuffer" ? undefined : (last as Uint8Array);
}
