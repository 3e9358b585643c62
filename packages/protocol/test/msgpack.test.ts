import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { CodecError } from "../src/codec";
import { codecCompliance } from "../src/compliance";
import { msgpack } from "../src/msgpack";
import { readVectors } from "./vectors";

const seed = Number(process.env.SEED ?? 20_261_123);
const { values, refused } = readVectors();
const codec = msgpack();

codecCompliance("msgpack", () => msgpack());

function carry(value: unknown): unknown {
  const bytes = codec.encode(value).slice();
  return codec.decode(bytes, 0, bytes.length, false);
}

function nested(depth: number, wrap: (inner: unknown) => unknown = (inner) => [inner]): unknown {
  let value: unknown = 0;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
}

describe("the vectors", () => {
  test.each(values)("are decoded: $name", ({ bytes, value }) => {
    expect(codec.decode(bytes, 0, bytes.length, false)).toStrictEqual(value);
    expect(codec.decode(Buffer.from(bytes), 0, bytes.length, true)).toStrictEqual(value);
  });

  test.each(values.filter((it) => !it.decodeOnly))("are what is encoded: $name", ({ bytes, value }) => {
    expect(Buffer.from(codec.encode(value)).toString("hex")).toBe(Buffer.from(bytes).toString("hex"));
  });

  test.each(values)("are decoded inside a larger message: $name", ({ bytes, value }) => {
    const message = Uint8Array.of(0x94, ...bytes, 0xd9, 200, ...new Uint8Array(200).fill(0x61), ...bytes, 0);
    expect(codec.decode(message, 0, message.length, false)).toStrictEqual([value, "a".repeat(200), value, 0]);
  });

  test.each(values)("are refused when cut at any byte: $name", ({ bytes }) => {
    for (let end = 0; end < bytes.length; end++) {
      expect(() => codec.decode(bytes, 0, end, true)).toThrow(CodecError);
    }
  });

  test.each(refused)("are refused: $name", ({ bytes, why }) => {
    expect(() => codec.decode(bytes, 0, bytes.length, true)).toThrow(CodecError);
    expect(() => codec.decode(bytes, 0, bytes.length, true)).toThrow(why);
  });
});

describe("what arrives as something near", () => {
  test.each<[string, unknown, unknown]>([
    ["a Buffer as a Uint8Array", Buffer.from([1, 2]), Uint8Array.of(1, 2)],
    ["an object without prototype as a plain one", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ["a hole as undefined", Array(2), [undefined, undefined]],
    ["an array without its extra properties", "ab".match(/b/), ["b"]],
    ["an object without symbols", { a: 1, [Symbol("b")]: 2 }, { a: 1 }],
    ["an object without what is not enumerable", Object.defineProperty({ a: 1 }, "b", { value: 2 }), { a: 1 }],
    [
      "a getter as its value",
      {
        get a() {
          return -0;
        },
      },
      { a: -0 },
    ],
    ["a property called toJSON as any other", { toJSON: "x" }, { toJSON: "x" }],
    ["minus zero in a Set as zero, as Set does", new Set([-0]), new Set([0])],
  ])("%s", (_, value, expected) => expect(carry(value)).toStrictEqual(expected));

  test("values of another realm", () => {
    const foreign = runInNewContext(
      `({ list: [1], date: new Date(5), map: new Map([[1, new Set([2])]]), bytes: new Uint8Array(2) })`,
    );
    expect(carry(foreign)).toStrictEqual({
      list: [1],
      date: new Date(5),
      map: new Map([[1, new Set([2])]]),
      bytes: new Uint8Array(2),
    });
  });

  test("the same object twice, since that is no cycle", () => {
    const shared = { a: [-0] };
    expect(carry([shared, shared, new Map([[shared, shared]])])).toStrictEqual([
      { a: [-0] },
      { a: [-0] },
      new Map([[{ a: [-0] }, { a: [-0] }]]),
    ]);
  });
});

describe("what cannot be sent", () => {
  class User {
    name = "bob";
  }
  class Names extends Map {}
  const self: unknown[] = [1];
  self.push({ deep: self });
  const inMap = new Map<unknown, unknown>();
  inMap.set("me", [inMap]);

  test.each<[string, unknown, string, string]>([
    ["a function", { user: { fn() {} } }, "args.user.fn", "a function cannot be sent"],
    ["a symbol", [1, Symbol("a")], "args[1]", "a symbol cannot be sent"],
    ["a value under an odd key", { "a b": { "": () => 1 } }, 'args["a b"][""]', "a function"],
    ["a value in a Map", new Map([["k", () => 1]]), 'args.get("k")', "a function"],
    [
      "a value in a Map of other keys",
      new Map([
        [1, 0],
        [{}, () => 1],
      ] as never),
      "args.values()[1]",
      "a function",
    ],
    ["a key of a Map", new Map([[() => 1, 1]]), "args.keys()[0]", "a function"],
    ["a member of a Set", new Set([0, [() => 1]]), "args.values()[1][0]", "a function"],
    ["a cyclic array", self, "args[1].deep", "cyclic"],
    ["a cyclic Map", { inMap }, 'args.inMap.get("me")[0]', "cyclic"],
    ["an instance of a class", [new User()], "args[0]", "an instance of User cannot be sent; send a plain object"],
    ["an instance of a nameless class", [new (class {})()], "args[0]", "an instance of an unnamed class"],
    ["a subclass of Map", new Names(), "args", "an instance of Names cannot be sent"],
    ["an object with an object as prototype", Object.create({ a: 1 }), "args", "cannot be sent"],
    ["an Error", { e: new TypeError("no") }, "args.e", "an instance of TypeError cannot be sent; throw it"],
    ["a RegExp", /a/, "args", "an instance of RegExp"],
    ["a Promise", [Promise.resolve()], "args[0]", "await it first"],
    ["a boxed number", Object(1), "args", "send the primitive value"],
    ["a boxed string", Object("a"), "args", "send the primitive value"],
    ["a WeakMap", new WeakMap(), "args", "an instance of WeakMap"],
    ["an ArrayBuffer", new ArrayBuffer(1), "args", "send a Uint8Array"],
    [
      "another typed array",
      Float64Array.of(1),
      "args",
      "an instance of Float64Array cannot be sent; send a Uint8Array",
    ],
    ["a clamped byte array", new Uint8ClampedArray(1), "args", "send a Uint8Array"],
    ["a DataView", new DataView(new ArrayBuffer(1)), "args", "send a Uint8Array"],
    ["an invalid Date", [new Date(NaN)], "args[0]", "an invalid Date"],
    ["the key __proto__", JSON.parse('{"a":{"__proto__":1}}'), "args.a.__proto__", "the key __proto__"],
    ["65 levels", nested(65), `args${"[0]".repeat(64)}`, "more than 64 levels"],
    ["a million levels", nested(1_000_000), `args${"[0]".repeat(64)}`, "more than 64 levels"],
    [
      "a getter that throws",
      {
        a: [
          {
            get b() {
              throw new Error("boo");
            },
          },
        ],
      },
      "args.a[0].b",
      "reading it failed",
    ],
    [
      "a proxy that throws",
      [
        new Proxy(
          {},
          {
            ownKeys() {
              throw new Error("boo");
            },
          },
        ),
      ],
      "args[0]",
      "reading it failed",
    ],
    ["a lone surrogate", ["a\ud800"], "args[0]", "a string with a lone surrogate"],
    ["a lone surrogate in a key", { "\udc00": 1 }, 'args["\\udc00"]', "a key with a lone surrogate"],
    ["a bigint above 64 bits", { n: 2n ** 64n }, "args.n", "a bigint of more than 64 bits"],
    ["a bigint below 64 bits", -(2n ** 63n) - 1n, "args", "a bigint of more than 64 bits"],
    [
      "too many entries",
      { a: new Set(Array(65_537).keys()) },
      "args.a",
      "65537 entries cannot be sent, the most is 65536",
    ],
  ])("%s is refused, and its path named", (_, value, path, reason) => {
    let error: unknown;
    try {
      codec.encode(value, "args");
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(CodecError);
    expect(error).toMatchObject({
      name: "CodecError",
      path,
      message: expect.stringContaining(`${path}: `),
    });
    expect((error as Error).message).toContain(reason);
  });

  test("the error of a getter is its cause", () => {
    const cause = new Error("boo");
    const value = {
      get a() {
        throw cause;
      },
    };
    expect(() => codec.encode(value)).toThrow(expect.objectContaining({ cause }));
  });

  test("a long key is cut in the path", () => {
    expect(() => codec.encode({ [" ".repeat(1_000)]: () => 1 })).toThrow(
      expect.objectContaining({ path: `value["${" ".repeat(64)}…"]` }),
    );
  });
});

describe("the limits", () => {
  test("allow 64 levels both ways, in each kind of container", () => {
    const kinds = [
      (v: unknown) => [v],
      (v: unknown) => ({ v }),
      (v: unknown) => new Map([[v, v]]),
      (v: unknown) => new Set([v]),
    ];
    for (const kind of kinds) {
      const depth = kind === kinds[2] ? 8 : 64;
      const small = msgpack({ maxDepth: depth });
      const bytes = small.encode(nested(depth, kind)).slice();
      expect(small.decode(bytes, 0, bytes.length, true)).toStrictEqual(nested(depth, kind));
      expect(() => small.encode(nested(depth + 1, kind))).toThrow(`more than ${depth} levels`);
      const less = msgpack({ maxDepth: depth - 1 });
      expect(() => less.decode(bytes, 0, bytes.length, true)).toThrow("maxDepth");
    }
  });

  test("hold for small values as for large ones", () => {
    const three = { a: 1, b: 2, c: 3 };
    const bytes = codec.encode(three).slice();
    const two = msgpack({ maxMapEntries: 2 });
    expect(() => two.encode(three)).toThrow("3 entries cannot be sent, the most is 2");
    expect(() => two.decode(bytes, 0, bytes.length, true)).toThrow("maxMapEntries 2");
    expect(() => msgpack({ maxCost: 100 }).decode(bytes, 0, bytes.length, true)).toThrow("maxCost 100");
  });

  test("that refuse something are told, by their names in LIMITS, each time once", () => {
    const told: string[] = [];
    const strict = msgpack({ maxDepth: 2, maxMapEntries: 2, maxCost: 1_000, onLimit: (limit) => told.push(limit) });
    const decode = (value: unknown) => {
      const bytes = codec.encode(value).slice();
      return strict.decode(bytes, 0, bytes.length, false);
    };
    const [deep, wide] = [nested(3), { a: 1, b: 2, c: 3 }];
    for (const use of [strict.encode, decode]) {
      expect(() => use(deep)).toThrow(CodecError);
      expect(() => use(wide)).toThrow(CodecError);
      expect(() => use(new Map(Object.entries(wide)))).toThrow(CodecError);
      expect(use([1, { a: 1 }])).toBeDefined();
    }
    expect(() => decode("x".repeat(1_000))).toThrow(CodecError);
    const both = ["maxDepth", "maxMapEntries", "maxMapEntries"];
    expect(told).toEqual([...both, ...both, "maxDecodeBytes"]);
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    expect(() => strict.encode(cyclic)).toThrow(/cyclic/);
    expect(() => strict.encode(Symbol("s"))).toThrow(CodecError);
    expect(told).toHaveLength(7);
  });

  test("bound the memory of a decode", () => {
    const bytes = codec.encode(Array(1_000).fill({})).slice();
    expect(() => msgpack({ maxCost: 10_000 }).decode(bytes, 0, bytes.length, true)).toThrow("maxCost 10000");
  });
});

describe("binary values", () => {
  test("are views of an owned message when they are at least a quarter of it", () => {
    const bytes = codec.encode([new Uint8Array(1_000), new Uint8Array(10)]).slice();
    const [large, small] = codec.decode(bytes, 0, bytes.length, true) as [Uint8Array, Uint8Array];
    expect(large.buffer).toBe(bytes.buffer);
    expect(small.buffer.byteLength).toBe(10);
  });

  test("are copies of a message that is not owned, wherever they are", () => {
    const bytes = codec
      .encode([new Uint8Array(100), { a: new Map([[new Uint8Array(9), new Set([new Uint8Array(8)])]]) }])
      .slice();
    const [first, { a }] = codec.decode(bytes, 0, bytes.length, false) as [
      Uint8Array,
      { a: Map<Uint8Array, Set<Uint8Array>> },
    ];
    const [[key, set]] = [...a] as [[Uint8Array, Set<Uint8Array>]];
    expect([first, key, ...set].map((it) => it.buffer.byteLength)).toEqual([100, 9, 8]);
  });
});

describe("a codec", () => {
  test("gives bytes that stand until the next encode, also after a large one", () => {
    const large = "a".repeat(3_000_000);
    const first = codec.encode(large);
    expect(codec.decode(first, 0, first.length, true)).toBe(large);
    expect(codec.encode(1).buffer.byteLength).toBeLessThan(10_000);
  });

  test("writes a value alone as it writes it beside one that takes the general way", () => {
    fc.assert(
      fc.property(value, (value) => {
        const general = Buffer.from(codec.encode([value, undefined])).toString("hex");
        expect(general).toBe(`92${Buffer.from(codec.encode(value)).toString("hex")}d40100`);
      }),
      { seed, numRuns: 1_000 },
    );
  });

  test("does not keep the values that it has encoded", async () => {
    setFlagsFromString("--expose_gc");
    const gc = runInNewContext("gc") as () => void;
    let value: object | undefined = { secret: [1, { deep: [-0] }] };
    const weak = new WeakRef(value);
    codec.encode(value);
    value = undefined;
    await new Promise((resolve) => setTimeout(resolve, 0));
    gc();
    expect(weak.deref()).toBeUndefined();
  });
});

/** The values that survive unchanged, and so the domain of the properties below. */
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, undefined, true, false, -0, NaN, Infinity),
    fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.string({ unit: "binary" }),
    fc
      .tuple(fc.constantFrom("", "\uFEFF"), fc.string({ unit: "binary" }), fc.integer({ min: 0, max: 300 }))
      .map(([mark, text, more]) => mark + text + "é".repeat(more)),
    fc.uint8Array({ maxLength: 300 }),
    fc.date({ noInvalidDate: true }),
    fc.array(tie("value")),
    fc.dictionary(
      fc.string({ unit: "binary" }).filter((key) => key !== "__proto__"),
      tie("value"),
      { noNullPrototype: true },
    ),
    fc.array(fc.tuple(tie("value"), tie("value"))).map((entries) => new Map(entries)),
    fc.array(tie("value")).map((members) => new Set(members)),
  ),
})).value;

test(`any value of the domain survives unchanged (seed ${seed})`, () => {
  fc.assert(
    fc.property(value, (value) => {
      expect(carry(value)).toStrictEqual(value);
    }),
    { seed, numRuns: 3_000 },
  );
});

/** Ways into a container, and how an error writes them. */
const wrapping = fc.oneof(
  fc.nat(3).map((index) => [(inner: unknown) => [...new Array<unknown>(index).fill(0), inner], `[${index}]`] as const),
  fc
    .stringMatching(/^[a-zA-Z_$][a-zA-Z0-9_$]{0,8}$/)
    .map((key) => [(inner: unknown) => ({ [key]: inner }), `.${key}`] as const),
  fc
    .stringMatching(/^[0-9 -]{0,8}$/)
    .map((key) => [(inner: unknown) => ({ before: 1, [key]: inner }), `[${JSON.stringify(key)}]`] as const),
  fc
    .string({ maxLength: 8 })
    .map((key) => [(inner: unknown) => new Map([[key, inner]]), `.get(${JSON.stringify(key)})`] as const),
  fc.constant([(inner: unknown) => new Map([[1, inner]]), ".values()[0]"] as const),
  fc.constant([(inner: unknown) => new Map([[inner, 1]]), ".keys()[0]"] as const),
  fc.constant([(inner: unknown) => new Set([0, inner]), ".values()[1]"] as const),
);

/** What no peer could be given as it is. */
const outside = fc.constantFrom<unknown>(
  () => 1,
  Symbol("s"),
  2n ** 64n,
  -(2n ** 63n) - 1n,
  "\udfff",
  new Date(NaN),
  new Error("no"),
  /x/,
  Object(1),
  new Float32Array(1),
  new ArrayBuffer(1),
  Promise.resolve(),
  new WeakSet(),
  new (class Money {})(),
);

test(`anything outside of the domain is refused when it is encoded, and its place named (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.array(wrapping, { maxLength: 5 }), outside, (ways, bad) => {
      const whole = ways.reduceRight<unknown>((inner, [wrap]) => wrap(inner), bad);
      const path = `args${ways.map(([, step]) => step).join("")}`;
      expect(() => codec.encode(whole, "args")).toThrow(expect.objectContaining({ name: "CodecError", path }));
      // And the codec is none the worse for it.
      expect(carry([1, -0])).toStrictEqual([1, -0]);
    }),
    { seed, numRuns: 1_000 },
  );
});

test(`altered bytes are refused, or decode to a value that survives (seed ${seed})`, () => {
  const edit = fc.record({
    at: fc.nat(),
    drop: fc.nat(2),
    put: fc.uint8Array({ maxLength: 2 }),
  });
  let accepted = 0;
  fc.assert(
    fc.property(value, fc.array(edit, { minLength: 1, maxLength: 3 }), (value, edits) => {
      const bytes = [...codec.encode(value)];
      for (const { at, drop, put } of edits) bytes.splice(at % (bytes.length + 1), drop, ...put);
      const altered = Uint8Array.from(bytes);
      let decoded: unknown;
      try {
        decoded = codec.decode(altered, 0, altered.length, false);
      } catch (error) {
        if (error instanceof CodecError) return;
        throw error;
      }
      accepted++;
      expect(carry(decoded)).toStrictEqual(decoded);
    }),
    { seed, numRuns: 10_000 },
  );
  expect(accepted).toBeGreaterThan(500);
});
