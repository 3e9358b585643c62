import { describe, expect, test } from "@jest/globals";
import { type Tagged, tag, untag } from "../src/tagged";

const VALUES: readonly (readonly [string, unknown, Tagged])[] = [
  ["null", null, null],
  ["a text", "é€😀", "é€😀"],
  ["a number", 1.5, 1.5],
  ["minus zero", -0, { $number: "-0" }],
  ["not a number", Number.NaN, { $number: "NaN" }],
  ["infinity", Number.NEGATIVE_INFINITY, { $number: "-Infinity" }],
  ["undefined", undefined, { $undefined: true }],
  ["a bigint", -5n, { $bigint: "-5" }],
  ["bytes", Uint8Array.of(0, 255), { $bytes: "00ff" }],
  ["a Date", new Date(1_000), { $date: 1_000 }],
  ["a Map", new Map([[1, new Set(["a"])]]), { $map: [[1, { $set: ["a"] }]] }],
  ["what holds others", { a: [undefined, { b: 1n }] }, { a: [{ $undefined: true }, { b: { $bigint: "1" } }] }],
];

describe("as JSON", () => {
  test.each(VALUES)("%s is written, and read again", (_, value, tagged) => {
    expect(tag(value)).toStrictEqual(tagged);
    expect(untag(JSON.parse(JSON.stringify(tagged)))).toStrictEqual(value);
  });

  test.each([[() => 1], [Symbol("no")]])("%p is refused", (value) => {
    expect(() => tag([value])).toThrow(TypeError);
  });
});
