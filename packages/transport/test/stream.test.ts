import { describe, expect, test } from "@jest/globals";
import { LIMITS, RapError, Shape } from "@rap/protocol";
import { type Link, open, pattern, RecordingSink, World } from "./link";

const cancelled = new RapError("CANCELLED", "never mind");

async function linked(): Promise<Link & { world: World }> {
  const world = new World();
  return { world, ...(await world.link()) };
}

describe("a stream that is over", () => {
  test("holds no credit of its connection, though nobody ever read it", async () => {
    const { world, client, serverHost } = await linked();
    const rounds = (2 * LIMITS.connectionWindowBytes) / (100 * LIMITS.minMessageCharge);
    for (let round = 0; round < rounds; round++) {
      const sink = new RecordingSink(false);
      open(client, sink, { shape: Shape.SERVER_STREAM });
      await world.settle();
      const { stream } = serverHost.sinks.at(-1)!;
      for (let n = 0; n < 100; n++) stream.send(pattern(1), true, false);
      stream.end();
      await world.settle();
      // All of it came: the window of the connection is open again.
      expect([sink.messages.length, sink.events.at(-1)]).toEqual([100, "end"]);
    }
    expect(client.streams).toBe(0);
  });

  test("can still be read, which grants the peer nothing more", async () => {
    const { world, client, serverHost, server } = await linked();
    const sink = new RecordingSink(false);
    open(client, sink, { shape: Shape.SERVER_STREAM });
    await world.settle();
    const { stream } = serverHost.sinks[0]!;
    for (let n = 0; n < 200; n++) stream.send(pattern(1), true, false);
    stream.end();
    await world.settle();
    sink.read();
    await world.settle();
    expect(sink.messages).toHaveLength(200);
    expect(server.sendWindow.bytes).toBeLessThanOrEqual(LIMITS.connectionWindowBytes);
  });

  test("is also over on both sides when the caller left in the middle of its only, large reply", async () => {
    const { world, client, server, serverHost } = await linked();
    const stream = open(client, new RecordingSink());
    await world.settle();
    serverHost.sinks[0]!.stream.send(pattern(3_000_000), true, true);
    stream.reset(cancelled);
    await world.settle();
    expect([client.streams, server.streams]).toEqual([0, 0]);
  });

  test("is over when the peer left while messages and the end after them waited for credit", async () => {
    const { world, client, server, serverHost } = await linked();
    const stream = open(client, new RecordingSink(false), { shape: Shape.CHANNEL });
    await world.settle();
    const answer = serverHost.sinks[0]!.stream;
    for (let n = 0; n < LIMITS.streamWindowMessages + 10; n++) answer.send(pattern(1), true, false);
    answer.finish();
    stream.reset(cancelled);
    await world.settle();
    expect([client.streams, server.streams]).toEqual([0, 0]);
  });
});

describe("an error", () => {
  test("that comes after this side's end is told too, once", async () => {
    const { world, client, serverHost } = await linked();
    const sink = new RecordingSink();
    const stream = open(client, sink, { shape: Shape.CHANNEL });
    await world.settle();
    const answer = serverHost.sinks[0]!.stream;
    answer.end();
    answer.fail(new RapError("ABORTED", "late"));
    answer.fail(new RapError("ABORTED", "later"));
    answer.finish();
    await world.settle();
    expect(sink.events).toEqual(["end", "reset ABORTED: late"]);
    stream.end();
    await world.settle();
    expect([client.streams, client.stats().glitches]).toEqual([0, 0]);
  });

  test("that waited behind messages for credit goes out at once when the stream is reset", async () => {
    const { world, client, serverHost } = await linked();
    const sink = new RecordingSink(false);
    open(client, sink, { shape: Shape.SERVER_STREAM });
    await world.settle();
    const { stream } = serverHost.sinks[0]!;
    for (let n = 0; n < LIMITS.streamWindowMessages + 1; n++) stream.send(pattern(1), true, false);
    stream.fail(new RapError("ABORTED", "first"));
    stream.reset(new RapError("INTERNAL", "at once"));
    await world.settle();
    expect(sink.events.at(-1)).toBe("reset INTERNAL: at once");
  });
});

describe("a reset that crosses the end of the other side", () => {
  test("is no glitch, however often that happens", async () => {
    const { world, client, server, serverHost } = await linked();
    for (let round = 0; round < 2 * LIMITS.glitchBurst; round++) {
      const stream = open(client, new RecordingSink());
      await world.settle();
      serverHost.sinks.at(-1)!.stream.send(pattern(1), true, true);
      stream.reset(cancelled);
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
    host.sinks[0]!.stream.send(pattern(1), true, true);
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
    host.sinks[2]!.stream.send(pattern(1), true, true);
    await world.settle();
    reset(7);
    await world.settle();
    expect(host.error).toMatchObject({ reason: "PROTOCOL_ERROR" });
  });
});
