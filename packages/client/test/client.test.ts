import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, jest, test } from "@jest/globals";
import { CLOCK, CODEC, RANDOM } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { type Channel, LIMITS, Metadata, msgpack, PREAMBLE, RapError, systemRandom } from "@rap/protocol";
import { context, type Envelope, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { memory } from "@rap/transport";
import { certificates } from "../../transport/test/certificates";
import { helloOf, RawPeer } from "../../transport/test/link";
import { Client, type ClientOptions, withCallOptions } from "../src";
import { type Functions, newServer } from "./functions";

describe("the options of a client", () => {
  const refused = (code: string, message: string) =>
    expect.objectContaining({ code, message: expect.stringContaining(message) });

  test.each<[ClientOptions, string, string]>([
    [{ timeout: NaN }, "ERR_RAP_OPTION", "the option timeout of Client is a positive number of milliseconds, not NaN"],
    [{ timeout: 0 }, "ERR_RAP_OPTION", "not 0"],
    [{ timeout: -1 }, "ERR_RAP_OPTION", "not -1"],
    [{ timeout: "5" as never }, "ERR_RAP_OPTION", "not a string"],
    [{ target: "localhost:9000" }, "ERR_RAP_ADDRESS", "must begin with tcp://"],
    [{ target: ["tcp://a", "ftp://b"] }, "ERR_RAP_ADDRESS", "ftp://b"],
    [{ target: "memory://a" }, "ERR_RAP_ADDRESS", 'no transport for memory://a: give one in "transports"'],
    [{ target: 9000 as never }, "ERR_RAP_OPTION", "target of Client is an address, or a list of them, not 9000"],
    [{ target: ["tcp://a", 5 as never] }, "ERR_RAP_OPTION", "entry 1 of the option target of Client is a text"],
    [{ target: "tcp://a:0" }, "ERR_RAP_ADDRESS", "tcp://a:0 has no port to connect to"],
    [
      { keepalive: { interval: 0 } },
      "ERR_RAP_OPTION",
      "interval of keepalive is a positive number of milliseconds, not 0",
    ],
    [{ keepalive: { timeout: -5 } }, "ERR_RAP_OPTION", "timeout of keepalive is a positive number"],
    [{ keepalive: true as never }, "ERR_RAP_OPTION", "the options of keepalive are a record, not true"],
    [{ reconnect: { initial: NaN } }, "ERR_RAP_OPTION", "initial of reconnect"],
    [{ reconnect: { max: 0 } }, "ERR_RAP_OPTION", "max of reconnect"],
    [{ limits: [] as never }, "ERR_RAP_OPTION", "limits of Client is an object, not a list"],
    [{ transports: {} as never }, "ERR_RAP_OPTION", "transports of Client is a list, not an object"],
    [
      { transports: [{}] as never },
      "ERR_RAP_OPTION",
      "is a transport with a scheme and the method dial, not an object",
    ],
    [{ container: {} as never }, "ERR_RAP_OPTION", "container of Client is a container with the methods resolve"],
    [{ startEvents: [5] as never }, "ERR_RAP_LOAD", "events are a list of functions, and entry 0 is 5"],
    [{ limits: { nope: 1 } as never }, "ERR_RAP_LIMIT", 'no limit called "nope"'],
    [{ metadata: { "a b": "1" } }, "ERR_RAP_METADATA", "metadata key"],
    [{ metadata: { a: 1 as never } }, "ERR_RAP_METADATA", "must be a string"],
    [{ sslCertPath: "/nowhere/rap.crt" }, "ENOENT", "/nowhere/rap.crt"],
  ])("are refused when it is made: %o", (options, code, message) => {
    expect(() => new Client(options)).toThrow(refused(code, message));
  });

  test("an address of a scheme that is not ours goes to its transport as it is", async () => {
    const dialled: string[] = [];
    const dial = async (address: string) => {
      dialled.push(address);
      throw new Error("nobody there");
    };
    const listen = () => Promise.reject(new Error("not here"));
    const client = new Client({ target: "sim:a?b", transports: [{ scheme: "sim", dial, listen }] });
    await expect(client.start()).rejects.toThrow("nobody there");
    expect(dialled).toEqual(["sim:a?b"]);
    await client.stop();
  });

  test.each<[string, number]>([
    ["", 9_000],
    ["a b", 1],
    ["user@localhost", 1],
  ])("an address that is none is refused where it is added: %j %d", (host, port) => {
    expect(() => new Client().addConn(host, port)).toThrow(refused("ERR_RAP_ADDRESS", "is not a valid address"));
  });

  test.each([0, -1, 65_536, 1.5, NaN, undefined, null, "9e3", "65536", ""])("a port that is none: %p", (port) => {
    const message = "a port is a whole number from 1 to 65535, not ";
    expect(() => new Client().addConn("localhost", port as number)).toThrow(refused("ERR_RAP_ADDRESS", message));
  });

  test("sslCertPath goes with other options of TLS, such as the name of the server", async () => {
    const { ca, elsewhere } = await certificates();
    const sslCertPath = join(mkdtempSync(join(tmpdir(), "rap-")), "ca.crt");
    writeFileSync(sslCertPath, ca);
    const server = new Server({ tls: elsewhere }).register({ add: (a: number, b: number) => a + b });
    const { port } = await server.listen({ port: 0 });
    const client = new Client({ sslCertPath, tls: { servername: "example.org" } }).addConn("localhost", port);
    await client.start();
    expect(await client.invokeByName("add", [1, 2])).toBe(3);
    await client.stop();
    await server.shutdown();
    rmSync(dirname(sslCertPath), { recursive: true });
  });

  test("may all be left out", () => {
    expect(new Client().stats()).toEqual({ connections: 0, inFlight: 0, waiting: 0, timers: 0 });
    expect(() => new Client({ timeout: Infinity, keepalive: false, target: [] })).not.toThrow();
  });

  test("are refused for a part of the container that is none", () => {
    const container = createContainer();
    container.register(CODEC, { useValue: msgpack as never });
    expect(() => new Client({ container })).toThrow(
      refused("ERR_RAP_OPTION", "under rap.codec is a codec with the met"),
    );
  });

  test("give codec, clock and randomness from a container", async () => {
    const container = createContainer();
    const clock = new ManualClock();
    const codec = msgpack();
    const encode = jest.fn(codec.encode.bind(codec));
    container.register(CLOCK, { useValue: clock });
    container.register(RANDOM, { useValue: systemRandom });
    container.register(CODEC, { useValue: { name: codec.name, encode, decode: codec.decode.bind(codec) } });
    await using pair = await createTestPair(newServer(), { client: { container } });
    expect(await pair.client.invokeByName("add", [1, 2])).toBe(3);
    expect(encode).toHaveBeenCalledWith([1, 2], "args");
    expect(clock.timers).toBeGreaterThan(0);
  });

  test("send metadata with the handshake", async () => {
    const server = new Server().register({ who: () => context().conn.metadata?.get("tenant") });
    await using pair = await createTestPair(server, { client: { metadata: { tenant: "t1" } } });
    expect(await pair.client.invokeByName("who")).toBe("t1");
  });
});

describe("the life of a client", () => {
  const state = (message: string) => expect.objectContaining({ code: "ERR_RAP_STATE", message });

  test("begins with start: calls before it fail and say so", async () => {
    const client = new Client({ target: "tcp://localhost:1" });
    const early = expect.objectContaining({
      code: "FAILED_PRECONDITION",
      message: "the client is not started: await client.start() first",
      maybeExecuted: false,
    });
    await expect(client.invokeByName("f")).rejects.toEqual(early);
    await expect(client.register<() => number>("f")()).rejects.toEqual(early);
    await expect(client.registerGen<() => AsyncGenerator<number>>("g")().next()).rejects.toEqual(early);
    await expect(client.registerChannel<(c: Channel<1, 2>) => Promise<void>>("c").open()).rejects.toEqual(early);
    await expect(client.openSession()).rejects.toEqual(early);
    expect(client.stats().timers).toBe(0);
  });

  test("has one start and one stop", async () => {
    const pair = await createTestPair(newServer());
    await expect(pair.client.start()).rejects.toEqual(state("a client that is started cannot be started"));
    await Promise.all([pair.client.stop(), pair.client.stop()]);
    await pair.client.stop();
    await pair.client[Symbol.asyncDispose]();
    await expect(pair.client.start()).rejects.toEqual(state("a client that is stopped cannot be started"));
    await expect(pair.client.invokeByName("add", [1, 2])).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: "the client is stopped",
      maybeExecuted: false,
    });
    expect(pair.client.stats()).toEqual({ connections: 0, inFlight: 0, waiting: 0, timers: 0 });
    await pair[Symbol.asyncDispose]();
  });

  test("can be over before it has begun", async () => {
    const client = new Client();
    await client.stop();
    await expect(client.start()).rejects.toEqual(state("a client that is stopped cannot be started"));
  });

  test("can begin again when no address could be reached", async () => {
    const world = memory();
    const client = new Client({ target: "memory://late", transports: [world] });
    await expect(client.start()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("cannot connect to memory://late"),
      maybeExecuted: false,
    });
    expect(client.stats()).toEqual({ connections: 0, inFlight: 0, waiting: 0, timers: 0 });
    await using server = newServer();
    await server.listen({ transport: world, address: "memory://late" });
    await client.start();
    expect(await client.invokeByName("add", [1, 2])).toBe(3);
    await client.stop();
  });

  test("is over for good when it is stopped while it starts", async () => {
    const world = memory();
    await using server = newServer();
    await server.listen({ transport: world, address: "memory://slow" });
    world.stall();
    const client = new Client({ target: "memory://slow", transports: [world] });
    const starting = client.start();
    const failed = expect(starting).rejects.toMatchObject({ code: "UNAVAILABLE", message: "the client was stopped" });
    await new Promise((resolve) => setImmediate(resolve));
    await client.stop();
    await failed;
    world.heal();
    await expect(client.start()).rejects.toEqual(state("a client that is stopped cannot be started"));
    await expect(client.invokeByName("add")).rejects.toMatchObject({ message: "the client is stopped" });
  });

  test("ends after the calls that run, within the grace, and cancels the rest", async () => {
    const clock = new ManualClock();
    const container = createContainer().register(CLOCK, { useValue: clock });
    await using pair = await createTestPair(newServer(), { client: { container } });
    const long = pair.client.invokeByName("untilAborted");
    const short = pair.client.invokeByName("add", [1, 2]);
    const stopped = pair.client.stop({ graceMs: 20 });
    expect(await short).toBe(3);
    clock.advance(25);
    await expect(long).rejects.toMatchObject({ code: "UNAVAILABLE", maybeExecuted: true });
    await stopped;
  });

  test("may have calls that wait when it ends: they fail at once, and never ran", async () => {
    const world = memory();
    await using server = newServer();
    await server.listen({ transport: world, address: "memory://a" });
    const client = await new Client({
      target: "memory://a",
      transports: [world],
      reconnect: { initial: 60_000, max: 60_000 },
    }).start();
    const lost = new Promise((resolve) => client.on("disconnect", resolve));
    world.cut();
    await lost;
    const call = client.invokeByName("add", [1, 2]);
    expect(client.stats().waiting).toBe(1);
    const failed = expect(call).rejects.toMatchObject({ code: "UNAVAILABLE", maybeExecuted: false });
    await client.stop();
    await failed;
  });
});

describe("withCallOptions", () => {
  test("holds for every call made inside, however deep, and no longer", async () => {
    await using pair = await createTestPair(newServer());
    const seen = pair.client.register<Functions["seen"]>("seen");
    const later = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return seen();
    };
    const inside = await withCallOptions({ timeout: 4_000, metadata: { tenant: "t1" } }, later);
    expect(inside.metadata).toEqual([["tenant", "t1"]]);
    expect(inside.left).toBeLessThanOrEqual(4_000);
    const outside = await seen();
    expect([outside.metadata, outside.left! > 4_000]).toEqual([[], true]);
  });

  test("adds up when it is nested, and gives way to what a call says itself", async () => {
    await using pair = await createTestPair(newServer());
    const seen = pair.client.register<Functions["seen"]>("seen");
    const found = await withCallOptions({ timeout: 20_000, metadata: { a: "1", b: "1" } }, () =>
      withCallOptions({ metadata: { b: "2", c: "2" } }, () => seen.with({ metadata: { c: "3" }, timeout: 10_000 })()),
    );
    expect(new Map(found.metadata)).toEqual(
      new Map([
        ["a", "1"],
        ["b", "2"],
        ["c", "3"],
      ]),
    );
    expect(found.left).toBeLessThanOrEqual(10_000);
  });

  test("cancels the calls made inside when its signal fires", async () => {
    await using pair = await createTestPair(newServer());
    const abort = new AbortController();
    const call = withCallOptions({ signal: abort.signal }, () => pair.client.invokeByName("untilAborted"));
    abort.abort(new Error("enough"));
    await expect(call).rejects.toMatchObject({ code: "CANCELLED", message: "the call was aborted: enough" });
    await expect(
      withCallOptions({ signal: abort.signal }, () => pair.client.invokeByName("add", [1, 2])),
    ).rejects.toMatchObject({ code: "CANCELLED", maybeExecuted: false });
  });

  test("cancels by the signals of all that are around a call", async () => {
    await using pair = await createTestPair(newServer());
    for (const which of [0, 1]) {
      const aborts = [new AbortController(), new AbortController()] as const;
      const call = withCallOptions({ signal: aborts[0].signal }, () =>
        withCallOptions({ signal: aborts[1].signal }, () => pair.client.invokeByName("untilAborted")),
      );
      aborts[which]!.abort();
      await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
    }
  });

  test("gives back what its function gives, and refuses a timeout that is none", () => {
    expect(withCallOptions({}, () => 5)).toBe(5);
    expect(() => withCallOptions({ timeout: NaN }, () => 5)).toThrow(
      expect.objectContaining({ code: "ERR_RAP_OPTION" }),
    );
  });
});

describe("events", () => {
  test("tell of connections that come, go and come back, with their address", async () => {
    await using pair = await createTestPair(newServer(), { client: { reconnect: { initial: 1, max: 1 } } });
    const { client } = pair;
    const events: unknown[] = [];
    client.on("disconnect", (event) => events.push(["disconnect", event]));
    const back = new Promise((resolve) => client.on("reconnect", resolve));
    pair.cut();
    expect(await back).toEqual({ address: "memory://test-pair" });
    expect(events).toEqual([
      ["disconnect", { address: "memory://test-pair", error: expect.objectContaining({ code: "UNAVAILABLE" }) }],
    ]);
    expect(await client.invokeByName("add", [1, 2])).toBe(3);
  });

  test("tell of the first connection, to who listens before the start", async () => {
    const world = memory();
    await using server = newServer();
    await server.listen({ transport: world, address: "memory://a" });
    await using client = new Client({ target: "memory://a", transports: [world] });
    const events: unknown[] = [];
    client.on("connect", (event) => events.push(event));
    client.on("reconnect", () => events.push("again"));
    await client.start();
    expect(events).toEqual([{ address: "memory://a" }]);
  });

  test("are not told to who has left, and a listener that throws disturbs nobody", async () => {
    const world = memory();
    await using server = newServer();
    await server.listen({ transport: world, address: "memory://a" });
    await using client = new Client({ target: "memory://a", transports: [world] });
    const events: string[] = [];
    const left = client.on("connect", () => events.push("left"));
    left[Symbol.dispose]();
    left[Symbol.dispose]();
    client.on("connect", () => {
      throw new Error("a bug in a listener");
    });
    client.on("connect", () => events.push("told"));
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    await client.start();
    expect(events).toEqual(["told"]);
    expect(warn.mock.calls).toEqual([[expect.objectContaining({ message: "a bug in a listener" }), expect.anything()]]);
    warn.mockRestore();
  });
});

describe("a call", () => {
  test("has 30 s by default, which client, function and call can change", async () => {
    const left = async (options: ClientOptions, call: { timeout?: number } = {}) => {
      await using pair = await createTestPair(newServer(), { client: options });
      return (await pair.client.register<Functions["seen"]>("seen", call)()).left;
    };
    const near = (value: number | undefined, most: number) => {
      expect(value).toBeLessThanOrEqual(most);
      expect(value).toBeGreaterThan(most * 0.8);
    };
    near(await left({}), LIMITS.timeout);
    near(await left({ timeout: 5_000 }), 5_000);
    near(await left({ limits: { timeout: 6_000 } }), 6_000);
    near(await left({ timeout: 5_000 }, { timeout: 50_000 }), 50_000);
  });

  test("that the server answers twice fails: one result is due", async () => {
    const world = memory();
    let peer: RawPeer | undefined;
    const listener = await world.listen("memory://a", (socket) => {
      peer = new RawPeer(socket);
      peer.write(PREAMBLE);
      peer.send({ kind: "hello", hello: helloOf() });
    });
    await using client = await new Client({ target: "memory://a", transports: [world] }).start();
    const call = client.invokeByName("f");
    peer!.send(
      { kind: "data", id: 1, body: Uint8Array.of(1) },
      { kind: "data", id: 1, body: Uint8Array.of(2), end: true },
    );
    await expect(call).rejects.toMatchObject({
      code: "INTERNAL",
      message: "default/f has one result, but the server sent another",
    });
    const empty = client.invokeByName("f");
    peer!.send({ kind: "end", id: 3 });
    await expect(empty).rejects.toMatchObject({ code: "INTERNAL", message: "default/f ended without a result" });
    await client.stop({ graceMs: 0 });
    await listener.close();
  });

  test("that is given a timeout that is none is refused", async () => {
    const client = new Client();
    const refused = expect.objectContaining({ code: "ERR_RAP_OPTION" });
    expect(() => client.register<() => void>("f").with({ timeout: "5" as never })).toThrow(refused);
    await expect(client.invokeByName("f", [], { timeout: NaN })).rejects.toEqual(refused);
  });

  test("finds room in the smallest frames with all the metadata there may be, each way, whatever its size", async () => {
    // Half a hundred entries whose heads are not counted, so that the block is longer than its limit.
    const full: Record<string, string> = { long: "x".repeat(4_000) };
    for (let n = 0; n < 62; n++) full[`key${n}`] = "x".repeat(60 - String(n).length);
    const fill = (metadata: Metadata) => {
      for (const [key, value] of Object.entries(full)) metadata.set(key, value);
    };
    const least = { maxFrameBytes: 80 * 1024 };
    const server = new Server({ limits: least }).register({
      echo(text: string) {
        fill(context().responseHeaders);
        fill(context().responseTrailers);
        return text;
      },
      fail(text: string) {
        throw new RapError("NOT_FOUND", "no such thing", { data: text, metadata: new Metadata(full) });
      },
    });
    const processor = () => ({
      onRequest: (message: Envelope) => message,
      onResponse(message: Envelope) {
        if (message.metadata.size === 0) fill(message.metadata);
        return message;
      },
    });
    server.loadProcessor([processor()]);
    await using pair = await createTestPair(server, { client: { limits: least } });
    for (const size of [
      0, 100, 7_900, 8_100, 16_000, 17_000, 57_000, 65_400, 65_530, 65_536, 65_540, 73_000, 200_000,
    ]) {
      const text = "x".repeat(size);
      const answer: Metadata[] = [];
      const told = { onHeaders: (m: Metadata) => answer.push(m), onTrailers: (m: Metadata) => answer.push(m) };
      expect(await pair.client.invokeByName("echo", [text], { metadata: full, ...told })).toBe(text);
      expect(answer.map((metadata) => metadata.size)).toEqual([63, 63]);
      await expect(pair.client.invokeByName("fail", [text], { metadata: full })).rejects.toMatchObject({
        code: "NOT_FOUND",
        data: size < 48_000 ? text : undefined,
      });
    }
    expect(pair.server.stats().ended).toEqual({});
    expect(pair.client.stats().ended).toBeUndefined();
  });

  test("gets headers and trailers told, and its arguments by name where there are names", async () => {
    const server = new Server();
    server.register(
      function minus(a: number, b: number) {
        context().responseHeaders.set("h", "1");
        context().responseTrailers.set("t", "2");
        return a - b;
      },
      { params: ["a", "b"] },
    );
    await using pair = await createTestPair(server);
    const told: (Metadata | string)[] = [];
    const options = { onHeaders: (m: Metadata) => told.push(m), onTrailers: (m: Metadata) => told.push(m) };
    expect(await pair.client.invokeByName("minus", { b: 1, a: 5 }, options)).toBe(4);
    expect(told.map((metadata) => JSON.stringify(metadata))).toEqual(['{"h":"1"}', '{"t":"2"}']);
  });

  test("whose callback throws fails alone, whatever it throws", async () => {
    const server = new Server().register({
      head: () => {
        context().responseHeaders.set("h", "1");
        return 1;
      },
    });
    await using pair = await createTestPair(server);
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error("do not look at me");
        },
      },
    );
    const onHeaders = () => {
      throw hostile;
    };
    const { connections } = pair.server.stats();
    await expect(pair.client.invokeByName("head", [], { onHeaders })).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await pair.client.invokeByName("head")).toBe(1);
    expect([pair.client.stats().ended, connections]).toEqual([undefined, 1]);
  });
});

test("the version that a client says of itself is that of its package", async () => {
  const { version } = JSON.parse(readFileSync(`${__dirname}/../package.json`, "utf8")) as { version: string };
  const server = new Server().register({ info: () => "" });
  await using pair = await createTestPair(server);
  const source = readFileSync(`${__dirname}/../src/client.ts`, "utf8");
  expect(source).toContain(`rap-js/${version}`);
  expect(await pair.client.invokeByName("info")).toBe("");
});

describe("what is given by mistake is refused at once, by what it should be", () => {
  const client = new Client() as unknown as Record<string, (...args: unknown[]) => unknown>;
  test.each([
    ["use", [3], "ERR_RAP_LOAD"],
    ["loadProcessor", [{ onRequest: () => undefined }], "ERR_RAP_LOAD"],
    ["loadBeforeStartEvent", [() => undefined], "ERR_RAP_LOAD"],
    ["loadAfterStopEvent", [[3]], "ERR_RAP_LOAD"],
    ["addConn", [undefined, 9000], "ERR_RAP_ADDRESS"],
    ["service", ["default", { list: "generator" }], "ERR_RAP_REGISTER"],
  ])("%s(%p)", (method, args, code) => {
    expect(() => client[method]!(...args)).toThrow(expect.objectContaining({ name: "TypeError", code }));
  });

  test("a channel without a function", async () => {
    const echo = new Client().registerChannel<(channel: Channel) => Promise<void>>(
      "echo",
    ) as unknown as () => Promise<void>;
    await expect(echo()).rejects.toMatchObject({ name: "TypeError", code: "ERR_RAP_CALL" });
  });
});
