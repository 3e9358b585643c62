import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createClient } from "redis";
import { REDIS_TIMEOUT, type RedisServer, startRedis } from "../../integration/test/redis";
import { RedisConnStore, type RedisConnStoreOptions } from "../src";
import { connStoreCompliance } from "../src/compliance";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
}, REDIS_TIMEOUT);
afterAll(() => redis?.stop());

type RedisConnection = Awaited<ReturnType<typeof connected>>;

async function connected(url = redis.url) {
  return createClient({ url, socket: { reconnectStrategy: 20 } })
    .on("error", () => {})
    .connect();
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

connStoreCompliance("in Redis", async () => {
  const clients = [await connected(), await connected()] as const;
  await clients[0].flushAll();
  return {
    store: new RedisConnStore(clients[0]),
    other: new RedisConnStore(clients[1]),
    pass: async (ms) => {
      await sleep(ms + 5);
    },
    dispose: async () => {
      for (const client of clients) client.destroy();
    },
  };
});

describe("a store in Redis", () => {
  const open: RedisConnection[] = [];
  afterEach(() => {
    for (const client of open.splice(0)) client.destroy();
  });

  /** What one process has, on an empty Redis if it is the first. */
  async function process(options: RedisConnStoreOptions = {}, url = redis.url) {
    const client = await connected(url);
    if (open.push(client) === 1) await client.flushAll();
    const lines: string[] = [];
    const line = (_details: object, message = "") => void lines.push(message);
    const store = new RedisConnStore(client, { logger: { ...SILENT, warn: line, info: line }, ...options });
    return { client, store, lines };
  }

  test("the counts of a process that dies lapse with its lease, those of the living do not", async () => {
    const living = await process({ lease: 600 });
    const dying = await process({ lease: 300 });
    await living.store.take("a", 9, 0);
    for (let i = 0; i < 3; i++) await dying.store.take("a", 9, 0);
    expect(await living.store.usage("a")).toMatchObject({ count: 4 });
    // Like a process that was killed: nothing is given back, nothing renewed.
    dying.client.destroy();
    await sleep(700);
    expect(await living.store.usage("a")).toMatchObject({ count: 1 });
    expect(await living.client.keys("*")).toHaveLength(2);
  });

  test("a key's name and what is stored hold no more than they must", async () => {
    const { store, client } = await process({ prefix: "mine" });
    await store.take("ip:10.0.0.1", 9, 0);
    await store.block("all", 1_000);
    const keys = (await client.keys("*")).sort();
    expect(keys).toEqual([
      "{mine}:blocked:all",
      expect.stringMatching(/^\{mine\}:server:[0-9a-f]{32}$/),
      "{mine}:servers",
    ]);
    // Each of them lapses, should all processes die.
    for (const key of keys) expect(await client.pTTL(key)).toBeGreaterThan(0);
    await store.give("ip:10.0.0.1");
    expect(await client.exists(keys[1]!)).toBe(0);
  });

  test("two prefixes in one Redis are apart", async () => {
    const [one, two] = [await process({ prefix: "one" }), await process({ prefix: "two" })];
    await one.store.take("a", 1, 60_000);
    await one.store.take("a", 1, 60_000);
    expect(await two.store.take("a", 1, 0)).toMatchObject({ taken: true, count: 1 });
  });

  test("what Redis has lost is written anew with the next renewal", async () => {
    const { store, client } = await process({ lease: 450 });
    const other = await process({ lease: 450 });
    for (let i = 0; i < 3; i++) await store.take("a", 9, 0);
    await client.flushAll();
    expect(await other.store.usage("a")).toMatchObject({ count: 0 });
    await until(async () => (await other.store.usage("a")).count === 3);
    await store.give("a");
    // The store itself may not know yet that all is written, and then writes it again.
    await until(async () => (await other.store.usage("a")).count === 2);
  });

  test("no renewal goes on when the last place was given back", async () => {
    const { store, client } = await process({ lease: 60 });
    await store.take("a", 9, 0);
    await store.give("a");
    await sleep(80);
    const before = await commands(client);
    await sleep(150);
    // The INFO that asks is one.
    expect((await commands(client)) - before).toBe(1);
  });

  test("a Redis that answers nonsense, throws or is silent is an error within the timeout", async () => {
    const answers: [() => Promise<unknown>, RegExp][] = [
      [async () => "OK", /answered/],
      [async () => [1], /answered/],
      [async () => ["a", "b", "c"], /answered/],
      [
        () => {
          throw new Error("not connected");
        },
        /not connected/,
      ],
      [() => new Promise(() => {}), /within 20 ms/],
    ];
    for (const [answer, message] of answers) {
      const store = new RedisConnStore({ sendCommand: answer }, { timeout: 20, logger: SILENT });
      await expect(store.take("a", 1, 0)).rejects.toThrow(message);
      await expect(store.usage("a")).rejects.toThrow(message);
      await store.give("a");
    }
  });
});

describe("while Redis is away", () => {
  const open: RedisConnection[] = [];
  const servers: RedisServer[] = [];
  afterEach(async () => {
    for (const client of open.splice(0)) client.destroy();
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  /** A store whose Redis can be stopped and started again at the same port. */
  async function losable(options: RedisConnStoreOptions) {
    const { port, url } = servers[servers.push(await startRedis()) - 1]!;
    const client = await connected(url);
    open.push(client);
    const lines: string[] = [];
    const line = (_details: object, message = "") => void lines.push(message);
    const logger = { ...SILENT, warn: line, info: line };
    return {
      store: new RedisConnStore(client, { timeout: 100, lease: 300, logger, ...options }),
      lines,
      observer: async () => {
        const observing = await connected(url);
        open.push(observing);
        return new RedisConnStore(observing, { logger: SILENT });
      },
      lose: () => servers.pop()!.stop(),
      find: async () => void servers.push(await startRedis(port)),
    };
  }

  test("nobody is let in by default, what leaves is remembered, and all is right when it is back", async () => {
    const { store, lines, observer, lose, find } = await losable({});
    for (let i = 0; i < 3; i++) await store.take("a", 9, 0);
    await lose();
    await expect(store.take("a", 9, 0)).rejects.toThrow();
    await expect(store.take("a", 9, 0)).rejects.toThrow();
    await store.give("a");
    await find();
    const other = await observer();
    await until(async () => (await other.usage("a")).count === 2);
    expect(await store.take("a", 3, 0)).toEqual({ taken: true, count: 3, blockedFor: 0 });
    expect(lines).toEqual([expect.stringContaining("no Redis"), expect.stringContaining("again")]);
  });

  test("counting alone, each process holds the limit for its own, and counts together again afterwards", async () => {
    const { store, observer, lose, find } = await losable({ whenUnreachable: "countAlone" });
    await store.take("a", 3, 0);
    await lose();
    expect(await store.take("a", 3, 0)).toEqual({ taken: true, count: 2, blockedFor: 0 });
    expect(await store.take("a", 3, 0)).toMatchObject({ taken: true, count: 3 });
    expect(await store.take("a", 3, 0)).toEqual({ taken: false, count: 3, blockedFor: 0 });
    await store.give("a");
    await find();
    const other = await observer();
    await until(async () => (await other.usage("a")).count === 2);
    await store.give("a");
    await store.give("a");
    // The store itself may not know yet that it is found.
    await until(async () => (await other.usage("a")).count === 0);
  });

  test("churn across an outage leaves nothing behind", async () => {
    const { store, observer, lose, find } = await losable({ whenUnreachable: "countAlone" });
    let held = 0;
    let churning = true;
    const visits = Array.from({ length: 8 }, async (_, index) => {
      for (let round = 0; churning; round++) {
        const { taken } = await store.take(`key ${index % 3}`, 100, 0);
        if (taken) held++;
        await sleep((index * 7 + round * 5) % 13);
        if (taken) {
          held--;
          await store.give(`key ${index % 3}`);
        }
      }
    });
    await sleep(100);
    await lose();
    await sleep(300);
    await find();
    const other = await observer();
    try {
      await until(async () => (await other.usage("key 0")).count > 0);
    } finally {
      churning = false;
    }
    await Promise.all(visits);
    expect(held).toBe(0);
    for (const key of ["key 0", "key 1", "key 2"]) await until(async () => (await other.usage(key)).count === 0);
  });
});

async function commands(client: RedisConnection): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(await client.info("stats"))?.[1]);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await sleep(20);
  }
}
