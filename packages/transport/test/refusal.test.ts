import { expect, test } from "@jest/globals";
import { decodeError, msgpack } from "@rap/protocol";
import { REFUSED, refusal } from "../src";

test("a refusal says what an error would, and makes none, whose stack would cost more than a call", () => {
  const codec = msgpack();
  const refused = refusal("RESOURCE_EXHAUSTED", "too many", REFUSED, 100);
  expect(refused.error).not.toBeInstanceOf(Error);
  const bytes = refused.encoded(codec);
  expect(decodeError(bytes, 0, bytes.length, codec)).toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    message: "too many",
    reason: REFUSED,
    retryAfterMs: 100,
    maybeExecuted: false,
    origin: "remote",
  });
});
