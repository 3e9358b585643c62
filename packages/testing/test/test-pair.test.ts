import { describe, expect, test } from "@jest/globals";
import { context, Server } from "@rap/server";
import { createTestPair, type TestPairOptions } from "../src";

function newServer(): Server {
  return new Server().register({
    echo: (value: unknown) => value,
    async *count(to: number) {
      for (let n = 1; n <= to; n++) yield n;
    },
    peer: () => ({ address: context().conn.remoteAddress, local: context().conn.local }),
  });
}

const values = [
  1,
  "text",
  { a: [new Date(5), 2n ** 60n, undefined] },
  new Uint8Array(100_000).fill(7),
  "é".repeat(50_000),
];

describe("a test pair", () => {
  test.each<[string, TestPairOptions]>([
    ["as it is", {}],
    ["over a link of single bytes", { chunk: 1 }],
    ["over a link of odd pieces", { chunk: 777 }],
    ["over a slow link", { latency: 2 }],
    ["over a link that soon is full", { highWaterMark: 1 }],
    ["over a link that is all of it", { latency: 1, chunk: 100, highWaterMark: 50 }],
  ])("gives the same results %s", async (_, options) => {
    await using pair = await createTestPair(newServer(), options);
    for (const value of options.chunk === 1 ? values.slice(0, 3) : values) {
      expect(await pair.client.invokeByName("echo", [value])).toStrictEqual(value);
    }
    const items: number[] = [];
    for await (const item of pair.client.registerGen<(to: number) => AsyncGenerator<number>>("count")(20)) {
      items.push(item);
    }
    expect(items).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    const all = await Promise.all(Array.from({ length: 50 }, (_, n) => pair.client.invokeByName("echo", [n])));
    expect(all).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  test.each<[unknown, object, string]>([
    [undefined, {}, "the first argument of createTestPair() is a server with the methods listen and shutdown"],
    [new Server(), { latncy: 5 }, 'createTestPair() has no option "latncy": did you mean "latency"?'],
    [new Server(), { cut: true }, 'createTestPair() has no option "cut"'],
    [new Server(), { chunk: 0 }, "chunk of createTestPair() is a positive number of bytes, not 0"],
    [new Server(), { client: { timeot: 1 } }, 'Client has no option "timeot"'],
    [new Server(), { client: null }, "client of createTestPair() is an object, not null"],
  ])("is not made of %p and %j", async (server, options, message) => {
    await expect(createTestPair(server as Server, options)).rejects.toThrow(message);
  });

  test("takes the latency for what goes there and for what comes back", async () => {
    await using pair = await createTestPair(newServer(), { latency: 30 });
    const order: string[] = [];
    const call = pair.client.invokeByName("echo", [1]).then(() => order.push("answered"));
    await new Promise((resolve) => setTimeout(resolve, 40));
    order.push("after one way");
    await call;
    expect(order).toEqual(["after one way", "answered"]);
  });

  test("has a peer on this machine, unless it is to play another", async () => {
    await using near = await createTestPair(newServer());
    expect(await near.client.invokeByName("peer")).toEqual({ address: "memory", local: true });
    await using far = await createTestPair(newServer(), { peer: { address: "10.9.9.9", local: false } });
    expect(await far.client.invokeByName("peer")).toEqual({ address: "10.9.9.9", local: false });
  });

  test("fails the calls on their way when it is cut, and comes back by itself", async () => {
    const server = newServer().register({ forever: () => new Promise<never>(() => {}) });
    await using pair = await createTestPair(server, { client: { reconnect: { initial: 1, max: 1 } } });
    const call = pair.client.invokeByName("forever");
    await pair.client.invokeByName("echo", [0]);
    pair.cut();
    await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE", maybeExecuted: true });
    expect(await pair.client.invokeByName("echo", [1])).toBe(1);
    expect(pair.client.stats().connections).toBe(1);
  });

  test("is cut in the middle of a stream with an error, never a clean end", async () => {
    await using pair = await createTestPair(
      new Server().register({
        async *endless() {
          for (let n = 0; ; n++) yield n;
        },
      }),
      { client: { reconnect: { initial: 1, max: 1 } } },
    );
    const stream = pair.client.registerGen<() => AsyncGenerator<number>>("endless")();
    const read = async () => {
      for await (const item of stream) if (item === 100) pair.cut();
    };
    await expect(read()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("ends both sides when it is disposed of", async () => {
    const server = newServer();
    const pair = await createTestPair(server);
    expect([pair.server === server, server.state]).toEqual([true, "listening"]);
    await pair[Symbol.asyncDispose]();
    expect([server.state, pair.client.stats().connections]).toEqual(["stopped", 0]);
    await expect(pair.client.invokeByName("echo")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("is a world of its own: two have the same address and do not meet", async () => {
    await using one = await createTestPair(new Server().register({ name: () => "one" }));
    await using other = await createTestPair(new Server().register({ name: () => "other" }));
    expect([await one.client.invokeByName("name"), await other.client.invokeByName("name")]).toEqual(["one", "other"]);
  });

  test("gives its client the options that it is told, and fails as the server does when that cannot start", async () => {
    await using pair = await createTestPair(newServer(), { client: { metadata: { tenant: "t1" } } });
    const again = newServer();
    await again.shutdown();
    await expect(createTestPair(again)).rejects.toThrow();
    expect(await pair.client.invokeByName("echo", [1])).toBe(1);
  });

  test("leaves no server behind whose client cannot start", async () => {
    const server = newServer();
    const client = { limits: { connectTimeout: 1 } };
    await expect(createTestPair(server, { latency: 60_000, client })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(server.state).toBe("stopped");
  });
});
