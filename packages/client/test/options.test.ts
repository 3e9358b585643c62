import { describe, expect, test } from "@jest/globals";
import { Metadata } from "@rap/protocol";
import { inherit, mergeOptions } from "../src/options";

describe("options over options", () => {
  test("are the inner ones where both say something, and nobody's are changed", () => {
    const outer = Object.freeze({ timeout: 1, waitForReady: true });
    const inner = Object.freeze({ timeout: 2 });
    expect(mergeOptions(outer, inner)).toEqual({ timeout: 2, waitForReady: true });
    expect(mergeOptions({}, {})).toEqual({});
  });

  test("do not count where they are undefined", () => {
    expect(mergeOptions({ timeout: 1, session: null }, { timeout: undefined, session: undefined })).toEqual({
      timeout: 1,
      session: null,
    });
  });

  test("add up their metadata, key by key", () => {
    const { metadata } = mergeOptions(
      { metadata: { a: ["1", "2"], b: "1" } },
      { metadata: new Metadata({ A: "3", c: ["4", "5"] }) },
    );
    expect([...(metadata as Metadata)]).toEqual([
      ["b", "1"],
      ["a", "3"],
      ["c", "4"],
      ["c", "5"],
    ]);
    const only = { a: "1" };
    expect(mergeOptions({ metadata: only }, {}).metadata).toBe(only);
    expect(mergeOptions({}, { metadata: only }).metadata).toBe(only);
  });

  test("are refused when the timeout is no number", () => {
    for (const timeout of [NaN, "5", null, {}]) {
      expect(() => mergeOptions({}, { timeout: timeout as number })).toThrow(
        expect.objectContaining({
          name: "TypeError",
          code: "ERR_RAP_OPTION",
          message: `timeout must be a number of milliseconds, not ${String(timeout)}`,
        }),
      );
    }
    for (const timeout of [0, -1, 1.5, Infinity]) expect(mergeOptions({}, { timeout }).timeout).toBe(timeout);
  });

  test("of a function win over those of its surroundings", () => {
    expect(inherit({ timeout: 1 }, { timeout: 2, metadata: { a: "1" } })).toEqual({ timeout: 1, metadata: { a: "1" } });
    expect(inherit(undefined, { timeout: 2 })).toEqual({ timeout: 2 });
  });
});

test("a signal that is none is refused where it is given", () => {
  const refused = expect.objectContaining({ code: "ERR_RAP_OPTION" });
  expect(() => mergeOptions({}, { signal: 3 as unknown as AbortSignal })).toThrow(refused);
  expect(() => mergeOptions({}, { signal: new AbortController() as unknown as AbortSignal })).toThrow(refused);
});
