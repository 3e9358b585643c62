import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, describe, expect, test } from "@jest/globals";
import { encodeFrame, GoawayCode, LIMITS, type Limits, Metadata, RapError, Shape } from "@rap/protocol";
import type { Connection } from "../src/connection";
import type { Stream } from "../src/stream";
import { WheelEntry } from "../src/wheel";
import { open, pattern, type RawLink, RecordingSink, World } from "./link";

const KiB = 1024;
const MB = 1_000_000;
/** Milliseconds between two looks at a connection. */
const LOOK = 2_600;

/** Results that wait are counted for the whole process: none may stay behind. */
const connections: Connection[] = [];
afterEach(() => {
  for (const connection of connections.splice(0)) connection.abort(GoawayCode.NO_ERROR, "the test is over");
});

/** A server's connection that has so many calls to answer. */
async function answering(
  world: World,
  limits: Partial<Limits>,
  calls = 1,
): Promise<RawLink & { results: readonly Stream[] }> {
  const link = await world.rawReady("server", { limits });
  connections.push(link.connection);
  for (let n = 0; n < calls; n++) {
    const body = new Uint8Array(0);
    link.peer.send({ kind: "open", id: 2 * n + 1, shape: Shape.UNARY, target: "default/f", body, end: true });
  }
  await world.settle();
  return { ...link, results: link.host.sinks.map(({ stream }) => stream) };
}

describe("results that wait for longer than peers have to take them", () => {
  /** Lets time go by in which the peers take ten bytes a second each. */
  async function trickle(world: World, ms: number, ...links: RawLink[]): Promise<void> {
    for (const { peer } of links) {
      const { onData } = peer;
      peer.onData = (bytes) => {
        onData(bytes);
        peer.socket.pause();
      };
    }
    for (let left = ms; left > 0; left -= 1_000) {
      for (const { peer } of links) peer.socket.resume();
      await world.pass(Math.min(left, 1_000));
    }
  }

  const slow = () => new World({ highWaterMark: 1_000, chunk: 10 });
  const ended = expect.stringContaining("bytes that peers do not take need too much memory");

  test("cost the connection, though not while the process had no time for its peer", async () => {
    const world = slow();
    const link = await answering(world, { processWriteQueueBytes: MB });
    link.peer.socket.pause();
    link.results[0]!.send(pattern(2 * MB), true);
    class Busy extends WheelEntry {
      override expire(): void {
        world.clock.advance(LIMITS.writeStallTimeout + 2_000);
      }
    }
    world.wheel.add(new Busy(), 100);
    await trickle(world, 3_000, link);
    expect(world.clock.now()).toBeGreaterThan(LIMITS.writeStallTimeout + 2_000);
    expect(link.host.events).toEqual(["ready"]);
    await trickle(world, LIMITS.writeStallTimeout + LOOK, link);
    expect(link.host.events).toEqual(["ready", ended]);
  });

  test("cost it whatever other connections of the process end meanwhile", async () => {
    const world = slow();
    const link = await answering(world, { processWriteQueueBytes: MB });
    const { connection: client } = await world.rawReady("client");
    const { connection: idle } = await world.rawReady("server");
    link.peer.socket.pause();
    link.results[0]!.send(pattern(2 * MB), true);
    await trickle(world, LIMITS.writeStallTimeout / 2, link);
    client.close(GoawayCode.NO_ERROR, "");
    idle.close(GoawayCode.NO_ERROR, "");
    await trickle(world, LIMITS.writeStallTimeout / 2 + LOOK, link);
    expect(link.host.events).toEqual(["ready", ended]);
  });

  test("cost it whatever servers of the same process with higher limits do meanwhile", async () => {
    const world = slow();
    const link = await answering(world, { processWriteQueueBytes: MB });
    const other = await answering(world, { processWriteQueueBytes: 100 * MB });
    for (const { peer } of [link, other]) peer.socket.pause();
    link.results[0]!.send(pattern(2 * MB), true);
    await trickle(world, LIMITS.writeStallTimeout / 2, link);
    other.results[0]!.send(pattern(MB), true);
    await trickle(world, LIMITS.writeStallTimeout / 2 + LOOK, link, other);
    expect([link.host.events, other.host.events]).toEqual([["ready", ended], ["ready"]]);
  });

  test("cost no connection of a server with a higher limit, though it has more that waits", async () => {
    const world = slow();
    const low = await answering(world, { processWriteQueueBytes: MB });
    const high = await answering(world, { processWriteQueueBytes: 100 * MB });
    for (const { peer } of [low, high]) peer.socket.pause();
    low.results[0]!.send(pattern(1.5 * MB), true);
    high.results[0]!.send(pattern(3 * MB), true);
    await trickle(world, LIMITS.writeStallTimeout + LOOK, low, high);
    expect([low.host.events, high.host.events]).toEqual([["ready", ended], ["ready"]]);
  });

  test("are those of servers with the same limit: where others have much that waits there is time as ever", async () => {
    const world = slow();
    const high = await answering(world, { processWriteQueueBytes: 100 * MB });
    const before = await answering(world, { processWriteQueueBytes: MB });
    for (const { peer } of [high, before]) peer.socket.pause();
    high.results[0]!.send(pattern(3 * MB), true);
    before.results[0]!.send(pattern(MB / 2), true);
    await trickle(world, LIMITS.writeStallTimeout / 2, high, before);
    before.connection.close(GoawayCode.NO_ERROR, "");
    await trickle(world, LIMITS.writeStallTimeout / 2, high);
    const low = await answering(world, { processWriteQueueBytes: MB });
    low.peer.socket.pause();
    low.results[0]!.send(pattern(1.5 * MB), true);
    await trickle(world, LIMITS.writeStallTimeout / 2 + LOOK, high, low);
    expect([high.host.events, low.host.events]).toEqual([["ready"], ["ready"]]);
    await trickle(world, LIMITS.writeStallTimeout / 2, high, low);
    expect([high.host.events, low.host.events]).toEqual([["ready"], ["ready", ended]]);
  });

  test("are judged by the limits of servers: a client in the same process may have lower ones", async () => {
    const world = slow();
    const limits = { processWriteQueueBytes: MB };
    const client = await world.rawReady("client", { limits: { processWriteQueueBytes: 1_000 } });
    connections.push(client.connection);
    // So that it is the client's look that comes first once it is too late.
    await world.pass(500);
    const [much, little] = [await answering(world, limits), await answering(world, limits)];
    await world.pass(500);
    for (const { peer } of [much, little]) peer.socket.pause();
    much.results[0]!.send(pattern(2 * MB), true);
    little.results[0]!.send(pattern(MB / 2), true);
    await trickle(world, LIMITS.writeStallTimeout + LOOK, much, little);
    expect([much.host.events, little.host.events]).toEqual([["ready", ended], ["ready"]]);
  });
});

describe("servers of one process with other limits cost one another no connection", () => {
  interface Held {
    what: string;
    /** Makes the server hold so many bytes of one of two calls of a peer. */
    hold(link: Awaited<ReturnType<typeof answering>>, call: 0 | 1, bytes: number): void;
    ended: string;
  }

  const kinds: Held[] = [
    {
      what: "what their peers do not take",
      hold({ peer, results }, call, bytes) {
        peer.socket.pause();
        results[call]!.send(pattern(bytes), true);
      },
      ended: "bytes that peers do not take need too much memory",
    },
    {
      what: "what their peers do not finish",
      hold({ peer }, call, bytes) {
        const id = 5 + 2 * call;
        peer.send({ kind: "open", id, shape: Shape.UNARY, target: "default/f", body: pattern(bytes), more: true });
      },
      ended: "unfinished messages take too much memory",
    },
  ];

  test.each(kinds)("by $what", async ({ hold, ended }) => {
    const world = new World({ highWaterMark: 1_000 });
    const server = (bytes: number) =>
      answering(world, { processWriteQueueBytes: bytes, processReceiveBytes: bytes }, 2);
    const low = await server(100_000);
    const high = await server(300_000);
    hold(high, 0, 250_000);
    await world.settle();
    hold(low, 0, 80_000);
    await world.settle();
    expect([low.host.events, high.host.events]).toEqual([["ready"], ["ready"]]);
    hold(high, 1, 30_000);
    await world.settle();
    expect([low.host.events, high.host.events]).toEqual([["ready"], ["ready"]]);
    hold(low, 1, 30_000);
    await world.settle();
    expect([low.host.events, high.host.events]).toEqual([["ready", expect.stringContaining(ended)], ["ready"]]);
  });
});

test("calls that wait until results are taken begin in the scope of the socket, not of one that was answered", async () => {
  const world = new World({ highWaterMark: 1_000 });
  const scope = new AsyncLocalStorage<string>();
  const { peer, host, results } = await scope.run("the socket", () =>
    answering(world, { writeQueueHardBytes: 400_000 }, 2),
  );
  const scopes: string[] = [];
  const { onOpen } = host;
  host.onOpen = (...args) => {
    scopes.push(scope.getStore() ?? "none");
    // Nothing more of what has come is looked at.
    if (scopes.length === 1) results[1]!.send(pattern(2 * MB), true);
    return onOpen.apply(host, args);
  };
  peer.socket.pause();
  results[0]!.send(pattern(2 * MB), true);
  const call = { kind: "open", shape: Shape.UNARY, target: "default/f", body: new Uint8Array(0), end: true } as const;
  peer.send({ ...call, id: 5 }, { ...call, id: 7 });
  await world.settle();
  expect(scopes).toEqual(["none"]);
  scope.run("a call that is given up", () => {
    for (const result of results) result.reset(new RapError("CANCELLED"));
  });
  await world.settle();
  expect(scopes).toEqual(["none", "the socket"]);
});

test("a single result may be more than may wait, also with trailers; a second one is too much", async () => {
  const world = new World({ highWaterMark: 1_000 });
  const { peer, host, results } = await answering(world, { writeQueueHardBytes: 400_000 }, 2);
  peer.socket.pause();
  results[0]!.send(pattern(3 * MB), false);
  results[0]!.end(new Metadata({ a: "x".repeat(4_000), b: "x".repeat(4_000) }));
  await world.settle();
  expect(host.events).toEqual(["ready"]);
  results[1]!.send(pattern(20_000), true);
  await world.settle();
  expect(host.events).toEqual(["ready", "paused writeQueueHardBytes"]);
});

describe("a peer that does not take what it is sent", () => {
  test("is not read from while it takes no answers, and after the stall timeout let go", async () => {
    const world = new World({ highWaterMark: 1_000 });
    const { host, peer } = await world.rawReady("server");
    host.refusal = new RapError("NOT_FOUND", "no such function");
    peer.socket.pause();
    const call = (id: number) =>
      encodeFrame({ kind: "open", id, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true });
    for (let n = 0; n < 400; n++) {
      peer.write(call(1 + 2 * n));
      await world.settle();
    }
    expect(host.targets.length).toBeGreaterThan(LIMITS.maxUnsentReplies);
    // The socket takes a few before it says that it is full.
    expect(host.targets.length).toBeLessThan(LIMITS.maxUnsentReplies + 50);
    peer.socket.resume();
    await world.settle();
    expect(peer.of("reset")).toHaveLength(400);
    peer.socket.pause();
    peer.write(call(1_001));
    await world.pass(LIMITS.writeStallTimeout + 6_000, 1_000);
    expect(host.error?.reason).toBe("SLOW_CONSUMER");
  });

  test("is read on when it was slow for a moment with more answers than that, though few bytes", async () => {
    const world = new World();
    const { host, peer } = await world.rawReady("server");
    host.refusal = new RapError("NOT_FOUND", "no such function");
    peer.socket.pause();
    for (let n = 0; n < 300; n++) {
      peer.send({ kind: "open", id: 1 + 2 * n, shape: Shape.UNARY, target: "f", body: pattern(1), end: true });
      await world.settle();
    }
    peer.socket.resume();
    await world.settle();
    expect([host.targets.length, peer.of("reset").length]).toEqual([300, 300]);
  });

  test("is not read from by a server with more than 1 MiB for it, and is by a client", async () => {
    for (const role of ["server", "client"] as const) {
      const world = new World();
      const { connection, host, peer } = await world.rawReady(role, {}, { connectionWindowBytes: 2 ** 31 - 1 });
      const sink = new RecordingSink();
      if (role === "client") open(connection, sink, { shape: Shape.CHANNEL });
      else peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
      await world.settle();
      const stream = role === "client" ? sink.stream : host.sinks[0]!.stream;
      peer.send({ kind: "credit", id: 1, bytes: 100_000_000, messages: 10_000 });
      await world.settle();
      peer.socket.pause();
      // Small messages do not wait their turn until there is more than that.
      for (let n = 0; n < 150; n++) stream.send(pattern(10 * KiB), false);
      await world.settle();
      expect(connection.stats().buffered).toBeGreaterThan(1024 * KiB);
      const { framesReceived } = connection.stats();
      for (let n = 0; n < 5; n++) {
        peer.send({ kind: "pong", data: new Uint8Array(8) });
        await world.settle();
      }
      expect(connection.stats().framesReceived - framesReceived).toBe(role === "client" ? 5 : 1);
      peer.socket.resume();
      await world.settle();
      expect(connection.stats().framesReceived - framesReceived).toBe(5);
    }
  });

  test("is let go at 16 MiB that it does not take", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    peer.socket.pause();
    for (let n = 0; n < 1_700; n++) open(connection, new RecordingSink(), { shape: Shape.UNARY, bytes: 10 * KiB });
    await world.settle();
    peer.send({ kind: "pong", data: new Uint8Array(8) });
    await world.settle();
    expect(host.error).toMatchObject({ reason: "SLOW_CONSUMER" });
    expect(connection.stats().buffered).toBe(0);
  });
});
