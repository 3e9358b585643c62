import { describe, expect, test } from "@jest/globals";
import {
  CODES,
  codeFromNumber,
  decodeError,
  encodeError,
  isCode,
  msgpack,
  RapError,
  systemRandom,
} from "@rap/protocol";
import fc from "fast-check";
import { failureOf } from "../src/failure";

const seed = Date.now() % 2 ** 31;
const options = { logger: { debug() {}, info() {}, warn() {}, error() {} }, random: systemRandom, exposeErrors: false };
const codec = msgpack();

/** Words that only the server may know. */
const SECRET = "hunter2";
const LEAK = new RegExp(`${SECRET}|\\n\\s+at |node_modules|\\.[jt]s:\\d`);

/** An object of which nothing can be read. */
const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error(SECRET);
    },
    has: () => {
      throw new Error(SECRET);
    },
    getPrototypeOf: () => {
      throw new Error(SECRET);
    },
  },
);

/** Stands for it where the test's tools would look at it. */
const HOSTILE = Symbol("hostile");

/** What functions throw that is no RapError. */
const thrown = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withNullPrototype: true }),
  fc.string().map((text) => new Error(`${SECRET} ${text}`)),
  fc.string().map((text) => Object.assign(new TypeError(SECRET), { code: text, details: [SECRET], data: SECRET })),
  fc.string().map((text) => new Error(text, { cause: new Error(SECRET) })),
  fc.constantFrom(Symbol(SECRET), SECRET, () => SECRET, HOSTILE, Promise.resolve(SECRET)),
);

const rapError = fc
  .record({
    code: fc.constantFrom(...(Object.keys(CODES) as (keyof typeof CODES)[])),
    message: fc.string({ unit: "binary" }),
    reason: fc.option(fc.string(), { nil: undefined }),
    details: fc.array(fc.anything({ maxDepth: 2 }), { maxLength: 3 }),
    data: fc.anything({ maxDepth: 2 }),
    retryAfterMs: fc.option(fc.double(), { nil: undefined }),
  })
  .map(({ code, message, ...init }) => new RapError(code, message, { ...init, cause: new Error(SECRET) }));

/** What the caller gets. */
function told(error: unknown): RapError {
  const bytes = encodeError(failureOf(error, "default/f", options), codec).slice();
  expect(Buffer.from(bytes).toString("latin1")).not.toMatch(LEAK);
  return decodeError(bytes, 0, bytes.length, codec);
}

describe("the error that a caller gets", () => {
  test(`is one of ours without a word of what was thrown, whatever that is (seed ${seed})`, () => {
    fc.assert(
      fc.property(thrown, (error) => {
        const { code, message } = told(error === HOSTILE ? hostile : error);
        expect(isCode(code)).toBe(true);
        expect(message).toMatch(/^default\/f failed \(error id [0-9a-f]{16}\)$/);
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test(`has the code of a RapError, and nothing of its cause and its stack (seed ${seed})`, () => {
    fc.assert(
      fc.property(rapError, (error) => {
        expect(told(error).code).toBe(error.code);
      }),
      { seed, numRuns: 3_000 },
    );
  });
});

test(`every number is a code (seed ${seed})`, () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(300), fc.integer(), fc.double()), (number) => {
      expect(isCode(codeFromNumber(number))).toBe(true);
    }),
    { seed },
  );
});
