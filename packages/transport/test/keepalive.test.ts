import { describe, expect, test } from "@jest/globals";
import { encodeFrame, LIMITS, Shape } from "@rap/protocol";
import { WheelEntry } from "../src/wheel";
import { open, pattern, type RawLink, RecordingSink, World } from "./link";

const PING = { kind: "ping", data: new Uint8Array(8) } as const;
/** How much later than its time anything may be noticed. */
const LATE = 2_600;

/** A client's connection to a raw peer, with one call open. */
async function calling(
  options?: Parameters<World["rawReady"]>[1],
  hello = {},
): Promise<RawLink & { world: World; sink: RecordingSink }> {
  const world = new World();
  const link = await world.rawReady("client", options, hello);
  const sink = new RecordingSink();
  open(link.connection, sink);
  await world.settle();
  return { world, sink, ...link };
}

describe("a peer that is silent", () => {
  test("is asked for a sign of life after 30 s, and has 10 s to give one", async () => {
    const { world, sink, peer, host, connection } = await calling();
    await world.pass(LIMITS.keepaliveInterval - 1_000, 1_000);
    expect(peer.of("ping")).toEqual([]);
    await world.pass(1_000 + LATE, 1_000);
    expect(peer.of("ping")).toHaveLength(1);
    await world.pass(LIMITS.keepaliveTimeout - LATE - 1_000, 1_000);
    expect(host.events).toEqual(["ready"]);
    await world.pass(1_000 + 2 * LATE, 1_000);
    expect(host.error).toMatchObject({
      code: "UNAVAILABLE",
      reason: "KEEPALIVE_TIMEOUT",
      origin: "transport",
      maybeExecuted: true,
    });
    expect(sink.events).toEqual([
      "reset UNAVAILABLE: the connection was closed (KEEPALIVE_TIMEOUT): the peer does not answer",
    ]);
    expect([connection.stats().pingsSent, peer.of("goaway"), world.wheel.size, world.clock.timers]).toEqual([
      1,
      [],
      0,
      0,
    ]);
  });

  test("is found within 45 s of its last byte, whenever that was", async () => {
    for (const when of [0, 1_234, 29_000]) {
      const { world, peer, host } = await calling();
      await world.pass(when, 1_000);
      peer.send(PING);
      await world.pass(45_000, 1_000);
      expect(host.error?.reason).toBe("KEEPALIVE_TIMEOUT");
    }
  });

  test("answers with any byte, not only with PONG", async () => {
    const { world, peer, host } = await calling();
    for (let round = 0; round < 4; round++) {
      await world.pass(LIMITS.keepaliveInterval + LATE + 5_000, 1_000);
      expect(peer.of("ping")).toHaveLength(round + 1);
      peer.write(Uint8Array.of(0));
      await world.settle();
      peer.write(encodeFrame({ kind: "pong", data: new Uint8Array(8) }).subarray(1));
      await world.settle();
    }
    expect(host.events).toEqual(["ready"]);
  });

  test("is not asked while bytes come", async () => {
    const { world, peer } = await calling();
    for (let n = 0; n < 10; n++) {
      await world.pass(25_000, 5_000);
      peer.send({ kind: "pong", data: new Uint8Array(8) });
    }
    expect(peer.of("ping")).toEqual([]);
  });

  test("is asked as seldom as it wants", async () => {
    const { world, peer } = await calling({}, { keepaliveInterval: 100_000 });
    await world.pass(90_000, 5_000);
    expect(peer.of("ping")).toEqual([]);
    await world.pass(15_000, 1_000);
    expect(peer.of("ping")).toHaveLength(1);
  });

  test("is never asked when pings are turned off, nor while no call is open", async () => {
    const off = await calling({ limits: { keepaliveInterval: Number.MAX_SAFE_INTEGER } });
    await off.world.pass(120_000, 10_000);
    expect(off.peer.of("ping")).toEqual([]);
    const world = new World();
    const { peer } = await world.rawReady("client");
    await world.pass(120_000, 10_000);
    expect(peer.of("ping")).toEqual([]);
  });

  test("is asked by a server, too, while it handles a call", async () => {
    const world = new World();
    const { peer, host } = await world.rawReady("server");
    peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
    await world.pass(LIMITS.keepaliveInterval + LIMITS.keepaliveTimeout + 2 * LATE, 1_000);
    expect(peer.of("ping")).toHaveLength(1);
    expect(host.sinks[0]!.events).toEqual([expect.stringContaining("KEEPALIVE_TIMEOUT")]);
  });
});

test("a peer that is gone is noticed, though no call is open, while something holds the connection", async () => {
  const world = new World();
  const { peer, host, connection } = await world.rawReady("server");
  connection.holds++;
  await world.pass(LIMITS.keepaliveInterval + LIMITS.keepaliveTimeout + 2 * LATE, 1_000);
  expect(peer.of("ping")).toHaveLength(1);
  expect(host.events).toEqual(["ready", expect.stringContaining("KEEPALIVE_TIMEOUT")]);
});

describe("a connection that nobody uses", () => {
  test.each([
    ["client", LIMITS.clientIdleTimeout],
    ["server", LIMITS.serverIdleTimeout],
  ] as const)("is closed by the %s after %d ms, with a word", async (role, timeout) => {
    const world = new World();
    const { peer, host, connection } = await world.rawReady(role);
    await world.pass(timeout - 1_000, 10_000);
    expect(host.events).toEqual(["ready"]);
    await world.pass(1_000 + LATE, 1_000);
    expect(peer.of("goaway")).toMatchObject([{ code: 9, reason: "the connection was not used" }]);
    expect([host.events, host.error, connection.closed, peer.closed]).toEqual([
      ["ready", "close"],
      undefined,
      true,
      true,
    ]);
    expect([world.wheel.size, world.clock.timers]).toEqual([0, 0]);
  });

  test("is used while a call is open, bytes come, or something holds it", async () => {
    const busy = await calling({ limits: { keepaliveInterval: Number.MAX_SAFE_INTEGER } });
    await busy.world.pass(600_000, 10_000);
    expect(busy.host.events).toEqual(["ready"]);

    const world = new World();
    const never = { keepaliveInterval: Number.MAX_SAFE_INTEGER };
    const { peer, host, connection } = await world.rawReady("client", { limits: never });
    for (let n = 0; n < 5; n++) {
      await world.pass(200_000, 20_000);
      peer.send(PING);
      await world.settle();
    }
    connection.holds++;
    await world.pass(600_000, 10_000);
    expect(host.events).toEqual(["ready"]);
    connection.holds--;
    await world.pass(LATE, 1_000);
    expect(host.events).toEqual(["ready", "close"]);
  });
});

describe("a frame that does not come to its end", () => {
  const KiB = 1_024;
  const frame = encodeFrame({ kind: "data", id: 1, body: pattern(64 * KiB) });

  /** Sends `first` bytes of the frame, and so many more each second, for so long; then says what became of it. */
  async function trickle(link: Awaited<ReturnType<typeof calling>>, first: number, perSecond: number, seconds: number) {
    const { world, peer, host } = link;
    const began = world.clock.now();
    let sent = first;
    peer.write(frame.subarray(0, first));
    while (world.clock.now() - began < seconds * 1_000) {
      await world.pass(1_000, 100);
      peer.write(frame.subarray(sent, sent + perSecond));
      sent += perSecond;
    }
    await world.settle();
    return host.error?.reason;
  }

  test("has 5 s, and then as many as KiB came of it", async () => {
    for (const [first, perSecond, lives] of [
      [1, 1, 4],
      [1, KiB / 2, 4],
      [10 * KiB, 0, 9],
      // Parts of it are handed on before it is whole.
      [10 * KiB, KiB / 2, 18],
      [0, KiB, 29],
    ] as const) {
      expect([first, perSecond, await trickle(await calling(), first, perSecond, lives)]).toEqual([
        first,
        perSecond,
        undefined,
      ]);
      expect([first, perSecond, await trickle(await calling(), first, perSecond, lives + 3)]).toEqual([
        first,
        perSecond,
        "SLOW_FRAME",
      ]);
    }
  });

  test("counts by its own bytes, though a whole one came with its beginning, and its beginning with that", async () => {
    for (const [bytes, reason] of [
      [4 * KiB, "SLOW_FRAME"],
      [9 * KiB, undefined],
    ] as const) {
      const link = await calling();
      const whole = encodeFrame({ kind: "data", id: 1, body: pattern(60 * KiB) });
      link.peer.write(Buffer.concat([whole, frame.subarray(0, bytes)]));
      await link.world.pass(8_000, 100);
      expect(link.host.error?.reason).toBe(reason);
    }
  });

  test("is not held against a peer to which the process had no time to listen", async () => {
    const { world, peer, host } = await calling();
    peer.write(frame.subarray(0, 100));
    await world.settle();
    class Busy extends WheelEntry {
      override expire(): void {
        world.clock.advance(12_000);
      }
    }
    world.wheel.add(new Busy(), 100);
    await world.pass(4_000);
    expect(host.events).toEqual(["ready"]);
    await world.pass(2_000);
    expect(host.error?.reason).toBe("SLOW_FRAME");
  });

  test("is not held against a peer that is not read from, nor is its silence", async () => {
    const world = new World({ chunk: 1_000, highWaterMark: 1_000 });
    const { connection, peer, host } = await world.rawReady("client", { limits: { maxUnsentReplies: 3 } });
    open(connection, new RecordingSink(), { bytes: 100_000 });
    // It takes a kilobyte every 4 s.
    const { onData } = peer;
    peer.onData = (bytes) => {
      onData(bytes);
      peer.socket.pause();
    };
    await world.settle();
    peer.write(Buffer.concat([...new Array(5).fill(encodeFrame(PING)), frame.subarray(0, 100)]));
    for (let round = 0; round < 15; round++) {
      await world.pass(4_000);
      peer.socket.resume();
    }
    expect(host.events).toEqual(["ready", "paused maxUnsentReplies"]);
    peer.onData = onData;
    peer.socket.resume();
    await world.pass(LIMITS.frameGrace + LATE);
    expect(host.error?.reason).toBe("SLOW_FRAME");
  });

  test("is waited for 30 s from its first byte, however many bytes of it come meanwhile", async () => {
    const { world, peer, host } = await calling();
    let sent = 0;
    while (world.clock.now() < LIMITS.frameTimeout - 1_000) {
      peer.write(frame.subarray(sent, sent + 2 * KiB));
      sent += 2 * KiB;
      await world.pass(1_000, 1_000);
    }
    expect(host.events).toEqual(["ready"]);
    await world.pass(1_000 + LATE, 1_000);
    expect(host.error).toMatchObject({ reason: "SLOW_FRAME" });
    expect(peer.of("goaway")).toMatchObject([{ code: 5, reason: "a frame took too long to arrive" }]);
  });

  test("is given its own 30 s, though the one before it was slow", async () => {
    const { world, peer, host } = await calling({ limits: { frameBytesPerSecond: 0.1 } });
    const ping = encodeFrame(PING);
    let chunk = ping.subarray(0, 5);
    for (let n = 0; n < 5; n++) {
      peer.write(chunk);
      await world.pass(20_000, 2_000);
      // The rest of one and the beginning of the next.
      chunk = Uint8Array.of(...ping.subarray(5), ...ping.subarray(0, 5));
    }
    expect(host.events).toEqual(["ready"]);
    expect(peer.of("pong")).toHaveLength(4);
  });
});

describe("a peer that takes nothing", () => {
  test("is given 10 s without one byte taken, and then up", async () => {
    const { world, peer, host, connection } = await calling();
    peer.socket.pause();
    open(connection, new RecordingSink(), { bytes: 100_000 });
    await world.pass(LIMITS.writeStallTimeout - 1_000, 1_000);
    expect(host.events).toEqual(["ready"]);
    await world.pass(1_000 + 2 * LATE, 1_000);
    expect(host.error).toMatchObject({ code: "UNAVAILABLE", reason: "SLOW_CONSUMER" });
    expect(connection.stats().buffered).toBe(0);
  });

  test("is borne as long as it takes a little now and then", async () => {
    const world = new World({ chunk: 1_000 });
    const link = await world.rawReady("client", { limits: { keepaliveInterval: Number.MAX_SAFE_INTEGER } });
    open(link.connection, new RecordingSink(), { bytes: 4_000_000 });
    // What the memory transport delivers at once ends with the next pause.
    const { onData } = link.peer;
    link.peer.onData = (bytes) => {
      onData(bytes);
      link.peer.socket.pause();
    };
    for (let n = 0; n < 10; n++) {
      link.peer.socket.resume();
      await world.pass(8_000, 1_000);
    }
    expect(link.host.events).toEqual(["ready"]);
    expect(link.connection.stats().buffered).toBeGreaterThan(100_000);
  });

  test("has taken what there was, when nothing more waits", async () => {
    const { world, host } = await calling();
    await world.pass(25_000, 1_000);
    expect(host.events).toEqual(["ready"]);
  });
});
