import { inspect } from "node:util";
import { createContext, runInContext } from "node:vm";
import { describe, expect, jest, test } from "@jest/globals";
import { CODES, type Code, codeFromNumber, isCode } from "../src/code";
import { defineErrors } from "../src/define-errors";
import { messageOf, RapError } from "../src/error";
import { Metadata } from "../src/metadata";

/** The numbers that gRPC gave them. */
const GRPC: [Code, number][] = [
  ["CANCELLED", 1],
  ["UNKNOWN", 2],
  ["INVALID_ARGUMENT", 3],
  ["DEADLINE_EXCEEDED", 4],
  ["NOT_FOUND", 5],
  ["ALREADY_EXISTS", 6],
  ["PERMISSION_DENIED", 7],
  ["RESOURCE_EXHAUSTED", 8],
  ["FAILED_PRECONDITION", 9],
  ["ABORTED", 10],
  ["OUT_OF_RANGE", 11],
  ["UNIMPLEMENTED", 12],
  ["INTERNAL", 13],
  ["UNAVAILABLE", 14],
  ["DATA_LOSS", 15],
  ["UNAUTHENTICATED", 16],
];

describe("the codes", () => {
  test("are gRPC's sixteen, by name and number", () => {
    expect(Object.entries(CODES)).toEqual(GRPC);
    expect(Object.isFrozen(CODES)).toBe(true);
  });

  test.each(GRPC)("%s is %d both ways", (code, number) => {
    expect([CODES[code], codeFromNumber(number), isCode(code)]).toEqual([number, code, true]);
    expect(new RapError(code).code).toBe(code);
  });

  test("are UNKNOWN for every other number", () => {
    for (const number of [0, 17, 255, -1, 1.5, NaN]) expect(codeFromNumber(number)).toBe("UNKNOWN");
  });

  test("are nothing else", () => {
    for (const value of ["OK", "cancelled", "", "constructor", "toString", "__proto__", 5, null, undefined, {}]) {
      expect(isCode(value)).toBe(false);
      expect(() => new RapError(value as Code)).toThrow(
        expect.objectContaining({ name: "TypeError", code: "ERR_RAP_CODE" }),
      );
    }
  });
});

describe("a RapError", () => {
  test("has a code and says nothing else unless it is told to", () => {
    const error = new RapError("NOT_FOUND");
    expect(error).toMatchObject({
      name: "RapError",
      message: "NOT_FOUND",
      reason: undefined,
      data: undefined,
      details: [],
      retryAfterMs: undefined,
      retryAfter: undefined,
      origin: "local",
      maybeExecuted: true,
      neverProcessed: false,
    });
    expect([...error.metadata]).toEqual([]);
    expect("cause" in error).toBe(false);
  });

  test("takes metadata as it is, or as a record", () => {
    const metadata = new Metadata();
    expect(new RapError("NOT_FOUND", "no", { metadata }).metadata).toBe(metadata);
    expect([...new RapError("NOT_FOUND", "no", { metadata: { a: "1" } }).metadata]).toEqual([["a", "1"]]);
    expect(() => new RapError("NOT_FOUND", "no", { metadata: { a: 1 } as never })).toThrow('"a" must be a string');
  });

  test("is not made with a text in the place of a record", () => {
    const refused = expect.objectContaining({
      name: "TypeError",
      code: "ERR_RAP_CODE",
      message: "what else a RapError says is a record: { cause, data, reason, … }",
    });
    const { BROKE } = defineErrors({ BROKE: { code: "ABORTED" } });
    for (const init of ["why", 5, null]) {
      expect(() => new RapError("NOT_FOUND", "no", init as never)).toThrow(refused);
      expect(() => BROKE(undefined, init as never)).toThrow(refused);
    }
  });

  test("may be given what was caught: a RapError says all that it said, any other error is the cause", () => {
    const { BROKE } = defineErrors({ BROKE: { code: "ABORTED" } });
    const why = new Error("why", { cause: "else" });
    for (const error of [new RapError("NOT_FOUND", "no", why), BROKE(undefined, why)]) {
      expect(error).toMatchObject({ cause: why, maybeExecuted: true, retryAfterMs: undefined });
    }
    const metadata = new Metadata({ a: "1" });
    const said = {
      reason: "R",
      data: 1,
      details: [2],
      retryAfterMs: 3,
      metadata,
      origin: "remote",
      maybeExecuted: false,
    } as const;
    const caught = new RapError("NOT_FOUND", "no", { ...said, cause: why });
    const wrapped = new RapError(caught.code, `while paying: ${caught.message}`, caught);
    expect(wrapped).toMatchObject({ code: "NOT_FOUND", message: "while paying: no", ...said, cause: why });
  });

  test("has what it is told", () => {
    const metadata = new Metadata({ a: "1" });
    const cause = new Error("why");
    const error = new RapError("UNAVAILABLE", "no", {
      reason: "REFUSED",
      data: { n: 1 },
      details: [1, "two"],
      retryAfterMs: 100,
      metadata,
      cause,
      origin: "transport",
      maybeExecuted: false,
    });
    expect(error).toMatchObject({
      message: "no",
      reason: "REFUSED",
      data: { n: 1 },
      details: [1, "two"],
      retryAfterMs: 100,
      retryAfter: 100,
      origin: "transport",
      maybeExecuted: false,
      neverProcessed: true,
    });
    expect([error.metadata, error.cause]).toEqual([metadata, cause]);
    expect(new RapError("UNKNOWN", "", { cause: undefined })).toHaveProperty("cause", undefined);
  });

  test("is an Error with a stack, which begins where it was made", () => {
    const error = new RapError("ABORTED", "no");
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toMatch(/^RapError: no\n +at .*error\.test\.ts/);
    expect(inspect(error)).toMatch(/^RapError: no/);
    expect(String(error)).toBe("RapError: no");
  });

  test("is in JSON what a log needs: neither stack nor cause nor metadata", () => {
    const error = new RapError("ABORTED", "no", { cause: new Error("secret"), metadata: new Metadata({ token: "x" }) });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: "RapError",
      code: "ABORTED",
      message: "no",
      details: [],
      maybeExecuted: true,
      origin: "local",
    });
  });
});

describe("RapError.is", () => {
  test("knows an error and its code", () => {
    const error: unknown = new RapError("NOT_FOUND");
    expect([RapError.is(error), RapError.is(error, "NOT_FOUND"), RapError.is(error, "INTERNAL")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(RapError.is(new (class Mine extends RapError {})("ABORTED"), "ABORTED")).toBe(true);
  });

  test("knows nothing else", () => {
    const alike = { name: "RapError", code: "NOT_FOUND", message: "no" };
    for (const value of [alike, new Error("no"), "NOT_FOUND", null, undefined, 5, () => 1]) {
      expect(RapError.is(value)).toBe(false);
    }
  });

  test("does not take a mark without a code for an error", () => {
    const mark = Symbol.for("rap.error");
    const unreadable = Object.defineProperty(new RapError("ABORTED"), "code", {
      get: () => {
        throw new Error("no");
      },
    });
    for (const value of [{ [mark]: true }, { [mark]: true, code: 5 }, { [mark]: true, code: "toString" }, unreadable]) {
      expect(RapError.is(value)).toBe(false);
    }
    expect(RapError.is({ [mark]: true, code: "ABORTED" })).toBe(true);
  });

  test("knows an error of another copy of the package, and that one ours", () => {
    let Other = RapError;
    jest.isolateModules(() => {
      ({ RapError: Other } = jest.requireActual<typeof import("../src/error")>("../src/error"));
    });
    expect(Other).not.toBe(RapError);
    const foreign = new Other("NOT_FOUND", "no", { metadata: new Metadata({ a: "1" }) });
    expect(foreign).not.toBeInstanceOf(RapError);
    expect([RapError.is(foreign), RapError.is(foreign, "NOT_FOUND"), RapError.is(foreign, "ABORTED")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(Other.is(new RapError("ABORTED"), "ABORTED")).toBe(true);
    expect(RapError.from(foreign)).toBe(foreign);
  });
});

describe("RapError.from", () => {
  test("leaves a RapError as it is", () => {
    const error = new RapError("ABORTED");
    expect(RapError.from(error)).toBe(error);
  });

  test("tells an abort from a timeout, and both from everything else", () => {
    expect(RapError.from(AbortSignal.abort().reason).code).toBe("CANCELLED");
    const timedOut = new DOMException("The operation was aborted due to timeout", "TimeoutError");
    expect(RapError.from(timedOut).code).toBe("DEADLINE_EXCEEDED");
    expect(RapError.from(new Error("AbortError")).code).toBe("UNKNOWN");
  });

  test.each([new Error("boo"), "boo", 5, null, undefined, { message: 7 }, Symbol("s"), () => 1])(
    "makes UNKNOWN of what else was thrown, with it as the cause: %p",
    (value) => {
      const error = RapError.from(value);
      expect(error).toMatchObject({ code: "UNKNOWN", message: messageOf(value) });
      expect(error.cause).toBe(value);
    },
  );

  test("knows errors of another realm by what they look like", () => {
    const realm = createContext({ AbortSignal, DOMException });
    const foreign: unknown = runInContext("new TypeError('of another realm')", realm);
    expect(foreign).not.toBeInstanceOf(Error);
    expect(messageOf(foreign)).toBe("of another realm");
    expect(RapError.from(runInContext("Object.assign(new Error('x'), { name: 'TimeoutError' })", realm)).code).toBe(
      "DEADLINE_EXCEEDED",
    );
  });
});

test("messageOf never throws, whatever the value does", () => {
  const trap = new Proxy(
    {},
    {
      get() {
        throw new Error("trapped");
      },
    },
  );
  const getter = Object.defineProperty(new Error(), "message", {
    get() {
      throw new Error("trapped");
    },
  });
  expect([messageOf("text"), messageOf(null), messageOf([]), messageOf(trap), messageOf(getter)]).toEqual([
    "text",
    "a value of type null was thrown",
    "a value of type object was thrown",
    "a value that cannot be read was thrown",
    "a value that cannot be read was thrown",
  ]);
  expect(RapError.from(trap).code).toBe("UNKNOWN");
  expect(RapError.from(getter).code).toBe("UNKNOWN");
});
