import { inspect } from "node:util";
import { describe, expect, jest, test } from "@jest/globals";
import fc from "fast-check";
import { LIMITS } from "../src/limits";
import { decodeMetadata, encodeMetadata, Metadata, type MetadataInit, toMetadata } from "../src/metadata";
import { fromHex, toHex } from "./vectors";

const seed = Number(process.env.SEED ?? 20_261_125);
const refused = (message: string) =>
  expect.objectContaining({
    name: "TypeError",
    code: "ERR_RAP_METADATA",
    message: expect.stringContaining(message),
  });

function decode(bytes: Uint8Array): Metadata {
  return decodeMetadata(bytes, 0, bytes.length);
}

describe("metadata", () => {
  test("is not made of what is no record", () => {
    for (const value of [5, null, "a=b", true]) {
      expect(() => new Metadata(value as never)).toThrow(refused("a record of texts, or a Metadata"));
      expect(() => toMetadata(value as never)).toThrow(refused("a record of texts, or a Metadata"));
    }
  });

  test("is made of a record, of which a key may have several values", () => {
    const metadata = new Metadata({
      tenant: "t1",
      tag: ["a", "b"],
      "id-bin": Uint8Array.of(1),
      none: undefined as never,
    });
    expect([...metadata]).toEqual([
      ["tenant", "t1"],
      ["tag", "a"],
      ["tag", "b"],
      ["id-bin", Uint8Array.of(1)],
    ]);
    expect(metadata.size).toBe(4);
    expect(new Metadata().size).toBe(0);
  });

  test("is copied from other metadata, which stays as it is", () => {
    const one = new Metadata({ a: "1" });
    const other = new Metadata(one).append("a", "2");
    expect([one.getAll("a"), other.getAll("a")]).toEqual([["1"], ["1", "2"]]);
  });

  test("is copied from metadata of another copy of the package", () => {
    let Other = Metadata;
    jest.isolateModules(() => {
      ({ Metadata: Other } = jest.requireActual<typeof import("../src/metadata")>("../src/metadata"));
    });
    expect(Other).not.toBe(Metadata);
    const foreign = new Other({ a: "1", "b-bin": Uint8Array.of(2) });
    expect([...new Metadata(foreign)]).toEqual([...foreign]);
    expect(toMetadata(foreign)?.size).toBe(2);
  });

  test("gives the first or all values of a key, whatever its case", () => {
    const metadata = new Metadata().append("X-Tag", "a").append("x-tag", "b");
    expect(metadata.get("X-TAG")).toBe("a");
    expect(metadata.getAll("x-Tag")).toEqual(["a", "b"]);
    expect([metadata.has("X-tag"), metadata.has("y")]).toEqual([true, false]);
    expect([metadata.get("y"), metadata.getAll("y")]).toEqual([undefined, []]);
    expect(metadata.set("X-TAG", "c").getAll("x-tag")).toEqual(["c"]);
    expect([metadata.delete("X-Tag"), metadata.delete("x-tag"), metadata.size]).toEqual([true, false, 0]);
  });

  test("is in JSON the first value of each key", () => {
    const metadata = new Metadata({ b: ["1", "2"], a: "3" });
    expect(JSON.stringify(metadata)).toBe('{"a":"3","b":"1"}');
    expect(inspect(metadata)).toContain("Metadata");
  });

  test("keeps a key that every object inherits, and does not touch prototypes", () => {
    const metadata = new Metadata({ constructor: "1" }).append("__proto__", "2");
    expect([metadata.get("constructor"), metadata.get("tostring"), metadata.get("__proto__")]).toEqual([
      "1",
      undefined,
      "2",
    ]);
    expect(Object.keys(metadata.toJSON())).toEqual(["__proto__", "constructor"]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("is nothing when it is not given or empty", () => {
    expect([toMetadata(undefined), toMetadata({}), toMetadata(new Metadata())]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const metadata = new Metadata({ a: "1" });
    expect(toMetadata(metadata)).toBe(metadata);
  });
});

test.each([null, 5, "a", [], [["a", "1"]], new Map([["a", "1"]]), new Set()])("%p is no metadata", (init) => {
  const refused = expect.objectContaining({
    code: "ERR_RAP_METADATA",
    message: "metadata is a record of texts, or a Metadata",
  });
  expect(() => new Metadata(init as never)).toThrow(refused);
  expect(() => toMetadata(init as never)).toThrow(refused);
});

test.each([undefined, null, 5, Symbol("key")])("%p is no key of metadata", (key) => {
  const metadata = new Metadata();
  const refused = expect.objectContaining({
    code: "ERR_RAP_METADATA",
    message: expect.stringMatching(/key must be a str/),
  });
  for (const use of ["get", "getAll", "has", "delete"] as const)
    expect(() => metadata[use](key as never)).toThrow(refused);
  expect(() => metadata.set(key as never, "1")).toThrow(refused);
  expect(() => metadata.append(key as never, "1")).toThrow(refused);
});

describe("the limits hold where something is set", () => {
  const long = "k".repeat(LIMITS.metadataKeyBytes);

  test.each<[string, string, unknown, string]>([
    ["an empty key", "", "1", "must be 1 to 128 characters"],
    ["a key of 129 characters", `${long}k`, "1", "must be 1 to 128 characters"],
    ["a space in a key", "a b", "1", "must be 1 to 128 characters"],
    ["a key beyond ASCII", "é", "1", "must be 1 to 128 characters"],
    ["a line break in a key", "a\n", "1", "must be 1 to 128 characters"],
    ["text under a key of bytes", "a-bin", "1", '"a-bin" must be bytes'],
    ["bytes under a key of text", "a", Uint8Array.of(1), '"a" must be a string'],
    ["a number", "a", 1, '"a" must be a string'],
    ["null", "a", null, '"a" must be a string'],
    ["a text that is too long", "a", "x".repeat(LIMITS.metadataValueBytes + 1), "longer than 4096 bytes"],
    ["a text that is too long in UTF-8", "a", "é".repeat(LIMITS.metadataValueBytes / 2 + 1), "longer than 4096 bytes"],
    ["too many bytes", "a-bin", new Uint8Array(LIMITS.metadataValueBytes + 1), "longer than 4096 bytes"],
    ["a lone surrogate", "a", "\ud800", "lone surrogate"],
  ])("%s is refused", (_, key, value, message) => {
    expect(() => new Metadata().append(key, value as string)).toThrow(refused(message));
    expect(() => new Metadata({ [key]: [value] } as MetadataInit)).toThrow(refused(message));
    expect(() => new Metadata({ [key]: value } as MetadataInit)).toThrow(refused(message));
  });

  test("the largest key and values pass", () => {
    const metadata = new Metadata().append(long, "x".repeat(LIMITS.metadataValueBytes)).append("a", "é".repeat(1_900));
    expect([...decode(encodeMetadata(metadata))]).toEqual([...metadata]);
  });

  test("64 entries pass, and no more", () => {
    const metadata = new Metadata();
    for (let index = 0; index < LIMITS.metadataEntries; index++) metadata.append("a", String(index));
    expect(() => metadata.append("a", "64")).toThrow(refused("more than 64 entries"));
    expect(decode(encodeMetadata(metadata)).getAll("a")).toEqual(Array.from({ length: 64 }, (_, index) => `${index}`));
  });

  test("8 KiB in all pass, and no more, and what is deleted counts no more", () => {
    const metadata = new Metadata()
      .append("a-bin", new Uint8Array(4_096 - 5))
      .append("b-bin", new Uint8Array(4_096 - 5));
    expect(() => metadata.append("c", "")).toThrow(refused("larger than 8192 bytes in all"));
    expect(decode(encodeMetadata(metadata)).size).toBe(2);
    metadata.delete("a-bin");
    // An entry counts 32 bytes at least.
    for (let index = 0; index < 60; index++) metadata.append("c", "");
    expect(decode(encodeMetadata(metadata)).size).toBe(61);
    metadata.set("b-bin", new Uint8Array(4_096 - 5)).set("b-bin", new Uint8Array(4_096 - 5));
    expect(metadata.size).toBe(61);
  });
});

describe("a block of the wire", () => {
  const entry = "016100 0131".replaceAll(" ", "");

  test.each([
    ["a count without entries", "01", "cut short"],
    ["a key without a value", "010161", "cut short"],
    ["half a length", "01016100", "cut short"],
    ["a value that is cut", "0101610002ff", "cut short"],
    ["fewer entries than its count", `02${entry}`, "cut short"],
    ["bytes after its entries", `01${entry}00`, "trailing bytes"],
    ["an empty key", "0100000131", "must be 1 to 128"],
    ["an upper-case key", "010141000131", "lower case"],
    ["a key beyond ASCII", "0101c3000131", "must be 1 to 128"],
    ["text that is not UTF-8", "01016100 02c328".replaceAll(" ", ""), "not UTF-8"],
    ["an overlong slash", "0101610002c0af", "not UTF-8"],
    ["65 entries", `41${entry.repeat(65)}`, "more than 64 entries"],
    ["a value of 4 097 bytes", `0101611001${"61".repeat(4_097)}`, "longer than 4096"],
    [
      "three values of 4 000 bytes",
      `03${`0161${(4_000).toString(16).padStart(4, "0")}${"61".repeat(4_000)}`.repeat(3)}`,
      "8192",
    ],
  ])("of %s is refused", (_, hex, message) => {
    expect(() => decode(fromHex(hex))).toThrow(refused(message));
  });

  test("is refused when it is cut at any byte", () => {
    const block = encodeMetadata(new Metadata({ a: "1", "b-bin": Uint8Array.of(1, 2) }));
    for (let end = 1; end < block.length; end++)
      expect(() => decodeMetadata(block, 0, end)).toThrow(refused("metadata"));
  });

  test("keeps a byte-order mark and copies bytes", () => {
    const block = encodeMetadata(new Metadata({ a: "\uFEFFx", "b-bin": Uint8Array.of(1, 2) }));
    const metadata = decode(block);
    block.fill(0);
    expect([...metadata]).toEqual([
      ["a", "\uFEFFx"],
      ["b-bin", Uint8Array.of(1, 2)],
    ]);
  });

  test("is written as the table says", () => {
    expect(toHex(encodeMetadata(new Metadata({ A: "1", "b-bin": fromHex("00ff") })))).toBe(
      `02${"01"}61${"0001"}31${"05"}622d62696e${"0002"}00ff`,
    );
    expect(toHex(encodeMetadata(new Metadata()))).toBe("00");
    expect([decode(fromHex("00")).size, decode(fromHex("")).size]).toEqual([0, 0]);
  });

  const key = fc.stringMatching(/^[a-z0-9._-]{1,20}$/);
  const pair = fc.oneof(
    fc.tuple(
      key.filter((name) => !name.endsWith("-bin")),
      fc.string({ unit: "binary", maxLength: 40 }),
    ),
    fc.tuple(
      key.map((name) => `${name}-bin`),
      fc.uint8Array({ maxLength: 40 }),
    ),
  );

  test(`carries any pairs unchanged (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 20 }), (pairs) => {
        const metadata = new Metadata();
        for (const [name, value] of pairs) metadata.append(name, value);
        expect([...decode(encodeMetadata(metadata))]).toEqual(pairs);
      }),
      { seed, numRuns: 500 },
    );
  });

  test(`of any bytes is read or refused, and nothing else (seed ${seed})`, () => {
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(2), put: fc.uint8Array({ maxLength: 2 }) });
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 4 }), fc.array(edit, { maxLength: 3 }), (pairs, edits) => {
        const metadata = new Metadata();
        for (const [name, value] of pairs) metadata.append(name, value);
        const bytes = [...encodeMetadata(metadata)];
        for (const { at, drop, put } of edits) bytes.splice(at % (bytes.length + 1), drop, ...put);
        const altered = Uint8Array.from(bytes);
        let read: Metadata;
        try {
          read = decode(altered);
        } catch (error) {
          expect(error).toEqual(refused("metadata"));
          return;
        }
        expect(toHex(encodeMetadata(read))).toBe(toHex(altered) || "00");
      }),
      { seed, numRuns: 2_000 },
    );
  });
});
