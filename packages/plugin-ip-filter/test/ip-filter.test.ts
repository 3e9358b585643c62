import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Client, type ClientOptions } from "@rap/client";
import { CLOCK } from "@rap/core";
import { middlewareCompliance } from "@rap/core/compliance";
import { createContainer } from "@rap/core/container";
import { Server, type ServerOptions } from "@rap/server";
import { ManualClock } from "@rap/testing";
import { until, visit } from "../../integration/test/visit";
import { type Certificates, certificates } from "../../transport/test/certificates";
import { IpFilterMiddleware, type IpFilterOptions, type IpListStore, type IpLists, RedisIpListStore } from "../src";

const LOCAL = { remoteAddress: "/run/rap.sock", remotePort: 0, local: true };

middlewareCompliance("IpFilterMiddleware without lists", () => new IpFilterMiddleware(), {
  refuses: [{ remoteAddress: "elsewhere", local: false }],
});
middlewareCompliance(
  "IpFilterMiddleware that blocks",
  () => new IpFilterMiddleware({ blockIpList: ["198.51.100.0/24", "2001:db8::/32"] }),
  {
    refuses: [
      { remoteAddress: "198.51.100.7" },
      { remoteAddress: "::ffff:198.51.100.7" },
      { remoteAddress: "2001:db8::7%eth0" },
    ],
  },
);
middlewareCompliance(
  "IpFilterMiddleware that allows",
  () => new IpFilterMiddleware({ allowIpList: ["192.0.2.0/24"], blockIpList: ["192.0.2.1"], explain: "never" }),
  { refuses: [{ remoteAddress: "198.51.100.7" }, { remoteAddress: "127.0.0.1", local: true }] },
);
middlewareCompliance(
  "IpFilterMiddleware, on a Unix socket",
  () => new IpFilterMiddleware({ allowIpList: ["10.0.0.1"] }),
  {
    passes: LOCAL,
  },
);

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function serve(filters: readonly IpFilterMiddleware[], options: ServerOptions = {}): Server {
  const server = new Server(options).loadMiddleware(filters);
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

async function come(server: Server, address?: string): Promise<Client> {
  const client = await visit(server, address);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client;
}

/** Calls a private function, from this machine. */
async function admin(server: Server, group = "IpFilterMiddleware") {
  const client = await come(server);
  return (name: string, ...args: unknown[]) => client.invokeByName(name, args, { group });
}

const refused = (address: string) => ({
  code: "UNAVAILABLE",
  reason: "REFUSED",
  message: expect.stringContaining(`${address} is not allowed to connect`),
});

describe("a filter of addresses", () => {
  test("tells a blocked client so, over TCP", async () => {
    const server = serve([new IpFilterMiddleware({ blockIpList: ["127.0.0.0/8"] })]);
    const { port } = await server.listen({ port: 0 });
    const client = new Client().addConn("127.0.0.1", port);
    stops.push(() => client.stop());
    await expect(client.start()).rejects.toMatchObject(refused("127.0.0.1"));
    expect(server.stats().connections).toBe(0);
  });

  test("lets all in but those on the block list", async () => {
    const server = serve([new IpFilterMiddleware({ blockIpList: ["192.0.2.7", "2001:db8::/32"] })]);
    for (const address of ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1::1"]) {
      await expect(come(server, address)).rejects.toMatchObject(refused(address));
    }
    for (const address of ["192.0.2.8", "2001:db9::1"]) await come(server, address);
  });

  test("lets in only those on the allow list if there is one, and does not ask the block list then", async () => {
    const server = serve([new IpFilterMiddleware({ allowIpList: ["192.168.0.0/31"], blockIpList: ["192.168.0.1"] })]);
    for (const address of ["192.168.0.0", "192.168.0.1", "::ffff:192.168.0.1"]) await come(server, address);
    for (const address of ["192.168.0.2", "10.0.0.1", "::1"]) {
      await expect(come(server, address)).rejects.toMatchObject(refused(address));
    }
  });

  test("lets in peers that have no address because there is no network between", async () => {
    const folder = mkdtempSync(join(tmpdir(), "rap-filter-"));
    stops.push(() => rmSync(folder, { recursive: true }));
    const server = serve([new IpFilterMiddleware({ allowIpList: ["192.0.2.1"] })]);
    await come(server);
    const path = join(folder, "rap.sock");
    await server.listen({ path });
    const client = new Client({ target: `unix:${path}` });
    stops.push(() => client.stop());
    await client.start();
    expect(server.stats().connections).toBe(2);
  });

  test("refuses options that are no addresses, and names the entry", () => {
    expect(() => new IpFilterMiddleware({ allowIpList: ["10.0.0.0/8", "10.0.0.1/8"] })).toThrow('"10.0.0.1/8"');
    expect(() => new IpFilterMiddleware({ blockIpList: ["nonsense"] })).toThrow('"nonsense"');
    const many = Array.from({ length: 10_001 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    expect(() => new IpFilterMiddleware({ blockIpList: many })).toThrow(
      expect.objectContaining({ code: "ERR_RAP_LIMIT" }),
    );
    new IpFilterMiddleware({ blockIpList: many.slice(1) });
  });
});

describe("over TLS", () => {
  let pki: Certificates;
  beforeAll(async () => {
    pki = await certificates();
  });

  async function overTls(options: IpFilterOptions) {
    const server = serve([new IpFilterMiddleware({ blockIpList: ["127.0.0.1"], ...options })], { tls: pki.server });
    await server.listen({ port: 0 });
    const client = new Client({ target: server.address!, tls: { ca: pki.ca } } as ClientOptions);
    stops.push(() => client.stop());
    return { server, client };
  }

  test("a blocked client costs no TLS handshake: it is dropped as it is accepted", async () => {
    const { server, client } = await overTls({});
    await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(server.stats()).toMatchObject({ rejected: { filtered: expect.any(Number) }, handshakes: 0 });
    const { rejected } = server.stats();
    const raw = connect(Number(new URL(server.address!).port), "127.0.0.1").on("error", () => {});
    let bytes = 0;
    raw.on("data", (chunk) => {
      bytes += chunk.length;
    });
    await once(raw, "close");
    expect([bytes, server.stats().rejected.filtered]).toEqual([0, rejected.filtered + 1]);
  });

  test("it is told why all the same if the server wants that", async () => {
    const { server, client } = await overTls({ explain: "always" });
    await expect(client.start()).rejects.toMatchObject(refused("127.0.0.1"));
    expect(server.stats().rejected.filtered).toBe(0);
  });

  test("without TLS too it is dropped without a word if the server wants that", async () => {
    const server = serve([new IpFilterMiddleware({ blockIpList: ["127.0.0.1"], explain: "never" })]);
    const { port } = await server.listen({ port: 0 });
    const raw = connect(port, "127.0.0.1")
      .on("error", () => {})
      .resume();
    await once(raw, "close");
    expect(server.stats()).toMatchObject({ rejected: { filtered: 1 }, handshakes: 0 });
  });
});

describe("at run time", () => {
  test("the lists are read and changed by private functions, and connections that are blocked now are closed", async () => {
    const server = serve([new IpFilterMiddleware({ blockIpList: ["192.0.2.9"] })]);
    const ask = await admin(server);
    const one = await come(server, "192.0.2.1");
    await come(server, "198.51.100.1");
    const lost = one.invokeByName("rap.health.v1/Watch").catch((error: unknown) => error);
    expect(await ask("addBlockIp", "::ffff:192.0.2.0/120")).toBe(true);
    expect(await ask("addBlockIp", "192.0.2.0/24")).toBe(false);
    expect(await ask("getBlockIp")).toEqual(["192.0.2.9", "192.0.2.0/24"]);
    await until(() => server.stats().connections === 2);
    await lost;
    await expect(come(server, "192.0.2.1")).rejects.toMatchObject(refused("192.0.2.1"));

    // What is put on one list leaves the other.
    expect(await ask("addAllowIp", "192.0.2.0/24")).toBe(true);
    expect([await ask("getAllowIp"), await ask("getBlockIp")]).toEqual([["192.0.2.0/24"], ["192.0.2.9"]]);
    await until(() => server.stats().connections === 1);
    await come(server, "192.0.2.9");
    expect(await ask("removeAllowIp", "192.0.2.0/24")).toBe(true);
    expect(await ask("removeAllowIp", "192.0.2.0/24")).toBe(false);
    await until(() => server.stats().connections === 1);
    expect(await ask("removeBlockIp", "192.0.2.9")).toBe(true);
    await come(server, "192.0.2.9");
  });

  test("a client whose connection is closed that way is told why", async () => {
    const server = serve([new IpFilterMiddleware()]).register({ never: () => new Promise(() => {}) });
    const ask = await admin(server);
    const client = await come(server, "192.0.2.1");
    const call = expect(client.invokeByName("never")).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("192.0.2.1 is not allowed to connect"),
    });
    await until(() => server.stats().inFlight === 1);
    await ask("addBlockIp", "192.0.2.1");
    await call;
  });

  test("a bad entry changes nothing", async () => {
    const server = serve([new IpFilterMiddleware({ allowIpList: ["192.0.2.1"] })]);
    const ask = await admin(server);
    for (const name of ["addAllowIp", "removeAllowIp", "addBlockIp", "removeBlockIp"]) {
      for (const bad of ["10.0.0.1/8", "nonsense", 7, null, ["10.0.0.1"]]) {
        await expect(ask(name, bad)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      }
    }
    expect([await ask("getAllowIp"), await ask("getBlockIp")]).toEqual([["192.0.2.1"], []]);
  });

  test("nobody changes them from elsewhere", async () => {
    const server = serve([new IpFilterMiddleware()]);
    const stranger = await come(server, "192.0.2.1");
    const call = stranger.invokeByName("addBlockIp", ["192.0.2.2"], { group: "IpFilterMiddleware" });
    await expect(call).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("two filters can be loaded: both must let a peer in, and each has functions of its own (W11)", async () => {
    const server = serve([
      new IpFilterMiddleware({ allowIpList: ["192.0.2.0/24"] }),
      new IpFilterMiddleware({ blockIpList: ["192.0.2.7"] }),
    ]);
    await come(server, "192.0.2.1");
    for (const address of ["192.0.2.7", "198.51.100.1"])
      await expect(come(server, address)).rejects.toThrow("not allowed");
    expect(await (await admin(server))("getAllowIp")).toEqual(["192.0.2.0/24"]);
    expect(await (await admin(server, "IpFilterMiddleware2"))("getBlockIp")).toEqual(["192.0.2.7"]);
  });
});

/** Lists of several servers, in memory, that can fail. */
class SharedLists implements IpListStore {
  lists: IpLists = { version: "0", allow: [], block: [] };
  error: Error | undefined;
  loads = 0;

  async load(version: string | undefined): Promise<IpLists | undefined> {
    this.loads++;
    if (this.error !== undefined) throw this.error;
    return version === this.lists.version ? undefined : this.lists;
  }

  async add(list: "allow" | "block", entry: string): Promise<boolean> {
    this.lists = { ...this.lists, version: `${this.lists.version}+`, [list]: [...this.lists[list], entry] };
    return true;
  }

  async remove(list: "allow" | "block", entry: string): Promise<boolean> {
    const { [list]: before } = this.lists;
    this.lists = { ...this.lists, version: `${this.lists.version}-`, [list]: before.filter((each) => each !== entry) };
    return this.lists[list].length < before.length;
  }
}

describe("with a store", () => {
  function timed(filter: IpFilterMiddleware, options: ServerOptions = {}) {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    return { clock, server: serve([filter], { container, ...options }) };
  }

  test("its lists hold beside those of the options, and changes are picked up by looking again", async () => {
    const store = new SharedLists();
    await store.add("block", "192.0.2.1");
    const { clock, server } = timed(new IpFilterMiddleware({ blockIpList: ["192.0.2.2"], store, pollInterval: 1_000 }));
    const ask = await admin(server);
    expect(await ask("getBlockIp")).toEqual(["192.0.2.2", "192.0.2.1"]);
    for (const address of ["192.0.2.1", "192.0.2.2"])
      await expect(come(server, address)).rejects.toThrow("not allowed");
    await come(server, "192.0.2.3");
    await store.add("block", "192.0.2.3");
    clock.advance(999);
    expect(store.loads).toBe(1);
    clock.advance(1);
    await until(() => server.stats().connections === 1);
    await expect(come(server, "192.0.2.3")).rejects.toThrow("not allowed");
  });

  test("what is changed is changed there, at once for this server; the options' entries stay", async () => {
    const store = new SharedLists();
    const { server } = timed(new IpFilterMiddleware({ blockIpList: ["192.0.2.2"], store }));
    const ask = await admin(server);
    expect(await ask("addBlockIp", "192.0.2.1/32")).toBe(true);
    expect(store.lists.block).toEqual(["192.0.2.1"]);
    await expect(come(server, "192.0.2.1")).rejects.toThrow("not allowed");
    await expect(ask("removeBlockIp", "192.0.2.2")).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(await ask("removeBlockIp", "192.0.2.1")).toBe(true);
    expect(await ask("removeBlockIp", "192.0.2.1")).toBe(false);
    await come(server, "192.0.2.1");
  });

  test("a server does not start without them", async () => {
    const store = new SharedLists();
    store.error = new Error("no Redis");
    const { server } = timed(new IpFilterMiddleware({ store }));
    await expect(server.listen({ port: 0 })).rejects.toThrow("no Redis");
    store.error = undefined;
    await server.listen({ port: 0 });
  });

  test("while it fails, or holds what is no address, the last lists hold, and the log says so once", async () => {
    const errors: string[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (_: object, message = "") => void errors.push(message) };
    const store = new SharedLists();
    await store.add("block", "192.0.2.1");
    const { clock, server } = timed(new IpFilterMiddleware({ store, pollInterval: 1_000 }), { logger });
    const ask = await admin(server);
    /** Lets the filter look once more. */
    const look = async () => {
      const before = store.loads;
      await until(() => {
        clock.advance(100);
        return store.loads > before;
      });
    };
    store.error = new Error("no Redis");
    await look();
    await look();
    await expect(come(server, "192.0.2.1")).rejects.toThrow("not allowed");
    await expect(ask("addBlockIp", "192.0.2.9")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    store.error = undefined;
    await look();
    store.lists = { version: "bad", allow: ["nonsense"], block: [] };
    await look();
    await until(() => errors.length === 2);
    await expect(come(server, "192.0.2.1")).rejects.toThrow("not allowed");
    await come(server, "192.0.2.2");
    store.lists = { version: "good", allow: [], block: [] };
    await look();
    await until(() =>
      come(server, "192.0.2.1").then(
        () => true,
        () => false,
      ),
    );
    expect(errors).toHaveLength(2);
  });

  test("a server that has stopped looks no more", async () => {
    const store = new SharedLists();
    const { clock, server } = timed(new IpFilterMiddleware({ store, pollInterval: 10 }));
    await server.listen({ port: 0 });
    await server.shutdown();
    const { loads } = store;
    clock.advance(1_000);
    expect(store.loads).toBe(loads);
  });
});

test("a list that is none, and an option that does not exist, are refused where they are given", () => {
  const refused = (message: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_OPTION", message: expect.stringContaining(message) });
  for (const list of ["10.0.0.1", 3, null, new Set(["10.0.0.1"])]) {
    const given = list as unknown as string[];
    expect(() => new IpFilterMiddleware({ blockIpList: given })).toThrow(refused("blockIpList is a"));
    expect(() => new IpFilterMiddleware({ allowIpList: given })).toThrow(refused("allowIpList is a"));
  }
  expect(() => new IpFilterMiddleware({ explain: "allways" as never })).toThrow(
    refused('explain of IpFilterMiddleware is "plaintext" or "always" or "never", not "allways"'),
  );
  expect(() => new IpFilterMiddleware({ store: {} as never })).toThrow(
    refused("a store with the methods load, add and"),
  );
  expect(() => new IpFilterMiddleware({ pollInterval: -1 })).toThrow(
    refused("pollInterval of IpFilterMiddleware is a"),
  );
  expect(() => new RedisIpListStore("redis://localhost" as never)).toThrow(refused("with the method sendCommand"));
  expect(() => new IpFilterMiddleware({ block_ip_list: [] } as object)).toThrow(refused('did you mean "blockIpList"?'));
  expect(() => new RedisIpListStore({ sendCommand: async () => 0 }, { prefx: "" } as object)).toThrow(
    refused('"prefix"'),
  );
});
