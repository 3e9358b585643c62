import { describe, expect, test } from "@jest/globals";
import { type Codec, CodecError, MAX_HEAD_BYTES } from "./codec";

/**
 * The laws of a {@link Codec} as a Jest suite. The tests of an implementation are then three lines:
 *
 * ```ts
 * import { codecCompliance } from "@rap/protocol/compliance";
 * codecCompliance("mine", () => mine());
 * ```
 *
 * A codec must carry what JSON can, bytes besides, and may carry more. It must never change a value: what it cannot
 * carry exactly it refuses.
 */
export function codecCompliance(name: string, create: () => Codec): void {
  describe(`the codec ${name}`, () => {
    const text = "é€😀 \0 \u2028 \uFEFF";
    const required: [string, unknown][] = [
      ["null", null],
      ["booleans", [true, false]],
      [
        "integers",
        [0, 1, -1, 127, 128, -32, -33, 255, 256, 65_536, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, 1 - 2 ** 53],
      ],
      ["fractions", [0.1, -1.5, 5e-324, Number.MAX_VALUE, 2 ** 53, 1e300]],
      ["strings", ["", "a", text, "\uFEFFa", `\uFEFF${"long ".repeat(100)}`, text.repeat(1_000)]],
      ["bytes", [new Uint8Array(), Uint8Array.of(0, 255), new Uint8Array(70_000).fill(7)]],
      ["arrays", [[], [[]], [1, [2, [3]]], Array.from({ length: 70_000 }, (_, i) => i)]],
      ["objects", { a: 1, "": 2, [text]: { nested: [{}] } }],
      // biome-ignore lint/suspicious/noThenProperty: data may have a property of this name
      ["keys that every object inherits", { constructor: 1, toString: 2, then: 3, hasOwnProperty: 4, valueOf: 5 }],
    ];
    const optional: [string, unknown][] = [
      ["undefined", undefined],
      ["undefined in an array", [undefined, 1]],
      ["undefined as a property", { a: undefined }],
      ["minus zero", -0],
      ["NaN", NaN],
      ["infinities", [Infinity, -Infinity]],
      ["small bigints", [0n, 5n, -5n]],
      ["large bigints", [2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n)]],
      ["a bigint of more than 64 bits", 2n ** 64n],
      ["a lone surrogate", "\ud800"],
      ["a Date", new Date(-1)],
      ["an invalid Date", new Date(NaN)],
      [
        "a Map",
        new Map<unknown, unknown>([
          ["a", 1],
          [1, new Map()],
        ]),
      ],
      ["a Set", new Set(["a", 1])],
      ["an Error", new Error("no")],
      ["a RegExp", /a/],
      ["a boxed number", Object(1)],
      ["an ArrayBuffer", new ArrayBuffer(2)],
      ["an Int32Array", Int32Array.of(1)],
      ["the key __proto__", JSON.parse('{"__proto__":{"polluted":true}}')],
      ["100 000 levels", nested(100_000)],
    ];

    test.each(required)("carries %s", (_, value) => {
      const codec = create();
      expect(carry(codec, value)).toStrictEqual(value);
    });

    test.each(optional)("carries or refuses %s, but does not change it", (_, value) => {
      const codec = create();
      let carried: unknown;
      try {
        carried = carry(codec, value);
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError);
        return;
      }
      expect(carried).toStrictEqual(value);
    });

    test.each<[string, unknown, string]>([
      ["a function", { a: [0, () => 1] }, "args.a[1]"],
      ["a symbol", [{ b: Symbol("no") }], "args[0].b"],
      ["a cycle", cyclic(), "args.self"],
    ])("names the path of %s", (_, value, path) => {
      expect(() => create().encode(value, "args")).toThrow(expect.objectContaining({ name: "CodecError", path }));
    });

    test("calls the value `value` unless told otherwise", () => {
      expect(() => create().encode(() => 1)).toThrow(expect.objectContaining({ path: "value" }));
    });

    test("works on after a refusal", () => {
      const codec = create();
      expect(() => codec.encode([1, { a: () => 1 }])).toThrow(CodecError);
      expect(() => codec.decode(new Uint8Array(), 0, 0, true)).toThrow(CodecError);
      expect(carry(codec, [1, { a: 2 }])).toStrictEqual([1, { a: 2 }]);
    });

    test("may be used by a getter of the value that it encodes", () => {
      const codec = create();
      const value = {
        before: [1, "a"],
        get inner() {
          return carry(codec, { deep: ["b".repeat(50)] });
        },
        after: "c",
      };
      expect(carry(codec, value)).toStrictEqual({
        before: [1, "a"],
        inner: { deep: ["b".repeat(50)] },
        after: "c",
      });
    });

    test("encodes a large binary value without a copy as with one, if it does", () => {
      const codec = create();
      const large = bytesOf(40_000);
      for (const value of [large, [large], [1, "text", { a: [null] }, large], Buffer.from(large)]) {
        const parts = codec.encodeLarge?.(value);
        if (parts === undefined) continue;
        const whole = Buffer.concat([parts.head, parts.tail]);
        expect(parts.head.length).toBeLessThanOrEqual(MAX_HEAD_BYTES);
        expect(parts.tail.length).toBe(large.length);
        expect(parts.tail.buffer).toBe((Array.isArray(value) ? large : (value as Uint8Array)).buffer);
        expect(Buffer.compare(whole, codec.encode(value))).toBe(0);
      }
      for (const value of [null, "a".repeat(50_000), bytesOf(10), [large, 1], { large }, [() => 1, large]]) {
        expect(codec.encodeLarge?.(value)).toBeUndefined();
      }
    });

    test("reads only bytes[start, end), in a Buffer as in a Uint8Array", () => {
      const codec = create();
      const value = { bytes: Uint8Array.of(1, 2, 3), list: ["a", 1] };
      const encoded = codec.encode(value).slice();
      const around = Buffer.alloc(encoded.length + 10, 0x93);
      around.set(encoded, 5);
      expect(codec.decode(around, 5, 5 + encoded.length, false)).toStrictEqual(value);
      expect(codec.decode(around, 5, 5 + encoded.length, true)).toStrictEqual(value);
    });

    test("gives values that do not alias bytes it does not own", () => {
      const codec = create();
      for (const value of [bytesOf(100_000), { a: [bytesOf(3)], b: [bytesOf(1_000)] }]) {
        const encoded = codec.encode(value).slice();
        const decoded = codec.decode(encoded, 0, encoded.length, false);
        encoded.fill(0xc1);
        expect(decoded).toStrictEqual(value);
      }
    });

    test("refuses a container that is cut at any byte, or followed by another value", () => {
      const codec = create();
      const encoded = codec.encode([{ a: "text", b: [1, 300, 1.5, null, true] }, bytesOf(40), "é".repeat(120)]).slice();
      for (let end = 0; end < encoded.length; end++) {
        expect(() => codec.decode(encoded, 0, end, true)).toThrow(CodecError);
      }
      const twice = Uint8Array.of(...encoded, ...encoded);
      expect(() => codec.decode(twice, 0, twice.length, true)).toThrow(CodecError);
    });

    test("answers altered bytes with a value or a CodecError, and leaves Object.prototype alone", () => {
      const codec = create();
      const original = codec
        .encode({
          a: ["text", 1, { b: null }],
          __proto: "x",
          c: "é".repeat(20),
        })
        .slice();
      const inherited = Reflect.ownKeys(Object.prototype);
      for (let at = 0; at < original.length; at++) {
        for (let byte = 0; byte < 256; byte += 3) {
          const altered = original.slice();
          altered[at] = byte;
          try {
            codec.decode(altered, 0, altered.length, true);
          } catch (error) {
            if (!CodecError.is(error)) throw error;
          }
        }
      }
      expect(Reflect.ownKeys(Object.prototype)).toStrictEqual(inherited);
    });
  });
}

function carry(codec: Codec, value: unknown): unknown {
  const encoded = codec.encode(value).slice();
  return codec.decode(encoded, 0, encoded.length, false);
}

function bytesOf(length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => i);
}

function cyclic(): object {
  const object: Record<string, unknown> = { a: 1 };
  object.self = object;
  return object;
}

function nested(depth: number): unknown[] {
  let array: unknown[] = [];
  for (let i = 1; i < depth; i++) array = [array];
  return array;
}
