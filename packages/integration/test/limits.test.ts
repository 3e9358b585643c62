import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { CLOCK, RANDOM } from "@rap/core";
import { createContainer } from "@rap/core/container";
import {
  type Frame,
  GoawayCode,
  HEAD_BYTES,
  Kind,
  LIMITS,
  type Limits,
  msgpack,
  PREAMBLE,
  Shape,
  systemRandom,
  writeHead,
} from "@rap/protocol";
import { Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { memory } from "@rap/transport";
import { helloOf, RawPeer } from "../../transport/test/link";

/** Where a test holds a limit below, at and beyond its number, or measures the time that it gives. */
const TESTED: Record<keyof Limits, readonly [file: string, title: string]> = {
  maxFrameBytes: ["protocol/test/framing.test.ts", "of the limit passes, and of one more does not"],
  maxHandshakeBytes: ["rapspec/src/server-greetings.ts", "16 * KiB + 1"],
  maxMessageBytes: ["transport/test/stream.test.ts", "that are larger than this side takes end the stream"],
  fragmentBytes: ["transport/test/outbox.test.ts", "travel in parts of 64 KiB"],
  handshakeTimeout: ["transport/test/connection.test.ts", "has 5 s, however many bytes come meanwhile"],
  frameTimeout: ["transport/test/keepalive.test.ts", "is waited for 30 s from its first byte"],
  serverIdleTimeout: ["transport/test/keepalive.test.ts", '["server", LIMITS.serverIdleTimeout]'],
  clientIdleTimeout: ["transport/test/keepalive.test.ts", '["client", LIMITS.clientIdleTimeout]'],
  keepaliveInterval: ["transport/test/keepalive.test.ts", "is asked for a sign of life after 30 s"],
  keepaliveTimeout: ["transport/test/keepalive.test.ts", "has 10 s to give one"],
  pingBurst: ["transport/test/connection.test.ts", "may ping ten times at once"],
  pingsPerSecond: ["transport/test/connection.test.ts", "and once every five seconds"],
  pingStrikes: ["transport/test/connection.test.ts", "is let go after three too many"],
  maxUnsentReplies: ["transport/test/connection.test.ts", "is not read from while it takes no answers"],
  glitchBurst: ["transport/test/connection.test.ts", "may be odd 200 times at once"],
  glitchesPerSecond: ["transport/test/connection.test.ts", "and 20 times a second"],
  maxInFlight: ["server/test/limits.test.ts", "one below and at the limit they run, one over it they are refused"],
  maxStreams: ["server/test/limits.test.ts", "%s is a limit of its own among them"],
  maxChannels: ["server/test/limits.test.ts", "%s is a limit of its own among them"],
  maxSessions: ["integration/test/limits.test.ts", "maxSessions"],
  maxServerInFlight: ["server/test/limits.test.ts", "over all connections: refused with a hint"],
  maxQueuedCalls: ["client/test/pool.test.ts", "maxQueuedCalls: 2"],
  refusedBurst: ["server/test/limits.test.ts", "not at the limit of its refusals, but one over it"],
  refusedPerSecond: ["rapspec/src/server-calls.ts", "refusedPerSecond: 1"],
  cancelBurst: ["server/test/limits.test.ts", "cancelBurst: 3"],
  cancelsPerSecond: ["server/test/limits.test.ts", "cancelsPerSecond: 0.001"],
  maxStreamId: ["transport/test/connection.test.ts", "is used up with the ids"],
  streamWindowBytes: ["transport/test/credit.test.ts", "takes what was granted and not one byte or message more"],
  streamWindowMessages: ["transport/test/stream.test.ts", "bounds small messages by their number"],
  connectionWindowBytes: [
    "transport/test/connection.test.ts",
    "and sends without credit is let go, on a stream and on the",
  ],
  writeQueueSoftBytes: [
    "transport/test/connection.test.ts",
    "is not read from by a server with more than 1 MiB for it",
  ],
  writeQueueHardBytes: ["transport/test/connection.test.ts", "is let go at 16 MiB that it does not take"],
  writeStallTimeout: ["transport/test/keepalive.test.ts", "is given 10 s without one byte taken"],
  processWriteQueueBytes: ["server/test/limits.test.ts", "over the limit of bytes that peers do not take"],
  processReceiveBytes: ["server/test/limits.test.ts", "over the limit of unfinished messages"],
  maxConnections: ["server/test/admission.test.ts", '["maxConnections", { maxConnections: 5 }'],
  maxConnectionsPerIp: ["server/test/admission.test.ts", '["maxConnectionsPerIp", { maxConnectionsPerIp: 5 }'],
  maxHandshakesPerIp: ["server/test/admission.test.ts", '["maxHandshakesPerIp", { maxHandshakesPerIp: 5 }'],
  maxHandshakes: ["server/test/admission.test.ts", '["maxHandshakes", { maxHandshakes: 5 }'],
  acceptBurst: ["server/test/admission.test.ts", '["acceptsPerSecond", { acceptBurst: 5 }'],
  acceptsPerSecond: ["server/test/admission.test.ts", "or time has passed"],
  metadataEntries: ["protocol/test/metadata.test.ts", "64 entries pass, and no more"],
  metadataKeyBytes: ["protocol/test/metadata.test.ts", "the largest key and values pass"],
  metadataValueBytes: ["protocol/test/metadata.test.ts", "the largest key and values pass"],
  metadataBytes: ["protocol/test/metadata.test.ts", "8 KiB in all pass, and no more"],
  maxNameBytes: ["integration/test/limits.test.ts", "maxNameBytes"],
  maxDepth: ["protocol/test/scan.test.ts", "allow maxDepth levels of any container and not one more"],
  maxDecodeBytes: ["protocol/test/scan.test.ts", "count the memory of all containers together"],
  maxMapEntries: ["protocol/test/scan.test.ts", "allow maxMapEntries entries of an object, a Map, a Set, and not one"],
  timeout: ["integration/test/deadlines-and-cancel.test.ts", "is 30 s by default"],
  maxTimeout: ["integration/test/deadlines-and-cancel.test.ts", "may be as long as the server allows"],
  generatorReturnTimeout: ["server/test/limits.test.ts", "is abandoned after a while, so that its place is free"],
  connectTimeout: ["testing/test/test-pair.test.ts", "connectTimeout: 1"],
  reconnectInitialBackoff: ["client/test/backoff.test.ts", "is anything up to the initial one at first"],
  reconnectMaxBackoff: ["client/test/backoff.test.ts", "then grows by 1.6 each time, up to 30 s"],
  reconnectMultiplier: ["client/test/backoff.test.ts", "then grows by 1.6 each time, up to 30 s"],
  reconnectJitter: ["client/test/backoff.test.ts", "is spread by a fifth either way"],
  reconnectResetAfter: ["integration/test/limits.test.ts", "reconnectResetAfter: a connection"],
  goawayPause: ["transport/test/connection.test.ts", "takes the second step after a second"],
  shutdownGrace: ["integration/test/limits.test.ts", "shutdownGrace"],
  abortGrace: ["integration/test/shutdown.test.ts", "abortGrace: 100"],
  logLinesPerSecond: ["server/test/limits.test.ts", "no more lines are logged than the limit"],
  logStringLength: ["core/test/logger.test.ts", "cuts strings at 256 characters"],
};

test.each(Object.keys(LIMITS) as (keyof Limits)[])("the limit %s is tested where the table says", (limit) => {
  const [file, title] = TESTED[limit];
  expect(readFileSync(join(__dirname, "../..", file), "utf8")).toContain(title);
});

test("docs/limits.md has every limit, with its default, and names no counter that there is not", () => {
  const page = readFileSync(join(__dirname, "../../../docs/limits.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| ([\d .]+) \| .+ \| (.*) ?\|$/gm)];
  expect(Object.fromEntries(rows.map(([, name, number]) => [name, Number(number!.replaceAll(" ", ""))]))).toEqual(
    LIMITS,
  );
  const { rejected, refused } = new Server().stats();
  for (const [, , , counter] of rows) {
    const [, kind, key] = /^`(\w+)\.(\w+)`/.exec(counter!) ?? [];
    if (kind !== undefined) expect({ rejected, refused, ended: GoawayCode }[kind]).toHaveProperty(key!);
  }
});

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Lets everything that is on its way arrive. */
const settle = async () => {
  for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A server, and a peer that sends it whatever the test wants. */
async function raw(limits: Partial<Limits>, greets = true) {
  const clock = new ManualClock();
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const server = new Server({ limits, container, logger: silent });
  server.register({ hang: () => new Promise<void>(() => {}), echo: (value: unknown) => value });
  const world = memory();
  await server.listen({ transport: world, address: "memory://raw" });
  const peer = new RawPeer(await world.dial("memory://raw"));
  if (greets) {
    peer.write(PREAMBLE);
    peer.send({ kind: "hello", hello: helloOf() });
  }
  await settle();
  stops.push(async () => {
    const stopped = server.shutdown({ graceMs: 0 });
    peer.socket.destroy();
    await settle();
    clock.advance(10_000);
    await stopped;
  });
  return { server, clock, peer };
}

const ping: Frame = { kind: "ping", data: new Uint8Array(8) };
const odd: Frame = { kind: "credit", id: 0, bytes: 0, messages: 0 };
/** The head of a frame of so many bytes of payload, and none of them. */
const head = (kind: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(HEAD_BYTES);
  writeHead(bytes, 0, length, kind, 0, kind === Kind.HELLO ? 0 : 1);
  return bytes;
};

describe("below and at its limit nothing happens, and one over it a connection ends and is counted:", () => {
  const times = (count: number, frame: Frame) => (peer: RawPeer) => {
    for (let n = 0; n < count; n++) peer.send(frame);
  };

  test.each<[string, Partial<Limits>, (more: number) => (peer: RawPeer) => void, string]>([
    ["pings", { pingBurst: 5, pingStrikes: 1, pingsPerSecond: 0.001 }, (n) => times(6 + n, ping), "TOO_MANY_PINGS"],
    ["odd frames", { glitchBurst: 5, glitchesPerSecond: 0.001 }, (n) => times(5 + n, odd), "TOO_MANY_GLITCHES"],
    [
      "bytes of a frame",
      { maxFrameBytes: 100_000 },
      (n) => (peer) => peer.write(head(Kind.OPEN, 100_000 + n)),
      "FRAME_TOO_LARGE",
    ],
  ])("%s", async (_what, limits, play, reason) => {
    for (const more of [-1, 0, 1]) {
      const { server, peer } = await raw(limits);
      play(more)(peer);
      await settle();
      expect(server.stats()).toMatchObject({ connections: more === 1 ? 0 : 1 });
      expect(server.stats().ended).toEqual(more === 1 ? { [reason]: 1 } : {});
    }
  });

  test("bytes of a frame before the handshake", async () => {
    for (const more of [-1, 0, 1]) {
      const { server, peer } = await raw({}, false);
      peer.write(PREAMBLE);
      peer.write(head(Kind.HELLO, LIMITS.maxHandshakeBytes + more));
      await settle();
      expect(server.stats().connections).toBe(more === 1 ? 0 : 1);
      expect(server.stats().ended).toEqual(more === 1 ? { FRAME_TOO_LARGE: 1 } : {});
    }
  });

  test("the time of a handshake", async () => {
    const { server, clock, peer } = await raw({}, false);
    peer.write(PREAMBLE);
    clock.advance(LIMITS.handshakeTimeout - 500);
    await settle();
    expect(server.stats()).toMatchObject({ connections: 1, ended: {} });
    clock.advance(1_000);
    await settle();
    expect(server.stats()).toMatchObject({ connections: 0, ended: { HANDSHAKE_FAILED: 1 } });
  });
});

describe("what is refused is counted by its limit:", () => {
  test.each<[keyof Limits, Shape, string]>([
    ["maxInFlight", Shape.UNARY, "hang"],
    ["maxServerInFlight", Shape.UNARY, "hang"],
    ["maxStreams", Shape.SERVER_STREAM, "hang"],
    ["maxChannels", Shape.CHANNEL, "talk"],
  ])("%s", async (limit, shape, name) => {
    const { server, peer } = await raw({ [limit]: 3 });
    server.registerChannel(() => new Promise<void>(() => {}), { name: "talk" });
    const open = (id: number): Frame => ({
      kind: "open",
      id,
      shape,
      target: `default/${name}`,
      body: shape === Shape.CHANNEL ? new Uint8Array() : msgpack().encode([]),
      end: shape !== Shape.CHANNEL,
    });
    for (let n = 0; n < 3; n++) peer.send(open(2 * n + 1));
    await settle();
    expect(server.stats().inFlight).toBe(3);
    expect(server.stats().refused[limit as "maxInFlight"]).toBe(0);
    peer.send(open(7), open(9));
    await settle();
    expect(server.stats().inFlight).toBe(3);
    expect(server.stats().refused).toEqual({
      maxInFlight: 0,
      maxServerInFlight: 0,
      maxStreams: 0,
      maxChannels: 0,
      maxSessions: 0,
      [limit]: 2,
    });
    expect(peer.of("reset").map(({ id }) => id)).toEqual([7, 9]);
  });

  test("maxSessions", async () => {
    const server = new Server({ limits: { maxSessions: 2 }, logger: silent });
    await using pair = await createTestPair(server);
    const [first] = [await pair.client.openSession(), await pair.client.openSession()];
    await expect(pair.client.openSession()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(server.stats().refused.maxSessions).toBe(1);
    await first!.close();
    await (await pair.client.openSession()).close();
  });

  test("maxQueuedCalls, in the client", async () => {
    await using server = new Server({ limits: { maxInFlight: 1 }, logger: silent });
    const waiting: (() => void)[] = [];
    server.register({ hang: () => new Promise<void>((resolve) => void waiting.push(resolve)) });
    await using pair = await createTestPair(server, { client: { limits: { maxQueuedCalls: 2 } } });
    const calls = [1, 2, 3].map(() => pair.client.invokeByName("hang"));
    expect(pair.client.stats()).toMatchObject({ waiting: 2 });
    expect(pair.client.stats().refused).toBeUndefined();
    await expect(pair.client.invokeByName("hang")).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(pair.client.stats().refused).toBe(1);
    for (let ended = 0; ended < 3; ended++) {
      while (waiting.length === 0) await settle();
      waiting.shift()!();
    }
    await Promise.all(calls);
  });

  test("connections that servers end are counted by a client, too", async () => {
    const server = new Server({ logger: silent });
    await using pair = await createTestPair(server);
    expect(pair.client.stats().ended).toBeUndefined();
    for (const conn of server.connections()) await conn.close("enough");
    await settle();
    expect(pair.client.stats().ended).toEqual({ REFUSED: 1 });
  });
});

describe("a call fails alone, and its connection lives, with", () => {
  test.each<[string, (client: Client, more: number) => Promise<unknown>]>([
    ["a message over maxMessageBytes", (client, n) => client.invokeByName("length", ["x".repeat(9_996 + n)])],
    ["a result over maxMessageBytes", (client, n) => client.invokeByName("text", [9_997 + n])],
    ["a value deeper than maxDepth", (client, n) => client.invokeByName("echo", [nested(9 + n)])],
    ["more entries than maxMapEntries", (client, n) => client.invokeByName("echo", [entries(100 + n)])],
  ])("%s", async (_what, call) => {
    const limits = { maxMessageBytes: 10_000, maxDepth: 10, maxMapEntries: 100 };
    const server = new Server({ limits, logger: silent }).register({
      length: (text: string) => text.length,
      text: (length: number) => "x".repeat(length),
      echo: (value: unknown) => value,
    });
    // The client is as strict: what it takes is its own to bound.
    await using pair = await createTestPair(server, { client: { limits } });
    await call(pair.client, -1);
    await call(pair.client, 0);
    await expect(call(pair.client, 1)).rejects.toMatchObject({
      code: expect.stringMatching(/^(RESOURCE_EXHAUSTED|INVALID_ARGUMENT|INTERNAL)$/),
    });
    expect(await pair.client.invokeByName("length", ["abc"])).toBe(3);
    expect(server.stats()).toMatchObject({ connections: 1, ended: {} });
  });
});

test("maxNameBytes: a name or group of 255 and 256 characters is registered and called, of 257 neither", async () => {
  const server = new Server({ logger: silent });
  const name = (length: number) => "n".repeat(length);
  for (const length of [LIMITS.maxNameBytes - 1, LIMITS.maxNameBytes]) {
    server.register({ [name(length)]: () => length }, { group: name(length) });
  }
  const refused = expect.objectContaining({ code: "ERR_RAP_REGISTER" });
  expect(() => server.register({ [name(257)]: () => 1 })).toThrow(refused);
  expect(() => server.register({ f: () => 1 }, { group: name(257) })).toThrow(refused);
  await using pair = await createTestPair(server);
  expect(await pair.client.invokeByName(name(255), [], { group: name(255) })).toBe(255);
  expect(await pair.client.invokeByName(name(256), [], { group: name(256) })).toBe(256);
  const long = pair.client.invokeByName(name(257), [], { group: name(256) });
  await expect(long).rejects.toMatchObject({ code: "ERR_RAP_REGISTER" });
});

test("shutdownGrace is what a stop gives calls when nobody says otherwise", async () => {
  const { server, clock, peer } = await raw({ shutdownGrace: 5_000 });
  peer.send({ kind: "open", id: 1, shape: Shape.UNARY, target: "default/hang", body: msgpack().encode([]), end: true });
  await settle();
  const stopped = server.shutdown();
  await settle();
  clock.advance(4_999);
  await settle();
  expect(peer.of("reset")).toEqual([]);
  clock.advance(2);
  await settle();
  expect(peer.of("reset")).toHaveLength(1);
  clock.advance(LIMITS.abortGrace + 1);
  await settle();
  await stopped;
});

test("reconnectResetAfter: a connection that lived that long, and no shorter one, makes the client try as if for the first time", async () => {
  const clock = new ManualClock();
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  container.register(RANDOM, { useValue: { ...systemRandom, float: () => 0.5 } });
  const server = new Server({ logger: silent });
  const world = memory();
  await server.listen({ transport: world, address: "memory://a" });
  const limits = { reconnectInitialBackoff: 1_000, reconnectMultiplier: 2 };
  const client = new Client({ target: "memory://a", transports: [world], container, limits });
  await client.start();
  const waited = async () => {
    world.cut();
    await settle();
    let ms = 0;
    for (; client.stats().connections === 0; ms += 100) {
      clock.advance(100);
      await settle();
    }
    return ms;
  };
  expect([await waited(), await waited()]).toEqual([500, 2_000]);
  clock.advance(LIMITS.reconnectResetAfter - 1_000);
  expect(await waited()).toBe(4_000);
  clock.advance(LIMITS.reconnectResetAfter);
  expect(await waited()).toBe(500);
  await client.stop();
  await server.shutdown();
});

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}

function entries(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, n]));
}
