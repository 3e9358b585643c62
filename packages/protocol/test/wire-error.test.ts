import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { CODES, type Code } from "../src/code";
import { CodecError } from "../src/codec";
import { RapError, type RapErrorInit } from "../src/error";
import { Metadata } from "../src/metadata";
import { msgpack } from "../src/msgpack";
import { PayloadError } from "../src/payload";
import { decodeError, encodeError } from "../src/wire-error";
import { fromHex, toHex } from "./vectors";

const codec = msgpack();

function encode(error: RapError): Uint8Array {
  return encodeError(error, codec).slice();
}

function decode(bytes: Uint8Array): RapError {
  return decodeError(bytes, 0, bytes.length, codec);
}

function carry(code: Code, message?: string, init?: RapErrorInit): RapError {
  return decode(encode(new RapError(code, message, init)));
}

describe("an error that crosses the wire", () => {
  test.each(Object.entries(CODES) as [Code, number][])("keeps its code: %s is %d", (code, number) => {
    expect(encode(new RapError(code))[0]).toBe(number);
    expect(carry(code).code).toBe(code);
  });

  test("of a number that nobody assigned is UNKNOWN", () => {
    expect(decode(fromHex("c800")).code).toBe("UNKNOWN");
  });

  test("keeps message, reason, data, details and the hint when to retry", () => {
    const data = { needed: 5n, at: new Date(0), bytes: Uint8Array.of(1), none: undefined };
    const error = carry("FAILED_PRECONDITION", "low", {
      reason: "LOW",
      data,
      details: [{ hint: "wait" }, 2],
      retryAfterMs: 250,
    });
    expect(error).toMatchObject({ message: "low", reason: "LOW", details: [{ hint: "wait" }, 2], retryAfterMs: 250 });
    expect(error.data).toStrictEqual(data);
    expect(carry("UNAVAILABLE", "", { retryAfterMs: -1 }).retryAfterMs).toBe(-1);
    expect(RapError.is(error)).toBe(true);
  });

  test("keeps its trailers", () => {
    const error = carry("ABORTED", "no", { metadata: new Metadata({ a: ["1", "2"], "b-bin": Uint8Array.of(3) }) });
    expect([...error.metadata]).toEqual([
      ["a", "1"],
      ["a", "2"],
      ["b-bin", Uint8Array.of(3)],
    ]);
  });

  test("has no stack, as none leads to the call, and leaves those of other errors alone", () => {
    const limit = Error.stackTraceLimit;
    const error = carry("ABORTED", "no");
    expect(error.stack).toBe("RapError: no");
    expect(inspect(error)).toMatch(/^\[RapError: no\] \{/);
    expect(Error.stackTraceLimit).toBe(limit);
    expect(new RapError("ABORTED").stack).toMatch(/wire-error\.test\.ts/);
  });

  test("says whether the function may have run", () => {
    expect(carry("UNAVAILABLE")).toMatchObject({ maybeExecuted: true, neverProcessed: false });
    expect(carry("UNAVAILABLE", "no", { maybeExecuted: false })).toMatchObject({
      maybeExecuted: false,
      neverProcessed: true,
    });
  });

  test("is remote on the other side, wherever it came from", () => {
    expect(carry("INTERNAL", "x", { origin: "transport" }).origin).toBe("remote");
  });

  test("leaves its cause and its stack at home", () => {
    const secret = new RapError("INTERNAL", "no", { cause: new Error("the password is 1234") });
    const bytes = Buffer.from(encode(secret)).toString("latin1");
    expect(bytes).not.toMatch(/1234|wire-error|\.ts|at /);
    expect(decode(encode(secret)).cause).toBeUndefined();
  });
});

describe("an error that cannot cross as it is", () => {
  test.each<[string, RapErrorInit]>([
    ["data that cannot be sent", { data: () => 1 }],
    ["data that is too large", { data: "x".repeat(50_000) }],
    ["details that cannot be sent", { details: [new Map([[1, Symbol("s")]])] }],
    ["cyclic data", { data: cyclic() }],
  ])("loses %s, and keeps its words", (_, init) => {
    const error = carry("ABORTED", "the words", { reason: "WHY", retryAfterMs: 5, ...init });
    expect(error).toMatchObject({
      code: "ABORTED",
      message: "the words",
      reason: "WHY",
      retryAfterMs: 5,
      data: undefined,
      details: [],
    });
  });

  test("loses a reason that cannot be sent, too", () => {
    expect(carry("ABORTED", "the words", { reason: "\ud800" })).toMatchObject({
      message: "the words",
      reason: undefined,
    });
  });

  test("has the lone surrogates in its message replaced", () => {
    expect(carry("ABORTED", "a\ud800b").message).toBe("a\uFFFDb");
  });

  test("has its message cut when that is longer than a frame may be", () => {
    expect(carry("ABORTED", "x".repeat(40_000)).message).toHaveLength(40_000);
    expect(carry("ABORTED", "x".repeat(60_000)).message).toBe("x".repeat(4_096));
    const bytes = encode(new RapError("ABORTED", "\uFFFF".repeat(1 << 20), { reason: "x".repeat(60_000) }));
    expect(bytes.length).toBeLessThan(16 * 1024);
    expect(decode(bytes)).toMatchObject({ code: "ABORTED", reason: undefined });
  });

  test("has at least its code when the codec can send nothing at all", () => {
    const broken = {
      ...codec,
      encode() {
        throw new CodecError("broken");
      },
    };
    expect(toHex(encodeError(new RapError("ABORTED", "no"), broken))).toBe("0a00");
  });
});

describe("what a peer sends as an error", () => {
  test("may lack everything but its code", () => {
    expect(decode(fromHex("0100"))).toMatchObject({
      code: "CANCELLED",
      message: "CANCELLED",
      reason: undefined,
      details: [],
      retryAfterMs: undefined,
    });
    expect(decode(fromHex("010090"))).toMatchObject({ message: "CANCELLED" });
  });

  test("may have fields of a wrong type, which are left out, and more fields than are known", () => {
    const body = codec.encode([1, 2, "3", { d: 1 }, "details", "more"]);
    expect(decode(Uint8Array.of(2, 0, ...body))).toMatchObject({
      code: "UNKNOWN",
      message: "UNKNOWN",
      reason: undefined,
      retryAfterMs: undefined,
      data: { d: 1 },
      details: [],
    });
  });

  test.each<[string, string, string]>([
    ["one byte", "01", "RESET is cut short"],
    ["trailers that are cut", "010200", "a metadata block is cut short"],
    ["a body that is no array", "010001", "RESET's body is not an array"],
    ["an object as its body", "010080", "RESET's body is not an array"],
  ])("is refused when it is %s", (_, hex, message) => {
    expect(() => decode(fromHex(hex))).toThrow(PayloadError);
    expect(() => decode(fromHex(hex))).toThrow(message);
  });

  test("is refused when its body cannot be decoded or its trailers are malformed", () => {
    expect(() => decode(fromHex("0100c1"))).toThrow(CodecError);
    expect(() => decode(fromHex("0102000101"))).toThrow(expect.objectContaining({ code: "ERR_RAP_METADATA" }));
  });
});

function cyclic(): object {
  const object: Record<string, unknown> = {};
  object.self = object;
  return object;
}
