import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "@rap/client";
import { Server } from "@rap/server";
import { createClient } from "redis";
import { REDIS_TIMEOUT, type RedisServer, startRedis } from "../../integration/test/redis";
import { until, visit } from "../../integration/test/visit";
import { IpFilterMiddleware, RedisIpListStore } from "../src";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function serve(filter: IpFilterMiddleware): Server {
  const server = new Server().loadMiddleware([filter]);
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

async function come(server: Server, address?: string): Promise<Client> {
  const client = await visit(server, address);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client;
}

describe("lists in Redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  }, REDIS_TIMEOUT);
  afterAll(() => redis?.stop());

  async function connected() {
    const client = await createClient({ url: redis.url }).connect();
    stops.push(() => client.destroy());
    return client;
  }

  async function store(prefix?: string) {
    return new RedisIpListStore(await connected(), prefix === undefined ? {} : { prefix });
  }

  test("are the same for several servers, soon", async () => {
    await (await connected()).flushAll();
    const [one, two] = [
      serve(new IpFilterMiddleware({ store: await store(), pollInterval: 20 })),
      serve(new IpFilterMiddleware({ store: await store(), pollInterval: 20 })),
    ];
    await come(two, "192.0.2.1");
    const admin = await come(one);
    const ask = (name: string, entry: string) => admin.invokeByName(name, [entry], { group: "IpFilterMiddleware" });
    await ask("addBlockIp", "192.0.2.0/24");
    await until(() => two.stats().connections === 0);
    await expect(come(two, "192.0.2.1")).rejects.toThrow("not allowed");
    await ask("addAllowIp", "192.0.2.1");
    await until(() =>
      come(two, "192.0.2.1").then(
        () => true,
        () => false,
      ),
    );
  });

  test("say what changed, and are loaded only when they are new", async () => {
    await (await connected()).flushAll();
    const lists = await store();
    expect(await lists.load(undefined)).toEqual({ version: "0", allow: [], block: [] });
    expect(await lists.load("0")).toBeUndefined();
    expect([await lists.add("block", "10.0.0.1"), await lists.add("block", "10.0.0.1")]).toEqual([true, false]);
    expect(await lists.load("0")).toEqual({ version: "1", allow: [], block: ["10.0.0.1"] });
    expect(await lists.add("allow", "10.0.0.1")).toBe(true);
    expect(await lists.load("1")).toEqual({ version: "2", allow: ["10.0.0.1"], block: [] });
    expect([await lists.remove("block", "10.0.0.1"), await lists.remove("allow", "10.0.0.1")]).toEqual([false, true]);
    expect(await lists.load("2")).toMatchObject({ version: "3", allow: [] });
    expect(await (await store("other")).load(undefined)).toMatchObject({ version: "0" });
    expect((await (await connected()).keys("*")).sort()).toEqual(["{rap:ip-filter}:version"]);
  });

  test("that Redis has lost are an error, not empty", async () => {
    const lists = await store("lost");
    await lists.add("allow", "10.0.0.1");
    const { version } = (await lists.load(undefined))!;
    await (await connected()).flushAll();
    await expect(lists.load(version)).rejects.toThrow("lost");
  });

  test("are an error within the timeout when Redis answers nonsense, throws or is silent", async () => {
    const answers: [() => Promise<unknown>, RegExp][] = [
      [async () => "OK", /something else/],
      [async () => ["1", "a", []], /something else/],
      [
        () => {
          throw new Error("not connected");
        },
        /not connected/,
      ],
      [() => new Promise(() => {}), /within 20 ms/],
    ];
    for (const [answer, message] of answers) {
      const lists = new RedisIpListStore({ sendCommand: answer }, { timeout: 20 });
      await expect(lists.load(undefined)).rejects.toThrow(message);
    }
  });
});
