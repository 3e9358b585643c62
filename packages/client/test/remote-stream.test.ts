import { expect, test } from "@jest/globals";
import { context, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

test("a stream's headers are known with its first item, also where there are none", async () => {
  const server = new Server().register({
    async *plain() {
      for (let n = 0; ; n++) yield n;
    },
    async *versioned() {
      context().responseHeaders.set("x-version", "7");
      for (let n = 0; ; n++) yield n;
    },
  });
  await using pair = await createTestPair(server);
  const { client } = pair;
  for (const [name, headers] of [
    ["plain", []],
    ["versioned", [["x-version", "7"]]],
  ] as const) {
    const stream = client.registerGen<() => AsyncGenerator<number>>(name)();
    expect([...(await stream.headers)]).toEqual(headers);
    await stream.return?.();
    await expect(stream.trailers).rejects.toMatchObject({ code: "CANCELLED" });
  }
});
