import { describe, expect, test } from "@jest/globals";
import { RapError } from "@rap/protocol";
import { createTestPair } from "@rap/testing";
import { safe } from "../src";
import { type Functions, newServer } from "./functions";

describe("safe", () => {
  test("gives the outcome of a call as a value", async () => {
    await using pair = await createTestPair(newServer());
    const { add, fail } = pair.client.service<Functions>("default", { count: "stream" });
    expect(await safe(add(1, 2))).toEqual({ ok: true, value: 3 });
    const failed = await safe(fail());
    expect(failed).toEqual({ ok: false, error: expect.objectContaining({ code: "NOT_FOUND" }) });
    if (!failed.ok) expect(RapError.is(failed.error, "NOT_FOUND")).toBe(true);
  });

  test("lets every other error through", async () => {
    const bug = new TypeError("a bug");
    await expect(safe(Promise.reject(bug))).rejects.toBe(bug);
  });
});
