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

describe("what bears the mark of a RapError", () => {
  const BRAND = Symbol.for("rap.error");
  const throwing = (field: string) =>
    Object.defineProperty(new RapError("ABORTED", "words"), field, {
      get: () => {
        throw new Error(SECRET);
      },
    });

  test.each([
    ["without a code", { [BRAND]: true, message: SECRET }],
    ["with a code that is none", { [BRAND]: true, code: 5, message: SECRET }],
    ["and throws when anything is read", new Proxy({ [BRAND]: true }, { get: () => thrower(), has: () => true })],
    ["and throws when its code is read", throwing("code")],
    ["and throws when asked whether it ran", throwing("maybeExecuted")],
    ["and throws when asked where it arose", throwing("origin")],
  ])("%s is told as any other value", (_, error) => {
    const { code, message } = told(error);
    expect([code, message]).toEqual(["UNKNOWN", expect.stringMatching(/^default\/f failed \(error id/)]);
  });

  function thrower(): never {
    throw new Error(SECRET);
  }
});

describe("an error of a call that the function made", () => {
  const inner = (init: object) => new RapError("UNAVAILABLE", `connect ECONNREFUSED 10.0.0.7:${SECRET}`, init);

  test("keeps its code and loses its words where they are about a connection of ours, which the log has", () => {
    const logged: object[] = [];
    const logger = { ...options.logger, error: (details: object) => void logged.push(details) };
    const error = inner({ origin: "transport", maybeExecuted: false });
    const { code, message, details, maybeExecuted } = failureOf(error, "default/f", { ...options, logger });
    const [{ errorId }] = details as [{ errorId: string }];
    expect({ code, message, maybeExecuted }).toEqual({
      code: "UNAVAILABLE",
      message: `default/f failed (error id ${errorId})`,
      maybeExecuted: true,
    });
    expect(logged).toEqual([expect.objectContaining({ errorId })]);
    expect((logged[0] as { err: Error }).err.message).toContain(SECRET);
  });

  test("travels whole where another server worded it", () => {
    const error = new RapError("NOT_FOUND", "no such account", { origin: "remote", reason: "X", maybeExecuted: false });
    expect(told(error)).toMatchObject({
      code: "NOT_FOUND",
      message: "no such account",
      reason: "X",
      maybeExecuted: true,
    });
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
