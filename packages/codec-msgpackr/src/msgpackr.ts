import { type Codec, type CodecLimits, type MsgpackEngine, msgpack } from "@rap/protocol";
import { Packr } from "msgpackr/index-no-eval";

/**
 * The codec `msgpack` on the library msgpackr: the same bytes and the same values, checks and errors, so only one side
 * need have it. It writes and reads large values with many objects faster; `README.md` has the figures.
 *
 * Register it under `CODEC`: `container.register(CODEC, { useValue: msgpackr() })`. `limits` are those of `msgpack`.
 */
export function msgpackr(limits: Partial<CodecLimits> = {}): Codec {
  return msgpack({ ...limits, engine: new Engine() });
}

/** A buffer that has grown past this many bytes is let go after use, for one of this many. */
const MAX_KEPT_BUFFER = 1 << 20;
const NEW_BUFFER = 8 * 1024;

class Engine implements MsgpackEngine {
  // Maps as small as they can be, numbers that are numbers, no records, and no call of `toJSON`.
  readonly #packr = new Packr({
    useRecords: false,
    variableMapSize: true,
    mapsAsObjects: true,
    int64AsType: "number",
    useToJSON: false,
  });

  encode(value: unknown): Uint8Array {
    const { buffer, byteOffset, length } = this.#packr.pack(value);
    // All that use msgpackr share its buffer, and it never gives one back.
    if (buffer.byteLength > MAX_KEPT_BUFFER) this.#packr.useBuffer(Buffer.allocUnsafeSlow(NEW_BUFFER));
    // Not a Buffer, whose slice() is no copy.
    return new Uint8Array(buffer, byteOffset, length);
  }

  decode(message: Uint8Array): unknown {
    return this.#packr.unpack(message);
  }
}
