import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { middlewareCompliance } from "@rap/core/compliance";
import { Server } from "@rap/server";
import { createClient } from "redis";
import { REDIS_TIMEOUT, type RedisServer, startRedis } from "../../integration/test/redis";
import { until, visit } from "../../integration/test/visit";
import { ConnLimitMiddleware, type IpMaxConnInfo, IpMaxConnMiddleware, MemoryConnStore, RedisConnStore } from "../src";

middlewareCompliance("IpMaxConnMiddleware", () => new IpMaxConnMiddleware(), {
  refuses: [{ remoteAddress: "elsewhere", local: false }],
});
middlewareCompliance("IpMaxConnMiddleware, on a Unix socket", () => new IpMaxConnMiddleware({ ipMaxConn: 1 }), {
  passes: { remoteAddress: "/run/rap.sock", remotePort: 0, local: true },
});

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function serve(...limits: (IpMaxConnMiddleware | ConnLimitMiddleware)[]): Server {
  const server = new Server().loadMiddleware(limits);
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

async function come(server: Server, address?: string): Promise<Client> {
  const client = await visit(server, address);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client;
}

describe("a limit of connections by address", () => {
  test("refuses what one address has over it, with an error that says so, and nobody else", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 2, timeout: 60_000 }));
    const first = await come(server, "192.0.2.1");
    await come(server, "192.0.2.1");
    await expect(come(server, "192.0.2.1")).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("192.0.2.1 is at its limit of 2 connections"),
    });
    await come(server, "192.0.2.2");
    await first.stop();
    await until(() => server.stats().connections === 2);
    await come(server, "192.0.2.1");
  });

  test("counts real sockets, and 127.0.0.1 as any address", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1 }));
    const { port } = await server.listen({ port: 0 });
    const clients = [new Client().addConn("127.0.0.1", port), new Client().addConn("127.0.0.1", port)];
    stops.push(...clients.map((client) => () => client.stop()));
    await clients[0]!.start();
    await expect(clients[1]!.start()).rejects.toThrow("127.0.0.1 is at its limit of 1 connections");
  });

  test("counts an IPv6 /64 as one address, and mapped IPv4 as IPv4", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1 }));
    await come(server, "2001:db8:0:1::1");
    await expect(come(server, "2001:db8:0:1:ffff::2")).rejects.toThrow("2001:db8:0:1::/64 is at its limit");
    await come(server, "2001:db8:0:2::1");
    await come(server, "::ffff:192.0.2.1");
    await expect(come(server, "192.0.2.1")).rejects.toThrow("192.0.2.1 is at its limit");
  });

  test("does not limit peers without an IP address", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1 }));
    for (let i = 0; i < 3; i++) await come(server);
    expect(server.stats().connections).toBe(3);
  });

  test("does not forget connections that last longer than the timeout", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1, timeout: 0 }));
    await come(server, "192.0.2.1");
    await new Promise((resolve) => setTimeout(resolve, 20));
    await expect(come(server, "192.0.2.1")).rejects.toThrow("limit of 1");
  });

  test("is read and changed at run time by private functions", async () => {
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1, timeout: 60_000 }));
    const admin = await come(server);
    const ask = (name: string, ...args: unknown[]) =>
      admin.invokeByName(name, args, { group: "IpMaxConnMiddleware" }) as Promise<IpMaxConnInfo>;
    await come(server, "192.0.2.1");
    await expect(come(server, "192.0.2.1")).rejects.toThrow("limit of 1");
    expect(await ask("getInfo")).toEqual({
      ipMaxConn: 1,
      timeout: 60_000,
      addresses: [{ address: "192.0.2.1", connections: 1, refused: 1 }],
    });
    await ask("modifyIpMaxConn", 2);
    await (await come(server, "192.0.2.1")).stop();
    await (await come(server, "192.0.2.9")).stop();
    await until(async () => (await ask("getInfo")).addresses.every(({ connections }) => connections < 2));
    expect((await ask("getInfo")).addresses).toHaveLength(2);
    await ask("modifyTimeout", 0);
    expect(await ask("getInfo")).toEqual({
      ipMaxConn: 2,
      timeout: 0,
      addresses: [{ address: "192.0.2.1", connections: 1, refused: 1 }],
    });
    await expect(ask("modifyIpMaxConn", 0)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(ask("modifyTimeout", "1")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("works beside another of its kind and a limit of all connections, in any order (W11)", async () => {
    const server = serve(
      new IpMaxConnMiddleware({ ipMaxConn: 3 }),
      new ConnLimitMiddleware({ maxConn: 3, blockTime: 0 }),
      new IpMaxConnMiddleware({ ipMaxConn: 2 }),
    );
    await come(server, "192.0.2.1");
    await come(server, "192.0.2.1");
    await expect(come(server, "192.0.2.1")).rejects.toThrow("limit of 2");
    const admin = await come(server);
    await expect(come(server, "192.0.2.2")).rejects.toThrow("limit of 3");
    const info = await Promise.all(
      ["", "2"].map((number) => admin.invokeByName("getInfo", [], { group: `IpMaxConnMiddleware${number}` })),
    );
    expect(info).toEqual([expect.objectContaining({ ipMaxConn: 3 }), expect.objectContaining({ ipMaxConn: 2 })]);
  });

  test("holds nothing for addresses that are gone", async () => {
    const store = new MemoryConnStore();
    const server = serve(new IpMaxConnMiddleware({ ipMaxConn: 1, timeout: 0, store }));
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, index) => come(server, `192.0.2.${index % 10}`).catch(() => undefined)),
    );
    expect(store.size).toBe(10);
    for (const client of clients) await client?.stop();
    await until(() => store.size === 0);
  });

  test("refuses options that are no limits", () => {
    expect(() => new IpMaxConnMiddleware({ ipMaxConn: 0 })).toThrow("ipMaxConn");
    expect(() => new IpMaxConnMiddleware({ timeout: -1 })).toThrow("timeout");
  });
});

describe("several servers with one Redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  }, REDIS_TIMEOUT);
  afterAll(() => redis?.stop());

  test("hold their limits together", async () => {
    const servers: Server[] = [];
    for (let i = 0; i < 2; i++) {
      const client = await createClient({ url: redis.url }).connect();
      stops.push(() => client.close());
      const store = new RedisConnStore(client);
      servers.push(
        serve(
          new ConnLimitMiddleware({ maxConn: 3, blockTime: 0, store }),
          new IpMaxConnMiddleware({ ipMaxConn: 2, store }),
        ),
      );
    }
    const [one, two] = servers as [Server, Server];
    const first = await come(one, "192.0.2.1");
    await come(two, "192.0.2.1");
    await expect(come(one, "192.0.2.1")).rejects.toThrow("limit of 2");
    const third = await come(one, "192.0.2.2");
    await expect(come(two, "192.0.2.3")).rejects.toThrow("limit of 3");
    await third.stop();
    await first.stop();
    await until(() => one.stats().connections === 0);
    await until(() =>
      come(two, "192.0.2.1").then(
        () => true,
        () => false,
      ),
    );
    await one.shutdown();
    await two.shutdown({ graceMs: 0 });
    const client = await createClient({ url: redis.url }).connect();
    stops.push(() => client.close());
    expect(await new RedisConnStore(client).usage("all")).toEqual({ count: 0, blockedFor: 0 });
    expect(await client.keys("*:server:*")).toEqual([]);
  });
});
