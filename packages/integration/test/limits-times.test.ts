import { describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { CLOCK, type Logger, RANDOM } from "@rap/core";
import { createContainer } from "@rap/core/container";
import {
  type ConnectionLimit,
  HEAD_BYTES,
  Kind,
  LIMITS,
  type Limits,
  PREAMBLE,
  type RapError,
  systemRandom,
} from "@rap/protocol";
import { context, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { memory, type Transport } from "@rap/transport";
import { RawPeer } from "../../transport/test/link";
import { AROUND, call, cancel, greet, head, type Scene, scene, settle } from "./limit-scene";
import { SILENT } from "./links";

/** The wheel of timers looks every 4 ms, and the watch over a connection's time every 2.5 s. */
const TICK = 5;
const LOOK = 2_500 + TICK;
const STEP = 100;

/** A client and a server on one clock that stands still, and a function that never ends. */
async function pairOn(clock: ManualClock, limits: { server?: Partial<Limits>; client?: Partial<Limits> } = {}) {
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const server = new Server({ container, logger: SILENT, limits: limits.server ?? {} });
  const hang = () => new Promise<void>(() => {});
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  server.register({
    hang,
    patient: hang,
    where: () => context().conn.id,
    later: (value: unknown) => finished.then(() => value),
  });
  const pair = await createTestPair(server, { client: { container, limits: limits.client ?? {} } });
  return {
    ...pair,
    finish: () => finish(),
    async [Symbol.asyncDispose]() {
      const stopped = Promise.all([pair.client.stop({ graceMs: 0 }), server.shutdown({ graceMs: 0 })]);
      for (let turn = 0; turn < 3; turn++) {
        await settle();
        clock.advance(LIMITS.abortGrace + 10);
      }
      await stopped;
    },
  };
}

describe("a moment before its time a connection lives, and after it the connection is over and counted:", () => {
  const partOfFrame: Begin = ({ peer }) => peer.write(head(Kind.OPEN, 100));
  const nothing: Begin = () => undefined;
  const takesNothing: Begin = ({ peer }) => {
    peer.socket.pause();
    peer.send(call(1, "bytes", [5_000]));
  };
  /** Until it is asked for a sign of life, which it does not give. */
  const silent: Begin = async ({ peer, clock }) => {
    peer.send(call(1, "hang"));
    await settle();
    while (peer.of("ping").length === 0) {
      clock.advance(STEP);
      await settle();
    }
  };

  test.each<[keyof Limits, ConnectionLimit, Begin, moment?: number, changes?: Partial<Limits>]>([
    ["frameTimeout", "frameTimeout", partOfFrame, 1, { frameBytesPerSecond: 0.1 }],
    ["frameGrace", "frameBytesPerSecond", partOfFrame],
    ["writeStallTimeout", "writeStallTimeout", takesNothing],
    ["keepaliveTimeout", "keepaliveTimeout", silent, STEP],
    ["serverIdleTimeout", "serverIdleTimeout", nothing],
  ])("%s", async (limit, counter, begin, moment = 1, changes = {}) => {
    await using stage = await scene(changes);
    await begin(stage);
    await settle();
    stage.clock.advance(LIMITS[limit] - moment);
    await settle();
    expect(stage.server.stats().connections).toBe(1);
    // One look may be needed to find that it has begun.
    stage.clock.advance(moment + 2 * LOOK);
    await settle();
    expect(stage.server.stats().connections).toBe(0);
    expect(stage.server.stats().ended).toEqual({ [counter]: 1 });
  });

  test("maxConnectionAge is how long a server keeps one, a tenth more or less, and what runs goes on", async () => {
    const age = 10_000;
    const clock = new ManualClock();
    await using pair = await pairOn(clock, { server: { maxConnectionAge: age } });
    const { client, server } = pair;
    const before = server.connections()[0]!.id;
    const running = client.invokeByName("later", [7]);
    await settle();
    clock.advance(0.9 * age - TICK);
    await settle();
    expect(await client.invokeByName("where")).toBe(before);
    clock.advance(0.2 * age + 2 * TICK);
    await settle();
    const later = client.invokeByName("where");
    // The client waits for a moment before it dials.
    for (let waited = 0; waited < LIMITS.reconnectInitialBackoff; waited += STEP) {
      clock.advance(STEP);
      await settle();
    }
    expect(await later).not.toBe(before);
    expect(server.stats()).toMatchObject({ connections: 2, ended: {} });
    pair.finish();
    expect(await running).toBe(7);
    await settle();
    expect(server.stats()).toMatchObject({ connections: 1, ended: { maxConnectionAge: 1 } });
  });

  test("maxConnectionAge is not what ended a connection that broke a rule on its way out", async () => {
    await using stage = await scene({ maxConnectionAge: 10_000 });
    stage.peer.send(call(1, "hang"));
    await settle();
    stage.clock.advance(11_000 + TICK);
    await settle();
    expect(stage.peer.of("goaway").length).toBeGreaterThan(0);
    stage.peer.write(head(Kind.OPEN, 1));
    stage.peer.write(Uint8Array.of(0));
    await settle();
    expect(stage.server.stats()).toMatchObject({ connections: 0, ended: { PROTOCOL_ERROR: 1 } });
    expect(stage.server.stats().ended).not.toHaveProperty("maxConnectionAge");
  });

  test("processWriteQueueBytes, by results that wait for their turn for longer than writeStallTimeout", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ processWriteQueueBytes: 300_000 }, { highWaterMark: 1_000, chunk: 10 });
      const { onData } = stage.peer;
      // It takes ten bytes now and then.
      stage.peer.onData = (bytes) => {
        onData(bytes);
        stage.peer.socket.pause();
      };
      // Four fragments and a first part are with the socket, and five bytes are of msgpack.
      stage.peer.send(call(1, "bytes", [4 * LIMITS.fragmentBytes + 256 - 5 + 300_000 + more]));
      await settle();
      stage.clock.advance(LIMITS.writeStallTimeout - 1);
      stage.peer.socket.resume();
      await settle();
      expect(stage.server.stats()).toMatchObject({ connections: 1, ended: {} });
      stage.clock.advance(1 + LOOK);
      await settle();
      const { ended } = stage.server.stats();
      expect({ more, ended }).toEqual({ more, ended: more === 1 ? { processWriteQueueBytes: 1 } : {} });
    }
  });

  test("frameBytesPerSecond", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ frameBytesPerSecond: 2 });
      // Enough for ten seconds, or for half a second more or less.
      stage.peer.write(Buffer.concat([head(Kind.OPEN, 100), new Uint8Array(20 - HEAD_BYTES + more)]));
      await settle();
      stage.clock.advance(9_999);
      await settle();
      expect({ more, ended: stage.server.stats().ended }).toEqual({
        more,
        ended: more < 0 ? { frameBytesPerSecond: 1 } : {},
      });
      stage.clock.advance(1 + TICK);
      await settle();
      expect({ more, ended: stage.server.stats().ended }).toEqual({
        more,
        ended: more > 0 ? {} : { frameBytesPerSecond: 1 },
      });
    }
  });

  test("handshakeTimeout", async () => {
    await using stage = await scene({}, { greets: false });
    stage.peer.write(PREAMBLE);
    // Of the time that real clocks say a TLS handshake took, which is no time here, nothing is left.
    stage.clock.advance(LIMITS.handshakeTimeout - 500);
    await settle();
    expect(stage.server.stats().connections).toBe(1);
    stage.clock.advance(500 + TICK);
    await settle();
    expect(stage.server.stats()).toMatchObject({ connections: 0, ended: { handshakeTimeout: 1 } });
  });

  test("clientIdleTimeout", async () => {
    const clock = new ManualClock();
    await using pair = await pairOn(clock);
    clock.advance(LIMITS.clientIdleTimeout - 1);
    await settle();
    expect(pair.client.stats().connections).toBe(1);
    clock.advance(1 + LOOK);
    await settle();
    expect([pair.client.stats().connections, pair.client.stats().ended]).toEqual([0, { clientIdleTimeout: 1 }]);
    await settle();
    // Who is told that nobody used it has not ended it.
    expect(pair.server.stats()).toMatchObject({ connections: 0, ended: {} });
  });
});

type Begin = (scene: Scene) => unknown;

test("keepaliveInterval: a peer with a call open is pinged after so much silence", async () => {
  await using stage = await scene({});
  stage.peer.send(call(1, "hang"));
  await settle();
  stage.clock.advance(LIMITS.keepaliveInterval - 1);
  await settle();
  expect(stage.peer.of("ping")).toHaveLength(0);
  stage.clock.advance(1 + LOOK);
  await settle();
  expect(stage.peer.of("ping")).toHaveLength(1);
});

describe("a moment before its time a call runs, and after it the call has failed and is counted:", () => {
  test("timeout", async () => {
    const clock = new ManualClock();
    await using pair = await pairOn(clock);
    let failed: RapError | undefined;
    pair.client.invokeByName("hang").catch((error: RapError) => (failed = error));
    await settle();
    clock.advance(LIMITS.timeout - 1);
    await settle();
    expect([failed, pair.client.stats().refused]).toEqual([undefined, undefined]);
    clock.advance(1 + TICK);
    await settle();
    expect(failed).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(pair.client.stats().refused).toEqual({ timeout: 1 });
    expect(pair.server.stats().refused).toMatchObject({ timeout: 1, maxTimeout: 0 });
  });

  test("timeout, of a call with no time left", async () => {
    await using pair = await pairOn(new ManualClock());
    const called = pair.client.invokeByName("hang", [], { timeout: 0 });
    await expect(called).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", maybeExecuted: false });
    expect(pair.client.stats().refused).toEqual({ timeout: 1 });
    expect(pair.server.stats().refused.timeout).toBe(0);
  });

  test("maxTimeout", async () => {
    const clock = new ManualClock();
    await using pair = await pairOn(clock, { client: { keepaliveInterval: 2 ** 31, clientIdleTimeout: 2 ** 31 } });
    let failed: RapError | undefined;
    pair.client.invokeByName("hang", [], { timeout: Infinity }).catch((error: RapError) => (failed = error));
    await settle();
    for (let left = LIMITS.maxTimeout - 1; left > 0; left -= 10_000) {
      clock.advance(Math.min(10_000, left));
      await settle();
    }
    expect([failed, pair.server.stats().refused.maxTimeout]).toEqual([undefined, 0]);
    clock.advance(1 + TICK);
    await settle();
    expect(failed).toMatchObject({ code: "DEADLINE_EXCEEDED", origin: "remote" });
    expect(pair.server.stats().refused).toMatchObject({ timeout: 0, maxTimeout: 1 });
    expect(pair.client.stats().refused).toBeUndefined();
  });

  test("generatorReturnTimeout", async () => {
    await using stage = await scene({});
    stage.peer.send(call(1, "drip"), cancel(1));
    await settle();
    stage.clock.advance(LIMITS.generatorReturnTimeout - 1);
    expect(stage.server.stats()).toMatchObject({ inFlight: 1, refused: { generatorReturnTimeout: 0 } });
    stage.clock.advance(1 + TICK);
    expect(stage.server.stats()).toMatchObject({ inFlight: 0, refused: { generatorReturnTimeout: 1 } });
  });
});

describe("the stop of a server", () => {
  test("goawayPause is the time between its two steps, for a peer that does not answer the ping", async () => {
    await using stage = await scene({});
    stage.peer.send(call(1, "hang"));
    await settle();
    stage.server.drain();
    await settle();
    stage.clock.advance(LIMITS.goawayPause - 1);
    await settle();
    expect(stage.peer.of("goaway").length).toBeGreaterThan(0);
    stage.clock.advance(1 + TICK);
    await settle();
    expect(stage.peer.of("goaway").map(({ lastId }) => lastId)).toEqual([2 ** 31 - 1, 1]);
  });

  test("shutdownGrace is what it gives calls when nobody says otherwise, and abortGrace what they have after it", async () => {
    await using stage = await scene({ shutdownGrace: 5_000, abortGrace: 1_000 });
    // Its caller never ends it, so the connection waits for that.
    stage.peer.send(call(1, "talk"));
    await settle();
    let stopped = false;
    void stage.server.shutdown().then(() => (stopped = true));
    await settle();
    stage.clock.advance(4_999);
    await settle();
    expect(stage.peer.of("reset")).toEqual([]);
    stage.clock.advance(1);
    await settle();
    expect(stage.peer.of("reset")).toHaveLength(1);
    stage.clock.advance(999);
    await settle();
    expect([stopped, stage.server.stats().connections]).toEqual([false, 1]);
    stage.clock.advance(1);
    await settle();
    expect([stopped, stage.server.stats().connections]).toEqual([true, 0]);
  });
});

describe("a client", () => {
  test("connectTimeout is what a dial has", async () => {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    const deaf: Transport = {
      scheme: "memory",
      dial: (_, signal) =>
        new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
      listen: () => Promise.reject(new Error("not here")),
    };
    const client = new Client({ target: "memory://one", transports: [deaf], container });
    let failed: unknown;
    void client.start().catch((error: unknown) => (failed = error));
    await settle();
    clock.advance(LIMITS.connectTimeout - 1);
    await settle();
    expect(failed).toBeUndefined();
    clock.advance(1);
    await settle();
    expect(failed).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("within 5000 ms (connectTimeout)"),
    });
    await client.stop();
  });

  /**
   * A client on a clock that stands still, and a server that accepts after three seconds, whether or not the client still
   * wants it. What it says is the test's.
   */
  async function slowDial(limits: Partial<Limits> = {}) {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    const world = memory();
    const slow: Transport = {
      scheme: "memory",
      async dial(address) {
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 3_000));
        return world.dial(address);
      },
      listen: (address, onSocket) => world.listen(address, onSocket),
    };
    const peers: RawPeer[] = [];
    await world.listen("memory://one", (socket) => void peers.push(new RawPeer(socket)));
    const client = new Client({ target: "memory://one", transports: [slow], container, limits });
    let outcome: unknown;
    void client.start().then(
      () => (outcome = "started"),
      (error: unknown) => (outcome = error),
    );
    await settle();
    const pass = async (ms: number) => {
      clock.advance(ms);
      await settle();
    };
    await pass(3_000);
    expect(peers).toHaveLength(1);
    return { clock, client, peer: peers[0]!, pass, outcome: () => outcome };
  }

  test("connectTimeout is also what is left for the handshake with a server that accepts and is silent", async () => {
    const { clock, client, peer, pass, outcome } = await slowDial();
    await pass(LIMITS.connectTimeout - 3_000 - 1);
    expect([outcome(), peer.closed]).toEqual([undefined, false]);
    await pass(1);
    expect(outcome()).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("within 5000 ms (connectTimeout)"),
    });
    expect([peer.closed, client.stats().connections, client.stats().timers]).toEqual([true, 0, 0]);
    expect(client.stats().ended).toEqual({ connectTimeout: 1 });
    await client.stop();
    expect(clock.timers).toBe(0);
  });

  test("connectTimeout leaves nothing of a socket that comes after it", async () => {
    const { clock, client, peer, outcome } = await slowDial({ connectTimeout: 1_000 });
    expect(outcome()).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("within 1000 ms (connectTimeout)"),
    });
    expect([peer.closed, client.stats().connections, clock.timers]).toEqual([true, 0, 0]);
    await client.stop();
  });

  test("connectTimeout does not put off a handshakeTimeout that is over before", async () => {
    const { clock, client, peer, pass, outcome } = await slowDial({ handshakeTimeout: 1_000 });
    await pass(1_000 + TICK);
    expect(outcome()).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("handshake took too long"),
    });
    expect([peer.closed, client.stats().ended]).toEqual([true, { handshakeTimeout: 1 }]);
    await client.stop();
    expect(clock.timers).toBe(0);
  });

  test("connectTimeout leaves no timer behind when the handshake is done, or its client is stopped before", async () => {
    const met = await slowDial();
    const during = met.clock.timers;
    greet(met.peer);
    await settle();
    expect([met.outcome(), met.clock.timers]).toEqual(["started", during - 1]);
    await met.pass(2 * LIMITS.connectTimeout);
    expect(met.client.stats().connections).toBe(1);
    await met.client.stop();
    const left = await slowDial();
    await left.client.stop();
    await settle();
    expect([left.clock.timers, left.outcome()]).toEqual([0, expect.objectContaining({ code: "UNAVAILABLE" })]);
  });

  test("reconnectInitialBackoff and reconnectResetAfter: how it waits before it dials, as if for the first time after a connection that lived so long", async () => {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    container.register(RANDOM, { useValue: { ...systemRandom, float: () => 0.5 } });
    const server = new Server({ logger: SILENT });
    const world = memory();
    await server.listen({ transport: world, address: "memory://a" });
    const limits = { reconnectInitialBackoff: 1_000, reconnectMultiplier: 2 };
    const client = new Client({ target: "memory://a", transports: [world], container, limits });
    await client.start();
    const waits = async (ms: number) => {
      world.cut();
      await settle();
      clock.advance(ms - 1);
      await settle();
      const before = client.stats().connections;
      clock.advance(1);
      await settle();
      return [before, client.stats().connections];
    };
    expect(await waits(500)).toEqual([0, 1]);
    expect(await waits(2_000)).toEqual([0, 1]);
    clock.advance(LIMITS.reconnectResetAfter - 1);
    expect(await waits(4_000)).toEqual([0, 1]);
    clock.advance(LIMITS.reconnectResetAfter);
    expect(await waits(500)).toEqual([0, 1]);
    await client.stop();
    await server.shutdown();
  });

  test("maxStreamId: the last call before it lets the client dial anew, and calls go on", async () => {
    // Three calls have the ids 1, 3 and 5; the next would have 7.
    for (const [maxStreamId, leaves] of [
      [8, false],
      [7, true],
      [6, true],
    ] as const) {
      const server = new Server({ logger: SILENT }).register({ echo: (value: unknown) => value });
      await using pair = await createTestPair(server, { client: { limits: { maxStreamId } } });
      let goaways = 0;
      pair.client.on("goaway", () => goaways++);
      for (let n = 0; n < 3; n++) expect(await pair.client.invokeByName("echo", [n])).toBe(n);
      expect([maxStreamId, goaways]).toEqual([maxStreamId, leaves ? 1 : 0]);
      expect(await pair.client.invokeByName("echo", [3])).toBe(3);
    }
  });
});

test("logLinesPerSecond: so many lines about one peer, and no more", async () => {
  for (const more of AROUND) {
    let lines = 0;
    const logger: Logger = { ...SILENT, error: () => void lines++ };
    const container = createContainer();
    container.register(CLOCK, { useValue: new ManualClock(1) });
    const server = new Server({ container, logger, limits: { logLinesPerSecond: 3 } });
    server.register({
      fail: () => {
        throw new Error("no");
      },
    });
    const pair = await createTestPair(server);
    for (let n = 0; n < 3 + more; n++) await expect(pair.client.invokeByName("fail")).rejects.toThrow();
    expect(lines).toBe(3 + Math.min(0, more));
    await pair.client.stop();
    await server.shutdown();
  }
});
