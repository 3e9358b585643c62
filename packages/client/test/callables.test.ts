import { inspect } from "node:util";
import { describe, expect, test } from "@jest/globals";
import type { Channel } from "@rap/protocol";
import { channel, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import { Client } from "../src";
import { type Functions, newServer } from "./functions";

describe("names", () => {
  test("must be there, and may not be what no server could have", async () => {
    const client = new Client();
    const refused = expect.objectContaining({ name: "TypeError", code: "ERR_RAP_REGISTER" });
    expect(() => client.register("")).toThrow(refused);
    expect(() =>
      client.register(
        (
          () => () =>
            1
        )(),
      ),
    ).toThrow(refused);
    expect(() => client.registerGen("" as never)).toThrow(refused);
    expect(() => client.register("f", { group: "a/b" })).toThrow(refused);
    expect(() => client.register("x".repeat(100_000))).toThrow(refused);
    expect(() => client.service<Functions>("x".repeat(600), { count: "stream" }).add).toThrow(refused);
    await expect(client.invokeByName("")).rejects.toEqual(refused);
    await expect(client.invokeByName("x".repeat(100_000))).rejects.toEqual(refused);
  });

  test("are read from the function itself, and so is whether it streams", async () => {
    function add(a: number, b: number): number {
      return a + b;
    }
    async function* count(to: number): AsyncGenerator<number> {
      yield to;
    }
    await using pair = await createTestPair(newServer());
    const remote = pair.client.register(add);
    expect([remote.rpcName, pair.client.register(add, { name: "sum", group: "g" }).rpcName]).toEqual([
      "default/add",
      "g/sum",
    ]);
    expect(await remote(2, 3)).toBe(5);
    const items: number[] = [];
    for await (const item of pair.client.register(count)(3)) items.push(item);
    expect(items).toEqual([1, 2, 3]);
    expect(await pair.client.invoke(add, [1, 2])).toBe(3);
    expect(await pair.client.invoke(remote, [1, 2])).toBe(3);
  });

  test("of a channel cannot be invoked, but called or opened", () => {
    const client = new Client();
    const channel = client.registerChannel<(c: Channel<1, 2>) => Promise<void>>("c");
    expect(() => client.invoke(channel as never, [])).toThrow(
      expect.objectContaining({ code: "ERR_RAP_CALL", message: "default/c is a channel: call it, or open() it" }),
    );
  });
});

describe("a service", () => {
  test("calls nothing when it is awaited, printed, compared, cloned or made a string", async () => {
    await using pair = await createTestPair(newServer());
    const { client } = pair;
    const service = client.service<Functions>("default", { count: "stream" });
    const before = client.stats();
    expect(await service).toBe(service);
    expect(await Promise.all([service])).toEqual([service]);
    expect(JSON.stringify({ service })).toBe('{"service":{}}');
    // Node 26 says that it is a proxy.
    expect(inspect(service).replace(/^Proxy\((.*)\)$/, "$1")).toBe("[Object: null prototype] {}");
    expect(inspect(service, { showProxy: true })).toContain("Proxy");
    expect(Object.keys(service)).toEqual([]);
    expect({ ...service }).toEqual({});
    expect(() => String(service)).toThrow(TypeError);
    expect(() => `${service as never}`).toThrow(TypeError);
    expect(() => Number(service)).toThrow(TypeError);
    expect(service).toEqual(service);
    expect([Symbol.iterator in service, Symbol.asyncIterator in service]).toEqual([false, false]);
    for (const name of ["then", "catch", "finally", "toJSON", "constructor", "inspect", "toString", "valueOf"]) {
      expect([name, (service as Record<string, unknown>)[name]]).toEqual([name, undefined]);
    }
    for (const symbol of [
      Symbol.toPrimitive,
      Symbol.toStringTag,
      Symbol.asyncDispose,
      Symbol.for("nodejs.util.inspect.custom"),
    ]) {
      expect((service as Record<symbol, unknown>)[symbol]).toBeUndefined();
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.stats()).toEqual(before);
    expect(await client.invokeByName("notes")).toEqual([]);
  });

  test("has the group's functions, each the same at each look, and streams where it is told", async () => {
    await using pair = await createTestPair(newServer());
    const service = pair.client.service<Functions>("default", { count: "stream" });
    expect(service.add).toBe(service.add);
    expect([service.add.rpcName, await service.add(1, 2)]).toEqual(["default/add", 3]);
    const items: number[] = [];
    for await (const item of service.count(2)) items.push(item);
    expect(items).toEqual([1, 2]);
  });

  test("has no properties that can be set, and none that are inherited", () => {
    const service = new Client().service<Functions>("g", { count: "stream" }) as Record<string, unknown>;
    expect(Object.getPrototypeOf(service)).toBe(null);
    expect(typeof service.hasOwnProperty).toBe("function");
  });

  test("uses its own options under those of a call", async () => {
    await using pair = await createTestPair(newServer());
    const service = pair.client.service<Functions>(
      "default",
      { count: "stream" },
      { timeout: 5_000, metadata: { a: "1", b: "2" } },
    );
    const { metadata, left } = await service.seen.with({ metadata: { b: "3" } })();
    expect(new Map(metadata)).toEqual(
      new Map([
        ["a", "1"],
        ["b", "3"],
      ]),
    );
    expect(left).toBeGreaterThan(1_000);
    expect(left).toBeLessThanOrEqual(5_000);
  });
});

test("a function that is marked as a channel is registered as one", async () => {
  const echo = channel(async function echo(messages: Channel<string, string>) {
    for await (const body of messages.iterBody()) await messages.write(body);
  });
  await using pair = await createTestPair(new Server().register({ echo }));
  await using opened = await pair.client.register(echo).open();
  await opened.write("here");
  expect(await opened.readBody()).toBe("here");
});
