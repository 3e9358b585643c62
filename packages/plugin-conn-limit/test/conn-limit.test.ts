import { afterEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { CLOCK } from "@rap/core";
import { middlewareCompliance } from "@rap/core/compliance";
import { createContainer } from "@rap/core/container";
import type { Clock } from "@rap/protocol";
import { Server } from "@rap/server";
import fc from "fast-check";
import { until, visit } from "../../integration/test/visit";
import {
  type ConnLimitInfo,
  ConnLimitMiddleware,
  type ConnStore,
  IpMaxConnMiddleware,
  MemoryConnStore,
  RedisConnStore,
} from "../src";

middlewareCompliance("ConnLimitMiddleware", () => new ConnLimitMiddleware());
middlewareCompliance("ConnLimitMiddleware of one at a time, without a block", () => {
  return new ConnLimitMiddleware({ maxConn: 9, blockTime: 0 });
});

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function serve(...limits: ConnLimitMiddleware[]): Server {
  const server = new Server({ logger: { debug() {}, info() {}, warn() {}, error() {} } }).loadMiddleware(limits);
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

async function come(server: Server): Promise<Client> {
  const client = await visit(server);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client;
}

/** Calls a private function. */
const ask = (client: Client, name: string, args: unknown[] = [], group = "ConnLimitMiddleware") =>
  client.invokeByName(name, args, { group });

describe("a limit of connections", () => {
  test("refuses what is over it with an error that says so, over TCP as in memory", async () => {
    const server = serve(new ConnLimitMiddleware({ maxConn: 1, blockTime: 0 }));
    const { port } = await server.listen({ port: 0 });
    await come(server);
    const client = new Client().addConn("127.0.0.1", port);
    stops.push(() => client.stop());
    await expect(client.start()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      reason: "REFUSED",
      message: expect.stringContaining("the server is at its limit of 1 connections"),
    });
  });

  test("has room again as soon as a connection is over", async () => {
    const server = serve(new ConnLimitMiddleware({ maxConn: 2, blockTime: 0 }));
    const first = await come(server);
    await come(server);
    await expect(come(server)).rejects.toThrow("limit of 2");
    await first.stop();
    await until(() => server.stats().connections === 1);
    await come(server);
  });

  test("refuses all new connections for a while after one was over it, by the server's clock", async () => {
    let now = 0;
    const clock: Clock = { now: () => now, setTimeout: () => undefined, clearTimeout() {} };
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    const server = new Server({ container }).loadMiddleware([
      new ConnLimitMiddleware({ maxConn: 1, blockTime: 30_000 }),
    ]);
    stops.push(() => server.shutdown({ graceMs: 0 }));
    const first = await come(server);
    now = 1_000;
    await expect(come(server)).rejects.toThrow("try again in 30 s");
    await first.stop({ graceMs: 0 });
    await until(() => server.stats().connections === 0);
    now = 30_500;
    await expect(come(server)).rejects.toThrow("try again in 1 s");
    now = 31_000;
    await come(server);
  });

  test("is read and changed at run time by private functions", async () => {
    const server = serve(new ConnLimitMiddleware({ maxConn: 2, blockTime: 0 }));
    const admin = await come(server);
    const info = { maxConn: 2, blockTime: 0, connections: 1, blockedFor: 0 };
    expect(await ask(admin, "getConnLimitInfo")).toEqual(info);
    await ask(admin, "modifyMaxConn", [1]);
    await ask(admin, "modifyBlockTime", [60_000]);
    await expect(come(server)).rejects.toThrow("limit of 1 connections, try again in 60 s");
    await ask(admin, "modifyMaxConn", [5]);
    await expect(come(server)).rejects.toThrow("try again in");
    await ask(admin, "modifyBlockedFor", [0]);
    await come(server);
    await ask(admin, "modifyBlockedFor", [60_000]);
    await expect(come(server)).rejects.toThrow("try again in 60 s");
    const now = (await ask(admin, "getConnLimitInfo")) as ConnLimitInfo;
    expect(now).toEqual({ maxConn: 5, blockTime: 60_000, connections: 2, blockedFor: expect.any(Number) });
    for (const [name, bad] of [
      ["modifyMaxConn", 0],
      ["modifyMaxConn", "5"],
      ["modifyMaxConn", 1.5],
      ["modifyBlockTime", -1],
      ["modifyBlockedFor", null],
    ] as const) {
      await expect(ask(admin, name, [bad])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
  });

  test("is not administered from elsewhere: the functions are as good as not there", async () => {
    const server = serve(new ConnLimitMiddleware());
    const stranger = await visit(server, "192.0.2.1");
    stops.push(() => stranger.stop());
    await expect(ask(stranger, "getConnLimitInfo")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("two can be loaded together, and each has functions of its own (W11)", async () => {
    const server = serve(
      new ConnLimitMiddleware({ maxConn: 3, blockTime: 0 }),
      new ConnLimitMiddleware({ maxConn: 2, blockTime: 0 }),
    );
    const admin = await come(server);
    const second = await come(server);
    await expect(come(server)).rejects.toThrow("limit of 2");
    expect(await ask(admin, "getConnLimitInfo")).toMatchObject({ maxConn: 3, connections: 2 });
    expect(await ask(admin, "getConnLimitInfo", [], "ConnLimitMiddleware2")).toMatchObject({
      maxConn: 2,
      connections: 2,
    });
    await second.stop();
    await until(() => server.stats().connections === 1);
    await come(server);
  });

  test("goes on when a server starts again after it could not listen", async () => {
    const taken = new Server();
    stops.push(() => taken.shutdown());
    const { port } = await taken.listen({ port: 0 });
    const server = serve(new ConnLimitMiddleware({ maxConn: 1, blockTime: 0 }));
    await expect(server.listen({ port })).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(await ask(await come(server), "getConnLimitInfo")).toMatchObject({ connections: 1 });
  });

  test("refuses options that are no limits", () => {
    for (const options of [{ maxConn: 0 }, { maxConn: Number.NaN }, { blockTime: -1 }, { maxConn: 2.5 }]) {
      expect(() => new ConnLimitMiddleware(options)).toThrow(
        expect.objectContaining({ name: "RangeError", code: "ERR_RAP_LIMIT" }),
      );
    }
    expect(() => new ConnLimitMiddleware({ maxConn: "5" as never })).toThrow("maxConn");
  });

  test("counts to nothing after any churn on a real server", async () => {
    const store = new MemoryConnStore();
    const server = serve(new ConnLimitMiddleware({ maxConn: 4, blockTime: 0, store }));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { maxLength: 20 }), async (steps) => {
        const clients: Client[] = [];
        for (const [enter, which] of steps) {
          if (enter)
            await visit(server).then(
              (client) => clients.push(client),
              () => {},
            );
          else await clients.splice(which % Math.max(1, clients.length), 1)[0]?.stop({ graceMs: 0 });
          expect((await store.usage("all")).count).toBeLessThanOrEqual(4);
        }
        await Promise.all(clients.map((client) => client.stop({ graceMs: 0 })));
        await until(async () => (await store.usage("all")).count === 0);
        expect(store.size).toBe(0);
      }),
      { numRuns: 30 },
    );
  });
});

describe("a store that fails", () => {
  const failing: ConnStore = {
    take: () => Promise.reject(new Error("no Redis")),
    give: () => Promise.reject(new Error("no Redis")),
    usage: () => Promise.reject(new Error("no Redis")),
    block: () => Promise.reject(new Error("no Redis")),
  };

  test("lets nobody in, and the log and the client say why", async () => {
    const errors: object[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (details: object) => void errors.push(details) };
    const server = new Server({ logger }).loadMiddleware([new ConnLimitMiddleware({ store: failing })]);
    stops.push(() => server.shutdown());
    await expect(come(server)).rejects.toThrow("the server cannot count its connections at the moment");
    expect(errors).toEqual([expect.objectContaining({ err: expect.objectContaining({ message: "no Redis" }) })]);
  });

  test("is UNAVAILABLE for who asks, and a place that it does not take back ends no connection badly", async () => {
    const store: ConnStore = { ...failing, take: async () => ({ taken: true, count: 1, blockedFor: 0 }) };
    const server = serve(new ConnLimitMiddleware({ store }));
    const admin = await come(server);
    await expect(ask(admin, "getConnLimitInfo")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await admin.stop();
    await server.shutdown();
  });

  test("the server has stopped only when all places were given back", async () => {
    const given: string[] = [];
    const store: ConnStore = {
      ...failing,
      take: async () => ({ taken: true, count: 1, blockedFor: 0 }),
      give: async (key) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        given.push(key);
      },
    };
    const server = serve(new ConnLimitMiddleware({ store, key: "mine" }));
    await come(server);
    await server.shutdown({ graceMs: 0 });
    expect(given).toEqual(["mine"]);
  });
});

test("an option that does not exist, or a value that it cannot have, is refused where it is given", () => {
  const refused = (message: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_OPTION", message: expect.stringContaining(message) });
  expect(() => new ConnLimitMiddleware({ max_conn: 1 } as object)).toThrow(refused('did you mean "maxConn"?'));
  expect(() => new IpMaxConnMiddleware({ maxConn: 1 } as object)).toThrow(refused('did you mean "ipMaxConn"?'));
  expect(() => new RedisConnStore({ sendCommand: async () => 0 }, { leese: 1 } as object)).toThrow(refused('"lease"'));
  const methods = "a store with the methods take, give, usage and block, not an object";
  expect(() => new ConnLimitMiddleware({ store: {} as never })).toThrow(
    refused(`store of ConnLimitMiddleware is ${methods}`),
  );
  expect(() => new IpMaxConnMiddleware({ store: new Map() as never })).toThrow(refused(methods));
  expect(() => new IpMaxConnMiddleware({ key: "" })).toThrow(
    refused("key of IpMaxConnMiddleware is a text that is not"),
  );
  const whole = (name: string) =>
    expect.objectContaining({ code: "ERR_RAP_LIMIT", message: expect.stringMatching(`^${name} is a whole number of`) });
  for (const given of [null, "5", -1, 1.5, NaN, Infinity]) {
    expect(() => new ConnLimitMiddleware({ maxConn: given as never })).toThrow(whole("maxConn"));
    expect(() => new ConnLimitMiddleware({ blockTime: given as never })).toThrow(whole("blockTime"));
    expect(() => new IpMaxConnMiddleware({ ipMaxConn: given as never })).toThrow(whole("ipMaxConn"));
    expect(() => new IpMaxConnMiddleware({ timeout: given as never })).toThrow(whole("timeout"));
  }
  expect(() => new MemoryConnStore(5 as never)).toThrow(refused("the clock of MemoryConnStore is a function, not 5"));
  expect(() => new RedisConnStore("redis://localhost" as never)).toThrow(
    refused("with the method sendCommand, not a st"),
  );
  const redis = { sendCommand: async () => 0 };
  expect(() => new RedisConnStore(redis, { whenUnreachable: "countalone" as never })).toThrow(
    refused('whenUnreachable of RedisConnStore is "refuse" or "countAlone", not "countalone"'),
  );
  expect(() => new RedisConnStore(redis, { lease: 0 })).toThrow(
    refused("lease of RedisConnStore is a whole number of at least 1"),
  );
});
