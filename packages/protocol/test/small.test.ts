import { describe, expect, test } from "@jest/globals";
import { Decoder, Encoder } from "@msgpack/msgpack";
import fc from "fast-check";
import { msgpack } from "../src/msgpack";
import { Scan } from "../src/scan";
import { allowsSmall, readSmall, SMALL, SmallWriter, UNREAD } from "../src/small";
import { fromHex, readVectors, toHex } from "./vectors";

// The fast way must be the general way: same bytes, same values, and no opinion on anything else.

const seed = Number(process.env.SEED ?? 20_261_127);
const LIMITS = { maxDepth: 64, maxCost: 32 << 20, maxMapEntries: 65_536 };
const writer = new SmallWriter();
const encoder = new Encoder();
const decoder = new Decoder();
const scan = new Scan(LIMITS);

const read = (bytes: Uint8Array, maxDepth = 64): unknown => readSmall(bytes, 0, bytes.length, maxDepth);

/** Values of which most are small. */
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
    fc.string({ maxLength: 40 }),
    fc.string({ unit: "grapheme", maxLength: 5 }),
    fc.array(tie("value"), { maxLength: 17 }),
    fc.dictionary(
      fc.string({ maxLength: 33 }).filter((key) => key !== "__proto__"),
      tie("value"),
      { noNullPrototype: true, maxKeys: 17 },
    ),
  ),
})).value;

describe("writing", () => {
  test(`gives the bytes that Encoder gives, or leaves it to it (seed ${seed})`, () => {
    let written = 0;
    fc.assert(
      fc.property(value, (each) => {
        const bytes = writer.write(each, 64);
        if (bytes === undefined) return;
        written++;
        expect(toHex(bytes)).toBe(toHex(encoder.encode(each)));
      }),
      { seed, numRuns: 3_000 },
    );
    expect(written).toBeGreaterThan(1_000);
  });

  test("knows -0, NaN and infinities as floats", () => {
    for (const [number, hex] of [
      [-0, "cb8000000000000000"],
      [NaN, "cb7ff8000000000000"],
      [Infinity, "cb7ff0000000000000"],
      [2 ** 53, "cb4340000000000000"],
    ] as const) {
      expect(toHex(writer.write(number, 64)!)).toBe(hex);
    }
  });

  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["undefined in an array", [undefined]],
    ["a bigint", 1n],
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a Date", new Date(0)],
    ["a Map", new Map()],
    ["bytes", Uint8Array.of(1)],
    ["an instance of a class", new (class A {})()],
    ["an object with an object as its prototype", Object.create({})],
    ["16 items", new Array(16).fill(0)],
    ["16 keys", Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, 0]))],
    ["32 characters", "x".repeat(32)],
    ["a character beyond ASCII", "é"],
    ["a lone surrogate", "\ud800"],
    ["the key __proto__", JSON.parse('{"__proto__":1}')],
    ["a key beyond ASCII", { é: 1 }],
    ["65 levels", Array.from({ length: 64 }).reduce((inner) => [inner], [] as unknown)],
  ])("leaves %s to the general way", (_, each) => {
    expect(writer.write(each, 64)).toBeUndefined();
    expect(writer.write([1, each], 64)).toBeUndefined();
  });

  test("takes what stands at the edge: 15 items, 31 characters, 64 levels", () => {
    for (const each of [
      new Array(15).fill(0),
      "x".repeat(31),
      { ["k".repeat(31)]: 1 },
      Array.from({ length: 63 }).reduce((inner) => [inner], [] as unknown),
    ]) {
      expect(toHex(writer.write(each, 64)!)).toBe(toHex(encoder.encode(each)));
    }
  });

  test("never writes beyond its buffer, however the last item falls", () => {
    for (let length = 0; length <= 15; length++) {
      for (const last of ["x".repeat(31), 1.5, -1]) {
        const each = [...new Array(length).fill("x".repeat(31)), last];
        const bytes = writer.write(each.slice(0, 15), 64);
        if (bytes !== undefined) expect(toHex(bytes)).toBe(toHex(encoder.encode(each.slice(0, 15))));
      }
    }
    const wide = new Array(15).fill(new Array(15).fill("x".repeat(31)));
    expect(writer.write(wide, 64)).toBeUndefined();
  });

  test("lets a getter's error through, and goes on", () => {
    const value = {
      get a() {
        throw new Error("boo");
      },
    };
    expect(() => writer.write(value, 64)).toThrow("boo");
    expect(toHex(writer.write([1], 64)!)).toBe("9101");
  });
});

describe("reading", () => {
  test(`gives the values that Decoder gives, or leaves it to it (seed ${seed})`, () => {
    let understood = 0;
    fc.assert(
      fc.property(value, (each) => {
        const bytes = encoder.encode(each);
        const small = read(bytes);
        if (small === UNREAD) return;
        understood++;
        expect(small).toStrictEqual(decoder.decode(bytes));
      }),
      { seed, numRuns: 3_000 },
    );
    expect(understood).toBeGreaterThan(1_000);
  });

  test(`of altered bytes accepts nothing that the scan refuses (seed ${seed})`, () => {
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(2), put: fc.uint8Array({ maxLength: 2 }) });
    let accepted = 0;
    fc.assert(
      fc.property(value, fc.array(edit, { minLength: 1, maxLength: 3 }), (each, edits) => {
        const bytes = [...encoder.encode(each)];
        for (const { at, drop, put } of edits) bytes.splice(at % (bytes.length + 1), drop, ...put);
        const altered = Uint8Array.from(bytes);
        const small = read(altered);
        if (small === UNREAD) return;
        accepted++;
        scan.check(altered, 0, altered.length);
        expect(small).toStrictEqual(decoder.decode(altered));
      }),
      { seed, numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(300);
  });

  const { values, refused } = readVectors();

  test.each(values)("gives the value of the vector, or leaves it: $name", ({ bytes, value: expected }) => {
    const small = read(bytes);
    if (small !== UNREAD) expect(small).toStrictEqual(expected);
  });

  test.each(refused)("leaves what is refused to the scan, which says why: $name", ({ bytes }) => {
    expect(read(bytes)).toBe(UNREAD);
  });

  test("leaves what is cut, what goes on, and what is too deep", () => {
    const bytes = encoder.encode({ a: [1, 300, 70_000, 2 ** 40, 1.5, "text"], b: null });
    for (let end = 0; end < bytes.length; end++) expect(readSmall(bytes, 0, end, 64)).toBe(UNREAD);
    expect(read(Uint8Array.of(...bytes, 0))).toBe(UNREAD);
    expect(read(fromHex("9190"), 2)).toEqual([[]]);
    expect(read(fromHex("9190"), 1)).toBe(UNREAD);
    expect(read(fromHex("8180"), 1)).toBe(UNREAD);
  });

  test("reads only from start to end", () => {
    expect(readSmall(fromHex("ff930102 03ff".replace(" ", "")), 1, 5, 64)).toEqual([1, 2, 3]);
    expect(readSmall(fromHex("9301020304"), 0, 3, 64)).toBe(UNREAD);
  });
});

test("limits that a small value could break turn the fast way off", () => {
  expect(allowsSmall(LIMITS)).toBe(true);
  expect(allowsSmall({ ...LIMITS, maxMapEntries: 15, maxCost: 64 * 1024 })).toBe(true);
  expect(allowsSmall({ ...LIMITS, maxMapEntries: 14 })).toBe(false);
  expect(allowsSmall({ ...LIMITS, maxCost: 64 * 1024 - 1 })).toBe(false);
});

test("no message of the size that is tried costs more memory than those limits allow", () => {
  const dear = new Scan({ ...LIMITS, maxCost: 64 * 1024 });
  // Keys that no other object has are the dearest: three bytes each, with a value of one.
  const objects = Array.from({ length: 5 }, (_, object) =>
    Object.fromEntries(Array.from({ length: 15 }, (_, key) => [String.fromCharCode(33 + object * 15 + key), null])),
  );
  for (const each of [
    objects,
    new Array(15).fill(new Array(15).fill([])),
    new Array(15).fill(new Array(15).fill("")),
  ]) {
    const bytes = encoder.encode(each);
    expect([bytes.length > 200, bytes.length <= SMALL]).toEqual([true, true]);
    expect(read(bytes)).toStrictEqual(each);
    dear.check(bytes, 0, bytes.length);
  }
});

test(`the codec gives the same bytes and values by either way (seed ${seed})`, () => {
  const both = msgpack();
  // Limits under which nothing is small.
  const general = msgpack({ maxCost: 64 * 1024 - 1 });
  fc.assert(
    fc.property(value, (each) => {
      const bytes = both.encode(each).slice();
      expect(toHex(general.encode(each))).toBe(toHex(bytes));
      const one = both.decode(bytes, 0, bytes.length, false);
      expect(one).toStrictEqual(each);
      if (bytes.length < 1_000) expect(general.decode(bytes, 0, bytes.length, false)).toStrictEqual(one);
    }),
    { seed, numRuns: 1_000 },
  );
});
