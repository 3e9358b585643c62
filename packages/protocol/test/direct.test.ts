import { describe, expect, test } from "@jest/globals";
import { Decoder, Encoder } from "@msgpack/msgpack";
import fc from "fast-check";
import { OWNED_BYTES } from "../src/codec";
import { directBytes, readDirect, UNREAD } from "../src/direct-reader";
import { DirectWriter } from "../src/direct-writer";
import { msgpack } from "../src/msgpack";
import { Scan } from "../src/scan";
import { fromHex, readVectors, toHex } from "./vectors";

// The direct way must be the general way: same bytes, same values, and no opinion on anything else.

const seed = Number(process.env.SEED ?? 20_261_127);
const LIMITS = { maxDepth: 64, maxCost: 32 << 20, maxMapEntries: 65_536 };
const writer = new DirectWriter(LIMITS);
const encoder = new Encoder();
const decoder = new Decoder();
const scan = new Scan(LIMITS);

const read = (bytes: Uint8Array, maxDepth = 64, start = 0, end = bytes.length): unknown =>
  readDirect(bytes, start, end, { ...LIMITS, maxDepth }, Infinity);

/** Values that MessagePack itself knows. */
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(
      null,
      true,
      false,
      0,
      -1,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      -32,
      -33,
      -128,
      -129,
      -32_768,
      -32_769,
    ),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double().map((number) => (Object.is(number, -0) ? 0 : number)),
    fc.string({ maxLength: 100 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: "grapheme", maxLength: 5 }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ maxLength: 33 }).filter((key) => key !== "__proto__"),
      tie("value"),
      { noNullPrototype: true, maxKeys: 17 },
    ),
  ),
})).value;

describe("writing", () => {
  test(`gives the bytes that Encoder gives (seed ${seed})`, () => {
    fc.assert(
      fc.property(value, (each) => {
        expect(toHex(writer.write(each)!)).toBe(toHex(encoder.encode(each)));
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test("knows -0, NaN and infinities as floats", () => {
    for (const [number, hex] of [
      [-0, "cb8000000000000000"],
      [NaN, "cb7ff8000000000000"],
      [Infinity, "cb7ff0000000000000"],
      [2 ** 53, "cb4340000000000000"],
    ] as const) {
      expect(toHex(writer.write(number)!)).toBe(hex);
    }
  });

  test.each<[string, unknown]>([
    ["a bigint", 1n],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a Map", new Map()],
    ["an instance of a class", new (class A {})()],
    ["an object with an object as its prototype", Object.create({})],
    ["an invalid Date", new Date(NaN)],
    ["an Int8Array", Int8Array.of(1)],
    ["a lone surrogate", "\ud800"],
    ["the key __proto__", JSON.parse('{"__proto__":1}')],
    ["65 levels", Array.from({ length: 64 }).reduce((inner) => [inner], [] as unknown)],
  ])("leaves %s to the general way", (_, each) => {
    expect(writer.write(each)).toBeUndefined();
    expect(writer.write([1, each])).toBeUndefined();
  });

  test("writes what stands at the edges of each form", () => {
    for (const each of [
      ...[15, 16, 65_535, 65_536].map((count) => new Array(count).fill(0)),
      ...[31, 32, 64, 65, 255, 256, 65_535, 65_536].flatMap((count) => ["x".repeat(count), "é".repeat(count / 2)]),
      ...[0, 255, 256, 65_535, 65_536].map((count) => new Uint8Array(count).fill(7)),
      ...[31, 32, 255, 256].map((count) => ({ ["k".repeat(count)]: 1, ["é".repeat(count)]: 2 })),
      Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key ${index}`, index])),
      Array.from({ length: 63 }).reduce((inner) => [inner], [] as unknown),
    ]) {
      expect(toHex(writer.write(each)!)).toBe(toHex(encoder.encode(each)));
    }
  });

  test("gives the bytes of the vector, or leaves it", () => {
    let written = 0;
    for (const { bytes, value: each, decodeOnly } of readVectors().values) {
      if (decodeOnly) continue;
      const direct = writer.write(each);
      if (direct === undefined) continue;
      written++;
      expect(toHex(direct)).toBe(toHex(bytes));
    }
    expect(written).toBeGreaterThan(20);
  });

  test("gives away the bytes of a large message, and writes the next elsewhere", () => {
    const small = writer.write("x".repeat(OWNED_BYTES - 100))!;
    const large = writer.write(new Uint8Array(OWNED_BYTES + 1).fill(7))!;
    writer.write("y".repeat(OWNED_BYTES * 2));
    expect(large.subarray(3).every((byte) => byte === 7)).toBe(true);
    expect(small.buffer).not.toBe(large.buffer);
  });

  test("leaves more entries than the limit", () => {
    const few = new DirectWriter({ ...LIMITS, maxMapEntries: 2 });
    expect(few.write({ a: 1, b: 2 })).toBeDefined();
    expect(few.write({ a: 1, b: 2, c: 3 })).toBeUndefined();
  });

  test("lets a getter's error through, and goes on", () => {
    const value = {
      get a() {
        throw new Error("boo");
      },
    };
    expect(() => writer.write(value)).toThrow("boo");
    expect(toHex(writer.write([1])!)).toBe("9101");
  });
});

describe("reading", () => {
  test(`gives the values that Decoder gives, or leaves it to it (seed ${seed})`, () => {
    let understood = 0;
    fc.assert(
      fc.property(value, (each) => {
        const bytes = encoder.encode(each);
        const direct = read(bytes);
        if (direct === UNREAD) return;
        understood++;
        expect(direct).toStrictEqual(decoder.decode(bytes));
      }),
      { seed, numRuns: 3_000 },
    );
    expect(understood).toBeGreaterThan(2_900);
  });

  test(`of altered bytes accepts nothing that the scan refuses (seed ${seed})`, () => {
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(2), put: fc.uint8Array({ maxLength: 2 }) });
    let accepted = 0;
    fc.assert(
      fc.property(value, fc.array(edit, { minLength: 1, maxLength: 3 }), (each, edits) => {
        const bytes = [...encoder.encode(each)];
        for (const { at, drop, put } of edits) bytes.splice(at % (bytes.length + 1), drop, ...put);
        const altered = Uint8Array.from(bytes);
        const direct = read(altered);
        if (direct === UNREAD) return;
        accepted++;
        scan.check(altered, 0, altered.length);
        expect(direct).toStrictEqual(decoder.decode(altered));
      }),
      { seed, numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(300);
  });

  const { values, refused } = readVectors();

  test.each(values)("gives the value of the vector, or leaves it: $name", ({ bytes, value: expected }) => {
    const direct = read(bytes);
    if (direct !== UNREAD) expect(direct).toStrictEqual(expected);
  });

  test.each(refused)("leaves what is refused to the scan, which says why: $name", ({ bytes }) => {
    expect(read(bytes)).toBe(UNREAD);
  });

  test("leaves what is cut, what goes on, and what is too deep", () => {
    const bytes = encoder.encode({ a: [1, 300, 70_000, 2 ** 40, 1.5, "text"], b: null });
    for (let end = 0; end < bytes.length; end++) expect(read(bytes, 64, 0, end)).toBe(UNREAD);
    expect(read(Uint8Array.of(...bytes, 0))).toBe(UNREAD);
    expect(read(fromHex("9190"), 2)).toEqual([[]]);
    expect(read(fromHex("9190"), 1)).toBe(UNREAD);
    expect(read(fromHex("8180"), 1)).toBe(UNREAD);
  });

  test("reads only from start to end", () => {
    expect(read(fromHex("ff93010203ff"), 64, 1, 5)).toEqual([1, 2, 3]);
    expect(read(fromHex("9301020304"), 64, 0, 3)).toBe(UNREAD);
  });
});

test("no byte of a message builds more memory than a message of the size that is read directly may", () => {
  const { maxCost } = LIMITS;
  const bytes = directBytes(LIMITS);
  expect(bytes).toBe(256 * 1024);
  expect(directBytes({ ...LIMITS, maxCost: 128 * 1000 })).toBe(1000);
  const strict = new Scan({ ...LIMITS, maxCost });
  // The dearest of each kind, as many as fit.
  for (const item of ["80", "90", "c400", "d40100", "81a161c0", "a0", "c0", "d6ff00000000"]) {
    const count = Math.floor((bytes - 5) / (item.length / 2));
    const message = fromHex(`dd${count.toString(16).padStart(8, "0")}${item.repeat(count)}`);
    strict.check(message, 0, message.length);
    expect(read(message)).not.toBe(UNREAD);
  }
});

test(`what the codec writes it reads again, by whichever way (seed ${seed})`, () => {
  const codec = msgpack();
  const beyond = fc.oneof(
    value,
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.constant(undefined),
    fc.date({ noInvalidDate: true }),
  );
  fc.assert(
    fc.property(fc.array(beyond, { maxLength: 5 }), (each) => {
      const bytes = Uint8Array.from(codec.encode(each));
      expect(codec.decode(bytes, 0, bytes.length, false)).toStrictEqual(each);
    }),
    { seed, numRuns: 1_000 },
  );
});
