import { Decoder, decodeTimestampExtension } from "@msgpack/msgpack";
import type { MsgpackEngine } from "./engine";
import { BIGINT, MAP, TIMESTAMP, UNDEFINED } from "./extension";
import { Scan, type ScanLimits } from "./scan";

// Extension types that stand for an inexact value in a repaired copy. The scan lets no peer send them.
const WIDE_INTEGER = 100;
const MARKED_TEXT = 101;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The decoding half of the msgpack codec: the scan, then `Decoder` on bytes that it gives back exactly, or the engine, if
 * there is one, on bytes with nothing special in them.
 */
export class Unpack {
  readonly #scan: Scan;
  readonly #engine: MsgpackEngine | undefined;

  /** `Decoder` is not re-entrant, so each level of Maps and Sets inside one another has its own. */
  readonly #decoders: Decoder[] = [];
  #level = 0;

  // Of the message being decoded: the integers taken out of it, whether it has binary values, and from which size on
  // they may be views.
  #wide: bigint[] = [];
  #binary = false;
  #minView = Infinity;

  constructor(limits: ScanLimits, engine?: MsgpackEngine) {
    this.#scan = new Scan(limits);
    this.#engine = engine;
  }

  /** As `Codec.decode`, with the size from which on binary values are views of `bytes` in the place of `owned`. */
  decode(bytes: Uint8Array, start: number, end: number, minView: number): unknown {
    this.#minView = minView;
    this.#scan.check(bytes, start, end);
    this.#binary = this.#scan.binary;
    this.#level = 0;
    // Not `subarray`: that of a Buffer is a Buffer, and so would be every binary value.
    const message = new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
    if (this.#scan.inexact.length > 0) return this.#read(this.#repair(message.slice()));
    if (this.#engine === undefined || this.#scan.extensions) return this.#read(message);
    const value = this.#engine.decode(message);
    return this.#binary ? this.#detach(value) : value;
  }

  #read(message: Uint8Array): unknown {
    if (this.#level === this.#decoders.length) this.#decoders.push(this.#newDecoder());
    const value = this.#decoders[this.#level]!.decode(message);
    return this.#binary ? this.#detach(value) : value;
  }

  #newDecoder(): Decoder {
    return new Decoder({
      extensionCodec: {
        tryToEncode: () => null,
        decode: (data, type) => this.#extension(data, type),
      },
    });
  }

  #extension(data: Uint8Array, type: number): unknown {
    switch (type) {
      case TIMESTAMP:
        return decodeTimestampExtension(data);
      case UNDEFINED:
        return undefined;
      case BIGINT:
        return view(data).getBigInt64(0);
      case WIDE_INTEGER:
        return this.#wide[view(data).getUint32(0)];
      case MARKED_TEXT:
        return `\uFEFF${utf8.decode(data.subarray(2))}`;
    }
    this.#level++;
    const items = this.#read(data) as unknown[];
    this.#level--;
    return type === MAP ? new Map(pairs(items)) : new Set(items);
  }

  /**
   * Replaces, in a copy of the message, each value that `Decoder` would damage by an extension of the same length, so
   * that every other offset and length stays true.
   */
  #repair(copy: Uint8Array): Uint8Array {
    const numbers = view(copy);
    this.#wide = [];
    for (const offset of this.#scan.inexact) {
      const head = copy[offset]!;
      if (head === 0xcf || head === 0xd3) {
        // Head and eight bytes become the head of six bytes of data, of which four are an index.
        const index = this.#wide.push(
          head === 0xcf ? numbers.getBigUint64(offset + 1) : numbers.getBigInt64(offset + 1),
        );
        copy.set([0xc7, 6, WIDE_INTEGER], offset);
        numbers.setUint32(offset + 3, index - 1);
      } else {
        // The first byte of the mark gives way to the extension type: one byte less of data.
        const width = 1 << (head - 0xd9);
        copy[offset] = head - 0xd9 + 0xc7;
        copy[offset + width + 1] = MARKED_TEXT;
        let last = offset + width;
        while (copy[last] === 0) copy[last--] = 0xff;
        copy[last]!--;
      }
    }
    return copy;
  }

  /** Copies the binary values in a decoded value, in place, so that they do not alias or keep alive the whole message. */
  #detach(value: unknown): unknown {
    if (value instanceof Uint8Array) return value.byteLength >= this.#minView ? value : value.slice();
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) value[i] = this.#detach(value[i]);
    } else if (isObject(value)) {
      for (const key of Object.keys(value)) value[key] = this.#detach(value[key]);
    }
    return value;
  }
}

/** Whether a decoded value is a plain object; what is in a Map or Set was detached before that was built. */
function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function* pairs(items: readonly unknown[]): Iterable<[unknown, unknown]> {
  for (let i = 0; i < items.length; i += 2) yield [items[i], items[i + 1]];
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
