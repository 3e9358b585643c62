import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "@jest/globals";
import { Client, type ClientOptions, type Processor, type Session } from "@rap/client";
import { defaultLogger } from "@rap/core";
import { processorCompliance } from "@rap/core/compliance";
import { type Channel, context, type Logger, Server, type ServerOptions } from "@rap/server";
import { memory } from "@rap/transport";
import { certificates } from "../../transport/test/certificates";
import { ClientCryptoProcessor, Keyring, ServerCryptoProcessor } from "../src";

const KEY = "0123456789abcdef";
const ADMIN = { group: "ServerCryptoProcessor" };

processorCompliance("crypto", {
  client: () => new ClientCryptoProcessor("id", KEY),
  server: () => new ServerCryptoProcessor({ id: KEY }),
});

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const functions = {
  sum: (a: number, b: number) => a + b,
  echo: (value: unknown) => value,
  async *count(n: number) {
    for (let i = 0; i < n; i++) yield i;
  },
  async total(numbers: AsyncIterable<number>) {
    let sum = 0;
    for await (const n of numbers) sum += n;
    return sum;
  },
  session: () => context().session?.id,
  fail(): never {
    throw new Error("of the function");
  },
  hang: () =>
    new Promise<never>((_, reject) => context().signal.addEventListener("abort", () => reject(new Error("ended")))),
};

async function serve(processors: Processor[], options: ServerOptions = {}): Promise<Server> {
  const server = new Server({ exposeErrors: true, logger: defaultLogger({ level: "silent" }), ...options }).register(
    functions,
  );
  server.registerChannel(async function reverse(channel: Channel<string, string>) {
    for await (const text of channel) await channel.write([...text].reverse().join(""));
  });
  server.loadProcessor(processors);
  await server.listen({ port: 0 });
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

async function connect(server: Server, processors: Processor[], options: ClientOptions = {}): Promise<Client> {
  const client = new Client({ target: server.address!, ...options }).loadProcessor(processors);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client.start();
}

describe.each([
  ["TCP", async () => ({})],
  ["TLS", certificates],
] as const)("over %s", (_name, issue) => {
  test("calls of every shape, sessions, errors and deadlines are as without", async () => {
    const identities: Partial<Awaited<ReturnType<typeof certificates>>> = await issue();
    const { server: identity, ca } = identities;
    const server = await serve([new ServerCryptoProcessor({ id: KEY })], identity && { tls: identity });
    const client = await connect(
      server,
      [new ClientCryptoProcessor("id", KEY)],
      ca === undefined ? {} : { tls: { ca } },
    );
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    const large = randomBytes(300_000);
    expect(large.equals((await client.invokeByName("echo", [large])) as Uint8Array)).toBe(true);
    const counted: number[] = [];
    for await (const n of client.registerGen<typeof functions.count>("count")(500)) counted.push(n);
    expect(counted).toEqual(Array.from({ length: 500 }, (_, i) => i));
    expect(await client.register<typeof functions.total>("total")([1, 2, 3].values())).toBe(6);
    await client.registerChannel<(channel: Channel<string, string>) => Promise<void>>("reverse")(async (channel) => {
      await channel.write("abc");
      expect(await channel.readBody()).toBe("cba");
    });
    await client.withSession(async (session: Session) => {
      expect(await client.invokeByName("session")).toBe(session.id);
    });
    await expect(client.invokeByName("fail")).rejects.toMatchObject({ message: "of the function" });
    await expect(client.invokeByName("missing")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(client.invokeByName("hang", [], { timeout: 30 })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });
});

test("a client's metadata is not seen before the client has proved itself, and then as it was sent", async () => {
  const server = await serve([new ServerCryptoProcessor({ id: KEY })]);
  const seen: unknown[] = [];
  server.loadMiddleware([
    {
      kind: "conn",
      async dispatch(conn, next) {
        seen.push(conn.metadata?.get("token"));
        await next();
      },
    },
  ]);
  const options = { metadata: { token: "secret" } };
  const stranger = new Client({ target: server.address!, ...options });
  stranger.loadProcessor([new ClientCryptoProcessor("id", "another key 1234")]);
  await expect(stranger.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await stranger.stop();
  expect(seen).toEqual([]);
  await connect(server, [new ClientCryptoProcessor("id", KEY)], options);
  expect(seen).toEqual(["secret"]);
});

test("a refusal of a connection middleware reaches the client, which has proved itself", async () => {
  const server = await serve([new ServerCryptoProcessor({ id: KEY })]);
  server.loadMiddleware([{ kind: "conn", dispatch: async (conn) => conn.close("closed at night") }]);
  const client = new Client({ target: server.address! }).loadProcessor([new ClientCryptoProcessor("id", KEY)]);
  stops.push(() => client.stop());
  await expect(client.start()).rejects.toMatchObject({ message: expect.stringContaining("closed at night") });
});

test("works next to processors that look at messages, wherever it is in the list", async () => {
  const seen: string[] = [];
  const audit = (name: string): Processor => ({
    onRequest(message) {
      seen.push(`${name} ${message.method}`);
      return message;
    },
  });
  const server = await serve([audit("server"), new ServerCryptoProcessor({ id: KEY })]);
  const client = await connect(server, [new ClientCryptoProcessor("id", KEY), audit("client")]);
  expect(await client.invokeByName("sum", [1, 2])).toBe(3);
  expect(seen).toEqual(["client sum", "server sum"]);
});

test("goes on to new keys under load without losing a call", async () => {
  const rekey = { records: 3, bytes: 4_096, interval: 5 };
  const server = await serve([new ServerCryptoProcessor({ id: KEY }, { rekey })]);
  const client = await connect(server, [new ClientCryptoProcessor("id", KEY, { rekey })]);
  const sum = client.register<typeof functions.sum>("sum");
  const one = async (i: number) => expect(await sum(i, 1)).toBe(i + 1);
  const counted = (async () => {
    let next = 0;
    for await (const n of client.registerGen<typeof functions.count>("count")(5_000)) expect(n).toBe(next++);
    return next;
  })();
  for (let round = 0; round < 50; round++) await Promise.all(Array.from({ length: 40 }, (_, i) => one(i)));
  expect(await counted).toBe(5_000);
  const large = randomBytes(500_000);
  expect(large.equals((await client.invokeByName("echo", [large])) as Uint8Array)).toBe(true);
  expect(server.stats().connections).toBe(1);
});

describe("keys that change while the server runs", () => {
  test("let clients in, and those of a removed key out", async () => {
    const processor = new ServerCryptoProcessor({ old: KEY });
    const server = await serve([processor]);
    const limits = { reconnectInitialBackoff: 1, reconnectMaxBackoff: 5 };
    const own = new ClientCryptoProcessor("old", KEY);
    const client = await connect(server, [own], { limits });
    const other = await connect(server, [new ClientCryptoProcessor("old", KEY)], { limits });
    const next = randomBytes(32);
    processor.keyring.add("new", next);
    // A client takes the new key for its next connection, and calls go on over the one that it has.
    own.useKey("new", next);
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    expect(processor.keyring.remove("old")).toBe(true);
    expect(processor.keyring.remove("old")).toBe(false);
    for (const each of [client, other]) {
      const lost = each.invokeByName("sum", [1, 2], { timeout: 2_000 });
      await expect(lost).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    await expect(other.invokeByName("sum", [1, 2], { timeout: 100 })).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/),
    });
  });

  test("are administered by private functions, which give no key away", async () => {
    const server = await serve([new ServerCryptoProcessor({ id: KEY })]);
    const client = await connect(server, [new ClientCryptoProcessor("id", KEY)]);
    const admin = (name: string, ...args: unknown[]) => client.invokeByName(name, args, ADMIN);
    expect(await admin("getCryptoKeyIdList")).toEqual(["id"]);
    await admin("addCryptoKeys", { second: "fedcba9876543210", third: randomBytes(32) });
    expect(await admin("getCryptoKeyIdList")).toEqual(["id", "second", "third"]);
    expect(await admin("removeCryptoKey", "third")).toBe(true);
    expect(await admin("removeCryptoKey", "third")).toBe(false);
    const second = await connect(server, [new ClientCryptoProcessor("second", "fedcba9876543210")]);
    expect(await second.invokeByName("sum", [1, 2])).toBe(3);
    const bad = await admin("addCryptoKeys", { fourth: KEY, fifth: "too short a key" }).catch((error) => error);
    expect(bad).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(inspect(bad)).not.toContain("too short a key");
    expect(await admin("getCryptoKeyIdList")).toEqual(["id", "second"]);
    await admin("modifyCryptoNonceTimeout", 5_000);
    await admin("modifyCryptoTimeout", 1_000);
    for (const name of ["modifyCryptoTimeout", "modifyCryptoNonceTimeout"]) {
      for (const value of [0, -1, 1.5, "1000", null]) {
        await expect(admin(name, value)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      }
    }
    const late = new ClientCryptoProcessor("id", KEY, { now: () => Date.now() - 2_000 });
    const stale = new Client({ target: server.address! }).loadProcessor([late]);
    await expect(stale.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await stale.stop();
  });

  test("cannot be administered from elsewhere", async () => {
    const server = new Server().register(functions).loadProcessor([new ServerCryptoProcessor({ id: KEY })]);
    const transport = memory({ peer: { local: false } });
    await server.listen({ transport, address: "memory://afar" });
    stops.push(() => server.shutdown({ graceMs: 0 }));
    const client = await connect(server, [new ClientCryptoProcessor("id", KEY)], { transports: [transport] });
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    await expect(client.invokeByName("getCryptoKeyIdList", [], ADMIN)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

test("keys, and what is made of them, are in no text that the processors or their errors give", async () => {
  const key = "S3CRET-key-16byt";
  const bytes = randomBytes(32);
  const logged: unknown[] = [];
  const note = (...args: unknown[]) => void logged.push(args);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const there = new ServerCryptoProcessor({ id: key, bytes });
  const here = new ClientCryptoProcessor("id", key);
  const server = await serve([there], { logger });
  const client = await connect(server, [here]);
  await client.invokeByName("sum", [1, 2]);
  const stranger = new Client({ target: server.address! });
  stranger.loadProcessor([new ClientCryptoProcessor("id", "another key 1234")]);
  const error = await stranger.start().catch((thrown) => thrown);
  await stranger.stop();
  const shown = [there, here, there.keyring, server, client, error, logged, there.secure].flatMap((each) => [
    inspect(each, { depth: 20, showHidden: true, getters: true }),
    Object.keys(each).length === 0 ? "" : safeJson(each),
    String(each),
  ]);
  expect(shown.join()).toContain("CryptoProcessor");
  for (const secret of [key, "another key 1234"]) expect(shown.join()).not.toContain(secret);
  for (const encoding of ["hex", "base64", "latin1"] as const) {
    expect(shown.join()).not.toContain(bytes.toString(encoding));
  }
  expect(shown.join()).not.toContain([...bytes].slice(0, 6).join(", "));
});

describe("a mistake in the configuration", () => {
  test.each<[string, () => unknown, string]>([
    ["a bad key", () => new ClientCryptoProcessor("id", "short"), "ERR_RAP_KEY"],
    ["a bad id", () => new ServerCryptoProcessor({ "": KEY }), "ERR_RAP_KEY"],
    ["no suite", () => new ServerCryptoProcessor({ id: KEY }, { suites: [] }), "ERR_RAP_SUITE"],
    [
      "a suite that is none",
      () => new ClientCryptoProcessor("id", KEY, { suites: ["aes-128-cbc" as never] }),
      "ERR_RAP_SUITE",
    ],
    ["a bad time", () => new ServerCryptoProcessor({ id: KEY }, { timeout: Number.NaN }), "ERR_RAP_CRYPTO"],
    [
      "a rekey limit that is too high",
      () => new ClientCryptoProcessor("id", KEY, { rekey: { records: 2 ** 30 } }),
      "ERR_RAP_CRYPTO",
    ],
    ["no key for a client", () => new ServerCryptoProcessor({ id: undefined as never }), "ERR_RAP_KEY"],
  ])("is an error at once: %s", (_what, make, code) => {
    expect(make).toThrow(expect.objectContaining({ code }));
  });

  test("is an error at the start: the processor of the other side", async () => {
    const server = new Server().loadProcessor([new ClientCryptoProcessor("id", KEY)]);
    await expect(server.listen({ port: 0 })).rejects.toMatchObject({ code: "ERR_RAP_CRYPTO" });
    const client = new Client().loadProcessor([new ServerCryptoProcessor({ id: KEY })]);
    await expect(client.start()).rejects.toMatchObject({ code: "ERR_RAP_CRYPTO" });
  });

  test("is an error: to encrypt what runs already, or twice", async () => {
    const server = await serve([]);
    expect(() => server.loadProcessor([new ServerCryptoProcessor({ id: KEY })])).toThrow("before the start");
    const client = await connect(server, []);
    expect(() => client.loadProcessor([new ClientCryptoProcessor("id", KEY)])).toThrow("before the start");
    const twice = [new ServerCryptoProcessor({ id: KEY }), new ServerCryptoProcessor({ id: KEY })];
    expect(() => new Server().loadProcessor(twice)).toThrow("loaded already");
  });
});

function safeJson(value: unknown): string {
  const seen = new Set<unknown>();
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === "bigint") return String(each);
    if (typeof each !== "object" || each === null) return each;
    if (seen.has(each)) return undefined;
    seen.add(each);
    return each;
  });
}

test("keys that are no record, and options that do not exist, are refused without a word of what they were", () => {
  const secret = "a-secret-in-the-wrong-place";
  const message = (make: () => unknown, code: string) => {
    try {
      make();
    } catch (error) {
      expect(error).toMatchObject({ name: "TypeError", code });
      expect(inspect(error)).not.toContain(secret);
      return (error as Error).message;
    }
    throw new Error("it was taken");
  };
  for (const keys of [undefined, null, secret, [secret], new Map([["id", KEY]]), 3]) {
    expect(message(() => new ServerCryptoProcessor(keys as never), "ERR_RAP_KEY")).toMatch(/record of keys/);
  }
  for (const [options, text] of [
    [{ nonceStore: {} }, "nonceStore of ServerCryptoProcessor is a store with the method add, not an object"],
    [{ nonceStore: null }, "not null"],
    [{ now: 5 }, "now of ServerCryptoProcessor is a function, not 5"],
    [{ clock: Date }, "clock of ServerCryptoProcessor is a clock with the methods now, setTimeout and clearTimeout"],
  ] as const) {
    expect(message(() => new ServerCryptoProcessor({ id: KEY }, options as never), "ERR_RAP_OPTION")).toContain(text);
  }
  for (const [options, text] of [
    [{ timeout: "60" }, "timeout must be a positive whole number, not a string"],
    [{ nonceTimeout: null }, "nonceTimeout must be a positive whole number, not null"],
    [{ rekey: { records: -1 } }, "rekey.records must be more than 0 and at most 16777216, not -1"],
  ] as const) {
    expect(() => new ServerCryptoProcessor({ id: KEY }, options as never)).toThrow(
      expect.objectContaining({ name: "RangeError", code: "ERR_RAP_CRYPTO", message: text }),
    );
  }
  expect(() => new ServerCryptoProcessor({ id: KEY }, { rekey: { records: undefined } as never })).not.toThrow();
  expect(message(() => new ClientCryptoProcessor("id", KEY, { bindTls: "no" as never }), "ERR_RAP_OPTION")).toContain(
    "bindTls of ClientCryptoProcessor is a boolean, not a string",
  );
  const keyring = new Keyring();
  expect(message(() => keyring.add("id", KEY, { notAfter: "2030" as never }), "ERR_RAP_OPTION")).toContain(
    "notAfter of the validity of a key is a date, or milliseconds since 1970, not a string",
  );
  expect(message(() => new ClientCryptoProcessor("id", KEY, secret as never), "ERR_RAP_OPTION")).toMatch(/a string/);
  const wrong = { nonce_timeout: 1, suits: secret } as object;
  expect(message(() => new ServerCryptoProcessor({ id: KEY }, wrong), "ERR_RAP_OPTION")).toContain('"nonceTimeout"');
  const rekey = { rekey: { record: 1 } } as object;
  expect(message(() => new ClientCryptoProcessor("id", KEY, rekey), "ERR_RAP_OPTION")).toContain('"records"');
});

test("a server may begin without a key, says so, and gets one with a time in which it is valid", async () => {
  const warnings: string[] = [];
  const silent = defaultLogger({ level: "silent" });
  const logger: Logger = { ...silent, warn: (_, text) => void warnings.push(String(text)) };
  const processor = new ServerCryptoProcessor({});
  const server = await serve([processor], { logger });
  expect(warnings).toEqual(["ServerCryptoProcessor has no key yet: nobody can connect"]);
  processor.keyring.add("late", KEY, { notAfter: new Date(Date.now() + 60_000) });
  const client = await connect(server, [new ClientCryptoProcessor("late", KEY)]);
  expect(await client.invokeByName("sum", [1, 2])).toBe(3);
});

test("a nonce store that answers something else than true or false lets nobody in, and the operator is told", async () => {
  const errors: unknown[] = [];
  const logger: Logger = { ...defaultLogger({ level: "silent" }), error: (details) => void errors.push(details) };
  const nonceStore = { add: () => 1 as never };
  const server = await serve([new ServerCryptoProcessor({ id: KEY }, { nonceStore })], { logger });
  await expect(connect(server, [new ClientCryptoProcessor("id", KEY)])).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(errors).toMatchObject([{ err: { message: "add() gave 1 instead of true or false" } }]);
});
