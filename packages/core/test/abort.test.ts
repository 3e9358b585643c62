import { expect, test } from "@jest/globals";
import { RapError } from "@rap/protocol";
import { abortError } from "../src";

test("a RapError that a signal fired with keeps its code, its words and where it arose", () => {
  for (const origin of ["local", "transport", "remote"] as const) {
    const reason = new RapError("UNAVAILABLE", "10.0.0.7:9000 is gone", { origin });
    expect(abortError(AbortSignal.abort(reason), false)).toMatchObject({
      code: "UNAVAILABLE",
      message: "10.0.0.7:9000 is gone",
      cause: reason,
      maybeExecuted: false,
      origin,
    });
  }
});

test.each([
  [new DOMException("late", "TimeoutError"), "DEADLINE_EXCEEDED"],
  [new DOMException("enough", "AbortError"), "CANCELLED"],
  [new Error("the page was left"), "CANCELLED"],
])("%s makes %s", (reason, code) => {
  expect(abortError(AbortSignal.abort(reason))).toMatchObject({
    code,
    message: `the call was aborted: ${reason.message}`,
    origin: "local",
    maybeExecuted: true,
  });
});
