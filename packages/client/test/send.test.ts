import { describe, expect, test } from "@jest/globals";
import { RapError } from "@rap/protocol";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

async function count(items: AsyncIterable<number>): Promise<number> {
  let n = 0;
  for await (const _ of items) n++;
  return n;
}

describe("a call whose streamed argument throws", () => {
  async function* failing(error: Error): AsyncGenerator<number> {
    yield 1;
    throw error;
  }

  test("fails with that error as its cause, and says that the function may have run", async () => {
    await using pair = await createTestPair(new Server().register({ count }));
    const error = new Error("the disk is gone");
    await expect(pair.client.register<typeof count>("count")(failing(error))).rejects.toMatchObject({
      code: "INTERNAL",
      message: "the disk is gone",
      cause: error,
      maybeExecuted: true,
    });
  });

  test("fails with the code of a RapError, but does not believe it that nothing ran", async () => {
    await using pair = await createTestPair(new Server().register({ count }));
    const error = new RapError("NOT_FOUND", "no such row", { reason: "ROW", maybeExecuted: false });
    await expect(pair.client.register<typeof count>("count")(failing(error))).rejects.toMatchObject({
      code: "NOT_FOUND",
      reason: "ROW",
      cause: error,
      maybeExecuted: true,
    });
  });
});

test("a streamed argument that ends its call when it is asked for its iterator is left, and asked for nothing", async () => {
  await using pair = await createTestPair(new Server().register({ count }));
  const caller = new AbortController();
  const asked: string[] = [];
  const source: AsyncIterable<number> = {
    [Symbol.asyncIterator]() {
      caller.abort();
      return {
        async next() {
          asked.push("next");
          return { done: asked.length > 100, value: 1 };
        },
        async return() {
          asked.push("return");
          return { done: true, value: undefined };
        },
      };
    },
  };
  const remote = pair.client.register<typeof count>("count").with({ signal: caller.signal });
  await expect(remote(source)).rejects.toMatchObject({ code: "CANCELLED" });
  expect(asked).toEqual(["return"]);
});
