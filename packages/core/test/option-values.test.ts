import { describe, expect, test } from "@jest/globals";
import { systemClock, systemRandom } from "@rap/protocol";
import { type Check, checkOptions, listOf, must, oneOf, wholeNumber, withMethods } from "../src";
import { createContainer } from "../src/container";

/** What is said of a value, without the name of the option. */
function said(rule: Parameters<typeof listOf>[0], value: unknown): string | undefined {
  try {
    checkOptions("It", { x: value }, { x: rule } as never);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ name: "TypeError", code: "ERR_RAP_OPTION" });
    return (error as Error).message.replace(/^the option x of It is /, "");
  }
}

class Store {
  add() {}
}

describe.each<[string, Parameters<typeof listOf>[0], unknown[], [unknown, string][]]>([
  ["a name", "name", ["a", " "], [["", "a text that is not empty, not a string"]]],
  [
    "a time",
    "time",
    [1, 0.5, Infinity],
    [
      [0, "a positive number of milliseconds, not 0"],
      [NaN, "a positive number of milliseconds, not NaN"],
    ],
  ],
  [
    "a wait",
    "wait",
    [0, 1, Infinity],
    [
      [-1, "0 or more milliseconds, not -1"],
      ["5", "0 or more milliseconds, not a string"],
    ],
  ],
  [
    "a signal",
    "signal",
    [AbortSignal.abort(), new AbortController().signal],
    [
      [new AbortController(), "an AbortSignal, not an object"],
      [null, "an AbortSignal, not null"],
    ],
  ],
  [
    "a clock",
    "clock",
    [systemClock],
    [[Date, "a clock with the methods now, setTimeout and clearTimeout, not a function"]],
  ],
  [
    "randomness",
    "random",
    [systemRandom],
    [[Math.random, "a source of randomness with the methods bytes and float, not a function"]],
  ],
  [
    "a logger",
    "logger",
    [console, Object.assign(() => {}, console)],
    [[{ log() {} }, "a logger with the methods debug, info, warn and error, not an object"]],
  ],
  [
    "a container",
    "container",
    [createContainer()],
    [[new Map(), "a container with the methods resolve, isRegistered and createChildContainer, not an object"]],
  ],
  [
    "a whole number",
    wholeNumber(1, 3),
    [1, 3],
    [
      [0, "a whole number from 1 to 3, not 0"],
      [1.5, "a whole number from 1 to 3, not 1.5"],
      [4, "a whole number from 1 to 3, not 4"],
      ["2", "a whole number from 1 to 3, not a string"],
      [1n, "a whole number from 1 to 3, not a bigint"],
    ],
  ],
  [
    "a number without an end",
    wholeNumber(0),
    [0, Number.MAX_SAFE_INTEGER],
    [[2 ** 53, "a whole number of at least 0, not 9007199254740992"]],
  ],
  [
    "one of some words",
    oneOf("never", "always"),
    ["never"],
    [
      ["allways", '"never" or "always", not "allways"'],
      [undefined, ""],
      [true, '"never" or "always", not true'],
    ],
  ],
  [
    "what has a method",
    withMethods("a store", "add"),
    [new Store(), Object.freeze(new Store())],
    [
      [{}, "a store with the method add, not an object"],
      [Store, "a store with the method add, not a function"],
    ],
  ],
  [
    "a list",
    listOf("name"),
    [[], ["a"]],
    [
      ["a", "a list, not a string"],
      [{ length: 1 }, "a list, not an object"],
      [["a", 5], "entry 1 of the option x of It is a text that is not empty, not 5"],
    ],
  ],
  ["what else a list may be", listOf("name", "a list or false"), [[]], [[true, "a list or false, not true"]]],
])("%s", (_, rule, right, wrong) => {
  test("passes", () => {
    for (const value of right) expect(said(rule, value)).toBeUndefined();
  });

  test("is all that passes", () => {
    for (const [value, message] of wrong) expect(said(rule, value)).toBe(message === "" ? undefined : message);
  });
});

test("nothing that is given is shown, but a number, and a word where one of some was due", () => {
  const anything: Check = must("nothing", () => false);
  const secret = "a-secret-in-the-wrong-place";
  const shown = [secret, [secret], { secret }, () => secret, Symbol(secret), null, undefined, 5, false].map((value) => {
    try {
      anything(value, "it");
    } catch (error) {
      return (error as Error).message.replace("it is nothing, not ", "");
    }
    return "";
  });
  expect(shown).toEqual([
    "a string",
    "a list",
    "an object",
    "a function",
    "a symbol",
    "null",
    "undefined",
    "5",
    "false",
  ]);
  expect(said(oneOf("a"), "x".repeat(1_000))?.length).toBeLessThan(60);
});
