import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "@jest/globals";
import { CODEC } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { type CodecError, msgpack } from "@rap/protocol";
import { codecCompliance } from "@rap/protocol/compliance";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import fc from "fast-check";
import { readVectors } from "../../protocol/test/vectors";
import { msgpackr } from "../src/msgpackr";

const seed = Number(process.env.SEED ?? 20_261_124);
const { values, refused } = readVectors();
const ours = msgpackr();
const original = msgpack();

codecCompliance("msgpackr", () => msgpackr());

describe("the vectors of the wire", () => {
  test.each(values)("are decoded: $name", ({ bytes, value }) => {
    expect(ours.decode(bytes, 0, bytes.length, false)).toStrictEqual(value);
  });

  test.each(values)("are decoded inside a larger message: $name", ({ bytes, value }) => {
    const message = Uint8Array.of(0x94, ...bytes, 0xd9, 200, ...new Uint8Array(200).fill(0x61), ...bytes, 0);
    expect(ours.decode(message, 0, message.length, false)).toStrictEqual([value, "a".repeat(200), value, 0]);
  });

  test.each(refused)("are refused: $name", ({ bytes, why }) => {
    expect(() => ours.decode(bytes, 0, bytes.length, true)).toThrow(why);
  });
});

/** A value, or the error in its place. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    const { name, message, path } = error as CodecError;
    return { name, message, path };
  }
}

/** Not toStrictEqual, which takes a property called constructor for the class. */
function same(got: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(got, expected)) expect(got).toStrictEqual(expected);
}

/** Values larger than what the codec writes without any library. */
const padded = (value: unknown) => [value, "x".repeat(300), { value }];

describe("beside the default codec", () => {
  const key = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("constructor", "toJSON", "hasOwnProperty", "then"),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(
        null,
        true,
        false,
        undefined,
        -0,
        Number.NaN,
        2 ** 53,
        -(2 ** 53),
        2 ** 40,
        -(2 ** 40),
        1n,
        2n ** 60n,
      ),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.double(),
      fc.string({ unit: "binary", maxLength: 100 }),
      fc.string({ unit: "grapheme", maxLength: 100 }),
      fc.uint8Array({ maxLength: 50 }),
      fc.date(),
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(key, tie("value"), { maxKeys: 20 }),
      fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => new Set(items)),
    ),
  }));

  test("either reads what the other wrote, and both refuse the same in the same words", () => {
    fc.assert(
      fc.property(value, (inner) => {
        for (const given of [inner, padded(inner)]) {
          const mine = outcome(() => ours.encode(given).slice());
          const theirs = outcome(() => original.encode(given).slice());
          if (!(mine instanceof Uint8Array) || !(theirs instanceof Uint8Array)) {
            expect(mine).toStrictEqual(theirs);
            continue;
          }
          const expected = original.decode(theirs, 0, theirs.length, false);
          same(original.decode(mine, 0, mine.length, false), expected);
          same(ours.decode(theirs, 0, theirs.length, false), expected);
          same(ours.decode(mine, 0, mine.length, true), expected);
        }
      }),
      { seed, numRuns: 400 },
    );
  });

  test("bytes that nobody wrote are the same value to both, or refused in the same words", () => {
    fc.assert(
      fc.property(value, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }), (inner, changes) => {
        const bytes = outcome(() => original.encode(padded(inner)).slice());
        if (!(bytes instanceof Uint8Array)) return;
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        const decoded = (codec: typeof ours) => outcome(() => codec.decode(bytes, 0, bytes.length, true));
        same(decoded(ours), decoded(original));
      }),
      { seed, numRuns: 1_000 },
    );
  });

  test("bytes of another realm arrive as bytes, and objects of one as objects", () => {
    const foreign: unknown = runInNewContext("({ bytes: new Uint8Array([1, 2]), list: [{ a: [1] }] })");
    const bytes = ours.encode(padded(foreign)).slice();
    const expected = { bytes: Uint8Array.of(1, 2), list: [{ a: [1] }] };
    expect(ours.decode(bytes, 0, bytes.length, false)).toStrictEqual(padded(expected));
  });

  test("has the limits that it is given", () => {
    const narrow = msgpackr({ maxDepth: 2, maxMapEntries: 20 });
    expect(() => narrow.encode(padded([[[1]]]))).toThrow("more than 2 levels");
    const bytes = ours.encode(padded([[[1]]])).slice();
    expect(() => narrow.decode(bytes, 0, bytes.length, true)).toThrow("maxDepth 2");
  });
});

test("bytes of one codec outlive what another encodes", () => {
  const other = msgpackr();
  const first = ours.encode(padded("first"));
  for (let i = 0; i < 100; i++) other.encode(padded(`other ${i}`));
  expect(ours.decode(first, 0, first.length, false)).toStrictEqual(padded("first"));
});

test("a large value keeps no large buffer", () => {
  const large = ours.encode({ text: "a".repeat(3_000_000), list: [1, 2, 3] });
  expect(large.buffer.byteLength).toBeGreaterThan(3_000_000);
  expect(ours.encode(padded(1)).buffer.byteLength).toBeLessThan(100_000);
});

test("a server with it serves a client without, and the other way round", async () => {
  const container = createContainer().register(CODEC, { useValue: msgpackr() });
  const given = { users: Array.from({ length: 50 }, (_, id) => ({ id, at: new Date(id), tags: new Set([id]) })) };
  const echo = (value: unknown): unknown => value;
  const one = new Server({ container }).register({ echo });
  const other = new Server().register({ echo });
  await using served = await createTestPair(one);
  await using calling = await createTestPair(other, { client: { container } });
  for (const { client } of [served, calling]) {
    expect(await client.invokeByName("echo", [given])).toStrictEqual(given);
  }
});

test("the library behind it loads no native addon and makes no code of strings", () => {
  const script = `
    const { Packr } = require("msgpackr/index-no-eval");
    const packr = new Packr({ useRecords: false });
    const bytes = packr.pack(Array.from({ length: 100 }, (_, id) => ({ id, name: "user " + id })));
    console.log(packr.unpack(bytes).length, Object.keys(require.cache).filter((file) => /\\.node$|extract/.test(file)).length);
  `;
  const output = execFileSync(process.execPath, ["--disallow-code-generation-from-strings", "-e", script], {
    cwd: __dirname,
    encoding: "utf8",
  });
  expect(output.trim()).toBe("100 0");
});
