import { once } from "node:events";
import { describe, expect, test } from "@jest/globals";
import { CLOCK, RANDOM } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { LIMITS, PREAMBLE, systemRandom } from "@rap/protocol";
import { context, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { memory } from "@rap/transport";
import { helloOf, RawPeer } from "../../transport/test/link";
import { Client } from "../src";

test("a server that stops is reported once, though it says goodbye in two steps", async () => {
  let started!: () => void;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const untilAborted = async () => {
    started();
    await once(context().signal, "abort");
  };
  const server = new Server({ limits: { goawayPause: 5 } }).register({ untilAborted });
  await using pair = await createTestPair(server);
  const reasons: string[] = [];
  pair.client.on("goaway", (event) => reasons.push((event as { reason: string }).reason));
  const call = pair.client.invokeByName("untilAborted");
  await running;
  await server.shutdown({ graceMs: 50 });
  await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(reasons).toEqual(["the server is shutting down"]);
});

test("a client that is stopped on hearing of a goodbye, while it starts, has no connection left", async () => {
  const world = memory();
  await world.listen("memory://late", (socket) => void new RawPeer(socket));
  await world.listen("memory://leaving", (socket) => {
    const peer = new RawPeer(socket);
    peer.write(PREAMBLE);
    peer.send({ kind: "hello", hello: helloOf() }, { kind: "goaway", lastId: 0, code: 0, reason: "bye" });
  });
  const client = new Client({ target: ["memory://late", "memory://leaving"], transports: [world] });
  const heard: string[] = [];
  for (const event of ["goaway", "disconnect"] as const) client.on(event, () => heard.push(event));
  client.on("goaway", () => void client.stop());
  await expect(client.start()).rejects.toThrow("stopped");
  expect([heard, client.stats().connections]).toEqual([["goaway", "disconnect"], 0]);
});

describe("the way back", () => {
  /** A client in a time of its own, and peers that greet and do nothing else. */
  async function greeted() {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    container.register(RANDOM, { useValue: { bytes: (length: number) => new Uint8Array(length), float: () => 0.5 } });
    const world = memory();
    const peers: RawPeer[] = [];
    await world.listen("memory://a", (socket) => {
      const peer = new RawPeer(socket);
      peer.write(PREAMBLE);
      peer.send({ kind: "hello", hello: helloOf() });
      peers.push(peer);
    });
    const client = await new Client({ target: "memory://a", transports: [world], container }).start();
    const told = (event: "disconnect" | "reconnect" | "goaway") =>
      new Promise<void>((resolve) => {
        const listening = client.on(event, () => {
          listening[Symbol.dispose]();
          resolve();
        });
      });
    /** Whether a new connection comes when so much time has gone by. */
    const comesAfter = async (ms: number) => {
      const back = told("reconnect");
      clock.advance(ms - 1);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      const before = peers.length;
      clock.advance(2);
      await back;
      return peers.length - before;
    };
    const lose = async () => {
      const lost = told("disconnect");
      world.cut();
      await lost;
    };
    return { client, clock, peers, told, comesAfter, lose };
  }

  test("is longer each time that a connection does not last", async () => {
    const { client, comesAfter, lose } = await greeted();
    for (const wait of [100, 320, 512]) {
      await lose();
      expect(await comesAfter(wait)).toBe(1);
    }
    await client.stop({ graceMs: 0 });
  });

  test("is taken though nothing ran when the server closed without a word", async () => {
    const { client, peers, told, comesAfter } = await greeted();
    const lost = told("disconnect");
    peers.at(-1)!.socket.end();
    await lost;
    expect(await comesAfter(100)).toBe(1);
    await client.stop({ graceMs: 0 });
  });

  test("is short again after a connection that has lasted, whether it broke or the server said goodbye", async () => {
    const { client, clock, peers, told, comesAfter, lose } = await greeted();
    for (const wait of [100, 320]) {
      await lose();
      await comesAfter(wait);
    }
    clock.advance(10_000);
    await lose();
    expect(await comesAfter(100)).toBe(1);
    await lose();
    await comesAfter(320);
    clock.advance(10_000);
    const goodbye = told("goaway");
    peers.at(-1)!.send({ kind: "goaway", lastId: 0, code: 0, reason: "bye" });
    await goodbye;
    expect(await comesAfter(100)).toBe(1);
    await client.stop({ graceMs: 0 });
  });

  test("is not taken at the same time by all clients that a server said goodbye to at once", async () => {
    const clock = new ManualClock();
    const world = memory();
    const peers: RawPeer[] = [];
    const cameAt: number[] = [];
    await world.listen("memory://a", (socket) => {
      const peer = new RawPeer(socket);
      peer.write(PREAMBLE);
      peer.send({ kind: "hello", hello: helloOf() });
      peers.push(peer);
      cameAt.push(clock.now());
    });
    const clients = Array.from({ length: 200 }, (_, n) => {
      const container = createContainer();
      container.register(CLOCK, { useValue: clock });
      // Evenly from 0 to 1, as a good source of randomness would have it.
      container.register(RANDOM, { useValue: { ...systemRandom, float: () => n / 200 } });
      return new Client({ target: "memory://a", transports: [world], container });
    });
    await Promise.all(clients.map((client) => client.start()));
    for (const peer of peers.splice(0)) peer.send({ kind: "goaway", lastId: 2 ** 31 - 1, code: 0, reason: "restart" });
    cameAt.length = 0;
    for (let ms = 0; ms < LIMITS.reconnectInitialBackoff; ms += 20) {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      clock.advance(20);
    }
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(cameAt).toHaveLength(200);
    for (let from = 0; from < LIMITS.reconnectInitialBackoff; from += 20) {
      expect(cameAt.filter((at) => at >= from && at < from + 20).length).toBeLessThanOrEqual(21);
    }
    await Promise.all(clients.map((client) => client.stop()));
  });
});
