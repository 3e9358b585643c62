/**
 * A library that writes and reads plain MessagePack, for the codec `msgpack`. It decides nothing: what it is given was
 * checked before, and holds nothing but null, booleans, numbers, strings, `Uint8Array`s, arrays and objects.
 */
export interface MsgpackEngine {
  /**
   * The bytes of a value without -0, valid until the next call. A getter in the value may use the codec meanwhile, but
   * not the engine.
   */
  encode(value: unknown): Uint8Array;

  /**
   * The value of a whole message, which has no extension, no integer beyond ±(2^53 - 1) and no string that begins with
   * U+FEFF. Binary values are views of `message`. May be called only when no other call is under way.
   */
  decode(message: Uint8Array): unknown;
}
