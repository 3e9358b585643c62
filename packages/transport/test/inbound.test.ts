import { describe, expect, test } from "@jest/globals";
import { GoawayCode, goawayName, LIMITS, RapError, Shape } from "@rap/protocol";
import { linked, open, pattern, RecordingSink, World } from "./link";

const CANCELLED = new RapError("CANCELLED", "never mind");

describe("a peer that goes too far", () => {
  test("may ping ten times at once and once every five seconds, and is let go after three too many", async () => {
    const world = new World();
    const { host, peer } = await world.rawReady("server");
    const ping = (n: number) => ({ kind: "ping", data: Uint8Array.of(n, 0, 0, 0, 0, 0, 0, n) }) as const;
    for (let n = 0; n < 10; n++) peer.send(ping(n));
    await world.settle();
    expect(peer.of("pong").map(({ data }) => data[7])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await world.pass(10_000, 1_000);
    for (let n = 0; n < 5; n++) peer.send(ping(n));
    await world.settle();
    expect([peer.of("pong").length, host.events]).toEqual([15, ["ready"]]);
    peer.send(ping(1));
    await world.settle();
    expect(peer.of("goaway")).toMatchObject([{ code: GoawayCode.TOO_MANY_PINGS }]);
    expect(host.error?.reason).toBe("TOO_MANY_PINGS");
  });

  test("may be odd 200 times at once and 20 times a second", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server");
    const odd = { kind: "credit", id: 0, bytes: 0, messages: 0 } as const;
    for (let n = 0; n < 200; n++) peer.send(odd);
    await world.settle();
    expect([connection.stats().glitches, host.events]).toEqual([200, ["ready"]]);
    await world.pass(1_000);
    for (let n = 0; n < 20; n++) peer.send(odd);
    await world.settle();
    expect(host.events).toEqual(["ready"]);
    peer.send(odd);
    await world.settle();
    expect(peer.of("goaway")).toMatchObject([
      { code: GoawayCode.TOO_MANY_GLITCHES, reason: "too many odd frames, the last: a grant of nothing" },
    ]);
  });

  test("and sends without credit is let go, on a stream and on the connection", async () => {
    for (const [limits, sizes] of [
      [{ streamWindowBytes: 1_000 }, [1_001]],
      [{ streamWindowMessages: 2 }, [1, 1, 1]],
      [{ connectionWindowBytes: 1_000 }, [600, 401]],
    ] as const) {
      const world = new World();
      const { host, peer } = await world.rawReady("server", { limits });
      host.reading = false;
      peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
      for (const size of sizes) peer.send({ kind: "data", id: 1, body: pattern(size) });
      await world.settle();
      expect(peer.of("goaway").map(({ code }) => goawayName(code))).toEqual(["FLOW_CONTROL_ERROR"]);
      expect(host.sinks[0]!.messages.length).toBe(sizes.length - 1);
    }
  });
});

describe("a reset that crosses the end of the other side", () => {
  test("is no glitch, however often that happens", async () => {
    const { world, client, server, serverHost } = await linked();
    for (let round = 0; round < 2 * LIMITS.glitchBurst; round++) {
      const stream = open(client, new RecordingSink());
      await world.settle();
      serverHost.sinks.at(-1)!.stream.send(pattern(1), true);
      stream.reset(CANCELLED);
      await world.settle();
    }
    expect(server.stats().glitches).toBe(0);
    expect([client.streams, server.streams, client.closed]).toEqual([0, 0, false]);
  });

  test("is one for each stream: a second is a glitch, and one for a stream that never was ends the connection", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server");
    const reset = (id: number) => peer.send({ kind: "reset", id, code: 1, flags: 0, body: new Uint8Array(0) });
    peer.send({ kind: "open", id: 1, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true });
    await world.settle();
    host.sinks[0]!.stream.send(pattern(1), true);
    reset(1);
    await world.settle();
    expect(connection.stats().glitches).toBe(0);
    reset(1);
    await world.settle();
    expect(connection.stats().glitches).toBe(1);
    peer.send({ kind: "open", id: 3, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true });
    await world.settle();
    reset(3);
    reset(3);
    await world.settle();
    expect(connection.stats().glitches).toBe(2);
    // There is a place for one more, but not for this.
    peer.send({ kind: "open", id: 5, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true });
    await world.settle();
    host.sinks[2]!.stream.send(pattern(1), true);
    await world.settle();
    reset(7);
    await world.settle();
    expect(host.error).toMatchObject({ reason: "PROTOCOL_ERROR" });
  });
});
