import { expect, test } from "@jest/globals";
import { createTestPair } from "@rap/testing";
import { context, Server } from "../src";

test("a function's context has nothing that is not for it to use", async () => {
  function shown(): string[] {
    context().responseHeaders.set("h", "1");
    context().responseTrailers.set("t", "1");
    return Object.keys(context());
  }
  await using pair = await createTestPair(new Server().register({ shown }));
  expect(await pair.client.invokeByName("shown")).toEqual([]);
});
