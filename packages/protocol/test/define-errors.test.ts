import { describe, expect, test } from "@jest/globals";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import * as v from "valibot";
import * as z from "zod";
import { defineErrors } from "../src/define-errors";
import { RapError } from "../src/error";
import { msgpack } from "../src/msgpack";
import { decodeError, encodeError } from "../src/wire-error";

const errors = defineErrors({
  INSUFFICIENT_FUNDS: { code: "FAILED_PRECONDITION", data: z.object({ needed: z.number() }), message: "not enough" },
  NO_SUCH_ACCOUNT: { code: "NOT_FOUND" },
  BUSY: { code: "UNAVAILABLE", retryAfterMs: 100, data: v.object({ queue: v.number() }) },
  LATE: { code: "ABORTED", data: z.object({ by: z.bigint() }) },
});

const codec = msgpack();

function carry(error: RapError): RapError {
  const bytes = encodeError(error, codec).slice();
  return decodeError(bytes, 0, bytes.length, codec);
}

describe("a typed error", () => {
  test("has the code, message and hint of its definition and the data that it is given", () => {
    const error = errors.INSUFFICIENT_FUNDS({ needed: 5 });
    expect(RapError.is(error, "FAILED_PRECONDITION")).toBe(true);
    expect(error).toMatchObject({ reason: "INSUFFICIENT_FUNDS", message: "not enough", data: { needed: 5 } });
    error.data.needed satisfies number;
    error.code satisfies "FAILED_PRECONDITION";
    expect(errors.BUSY({ queue: 3 })).toMatchObject({ message: "BUSY", retryAfterMs: 100 });
    expect(errors.NO_SUCH_ACCOUNT()).toMatchObject({ code: "NOT_FOUND", data: undefined });
  });

  test("may have a message and a cause of its own", () => {
    const cause = new Error("why");
    const error = errors.NO_SUCH_ACCOUNT(undefined, { message: "no account 7", cause });
    expect([error.message, error.cause]).toEqual(["no account 7", cause]);
    expect("cause" in errors.NO_SUCH_ACCOUNT()).toBe(false);
  });

  test.each<[string, RapError, keyof typeof errors]>([
    ["zod", errors.INSUFFICIENT_FUNDS({ needed: 5 }), "INSUFFICIENT_FUNDS"],
    ["no schema", errors.NO_SUCH_ACCOUNT(), "NO_SUCH_ACCOUNT"],
    ["valibot", errors.BUSY({ queue: 3 }), "BUSY"],
    ["zod, of a bigint", errors.LATE({ by: 2n ** 60n }), "LATE"],
  ])("is recognised after it has crossed the wire, with its data: %s", (_, error, reason) => {
    const there = carry(error);
    expect(there).toMatchObject({ code: error.code, reason, message: error.message, origin: "remote" });
    expect(there.data).toStrictEqual(error.data);
    for (const name of Object.keys(errors) as (keyof typeof errors)[]) {
      expect(errors[name].is(there)).toBe(name === reason);
    }
  });

  test("gives its data their type where it is recognised", () => {
    const caught: unknown = carry(errors.INSUFFICIENT_FUNDS({ needed: 5 }));
    if (!errors.INSUFFICIENT_FUNDS.is(caught)) throw caught;
    caught.data.needed satisfies number;
    caught.reason satisfies "INSUFFICIENT_FUNDS";
    expect(caught.data.needed).toBe(5);
  });
});

describe("what is not that error", () => {
  test("has another code, another reason or data that the schema refuses", () => {
    const of = (code: "FAILED_PRECONDITION" | "ABORTED", reason: string, data: unknown) =>
      errors.INSUFFICIENT_FUNDS.is(new RapError(code, "x", { reason, data }));
    expect(of("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS", { needed: 1 })).toBe(true);
    expect(of("ABORTED", "INSUFFICIENT_FUNDS", { needed: 1 })).toBe(false);
    expect(of("FAILED_PRECONDITION", "INSUFFICIENT", { needed: 1 })).toBe(false);
    expect(of("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS", { needed: "1" })).toBe(false);
    expect(of("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS", undefined)).toBe(false);
  });

  test("is no RapError", () => {
    for (const value of [null, undefined, "x", { code: "NOT_FOUND", reason: "NO_SUCH_ACCOUNT" }, new Error("x")]) {
      expect(errors.NO_SUCH_ACCOUNT.is(value)).toBe(false);
    }
  });
});

test("a schema that answers later cannot be asked: reason and code must do", () => {
  const slow: StandardSchemaV1<number> = {
    "~standard": { version: 1, vendor: "test", validate: async () => ({ issues: [{ message: "no" }] }) },
  };
  const { SLOW } = defineErrors({ SLOW: { code: "ABORTED", data: slow } });
  expect(SLOW.is(SLOW(5))).toBe(true);
});

test("the set of errors is frozen, and has no names that it was not given", () => {
  expect(Object.isFrozen(errors)).toBe(true);
  expect(Object.keys(errors)).toEqual(["INSUFFICIENT_FUNDS", "NO_SUCH_ACCOUNT", "BUSY", "LATE"]);
  expect((errors as Record<string, unknown>).toString).toBeUndefined();
});

test.each<[string, object, RegExp]>([
  ["null", { BROKE: null }, /^BROKE is defined by a record with a code/],
  ["a code alone", { BROKE: "NOT_FOUND" }, /^BROKE is defined by a record with a code/],
  ["no code", { BROKE: {} }, /^BROKE: undefined is not a code/],
  [
    "data without a schema",
    { BROKE: { code: "NOT_FOUND", data: { needed: "number" } } },
    /its data is a Standard Schema/,
  ],
  ["a number for a message", { BROKE: { code: "NOT_FOUND", message: 5 } }, /its message is a text/],
  ["a text for a time", { BROKE: { code: "NOT_FOUND", retryAfterMs: "5" } }, /its retryAfterMs is a number/],
  ["another name", { BROKE: { code: "NOT_FOUND", mesage: "x" } }, /no "mesage": did you mean "message"/],
  ["a list", [{ code: "NOT_FOUND" }], /^errors are a record/],
])("a definition with %s is refused", (_, definitions, message) => {
  expect(() => defineErrors(definitions as never)).toThrow(
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_CODE", message: expect.stringMatching(message) }),
  );
});

test("the compiler holds code and data to the definition", () => {
  // @ts-expect-error data of a wrong type
  errors.INSUFFICIENT_FUNDS({ needed: "5" });
  // @ts-expect-error data that are missing
  errors.INSUFFICIENT_FUNDS();
  // @ts-expect-error no code of that name
  expect(() => defineErrors({ X: { code: "NOPE" } })).toThrow(
    expect.objectContaining({
      name: "TypeError",
      code: "ERR_RAP_CODE",
      message: expect.stringMatching(/^X: NOPE is not a code; they are CANCELLED, /),
    }),
  );
});

test("what is no record of definitions is refused", () => {
  for (const value of [undefined, null, 5]) {
    expect(() => defineErrors(value as never)).toThrow(
      expect.objectContaining({
        name: "TypeError",
        code: "ERR_RAP_CODE",
        message: expect.stringContaining("a record"),
      }),
    );
  }
});

test("a definition may have names of the program's own", () => {
  expect(defineErrors({ BROKE: { code: "NOT_FOUND", status: 404 } }).BROKE().code).toBe("NOT_FOUND");
});
