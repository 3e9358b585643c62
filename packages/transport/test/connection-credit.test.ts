import { describe, expect, test } from "@jest/globals";
import { LIMITS, RapError, Shape } from "@rap/protocol";
import { both, linked, open, pattern, RecordingSink, World } from "./link";

const KiB = 1024;
const CANCELLED = new RapError("CANCELLED", "never mind");

describe("back-pressure", () => {
  test("of readers that sleep on most of the connection's window does not stop those that read", async () => {
    const world = new World();
    const { client, serverHost } = await world.link();
    serverHost.reading = false;
    // 3.75 MiB of the 4 that a connection may have under way.
    for (let n = 0; n < 15; n++) {
      const stream = open(client, new RecordingSink(), { shape: Shape.CHANNEL });
      for (let part = 0; part < 4; part++) stream.send(pattern(64 * KiB), false);
    }
    await world.settle();
    serverHost.reading = true;
    const awake = open(client, new RecordingSink(), { shape: Shape.CHANNEL });
    for (let n = 0; n < 50; n++) awake.send(pattern(64 * KiB), false);
    await world.settle();
    expect(serverHost.sinks.at(-1)!.messages).toHaveLength(50);
  });

  test("of a reader that goes away gives the connection its credit back", async () => {
    const { world, client, server, near, farSink, serverHost } = await both(Shape.CHANNEL, false);
    const streams = [near];
    // More streams than the connection's 4 MiB allow to be full at once.
    for (let n = 0; n < 20; n++) streams.push(open(client, new RecordingSink(), { shape: Shape.CHANNEL }));
    for (const stream of streams) for (let n = 0; n < 4; n++) stream.send(pattern(64 * KiB), false);
    await world.settle();
    expect(client.stats().waitingForCredit).toBeGreaterThan(0);
    for (const sink of [farSink, ...serverHost.sinks.slice(0, 10)]) sink.stream.reset(CANCELLED);
    await world.settle();
    expect([client.stats().waitingForCredit, server.stats().waitingForCredit]).toEqual([0, 0]);
    expect(serverHost.sinks.slice(10).every(({ messages }) => messages.length === 4)).toBe(true);
  });
});

describe("a stream that is over", () => {
  test("holds no credit of its connection, though nobody ever read it", async () => {
    const { world, client, serverHost } = await linked();
    const rounds = (2 * LIMITS.connectionWindowBytes) / (100 * 256);
    for (let round = 0; round < rounds; round++) {
      const sink = new RecordingSink(false);
      open(client, sink, { shape: Shape.SERVER_STREAM });
      await world.settle();
      const { stream } = serverHost.sinks.at(-1)!;
      for (let n = 0; n < 100; n++) stream.send(pattern(1), false);
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
    for (let n = 0; n < 200; n++) stream.send(pattern(1), false);
    stream.end();
    await world.settle();
    sink.read();
    await world.settle();
    expect(sink.messages).toHaveLength(200);
    expect(server.credit.sending.bytes).toBeLessThanOrEqual(LIMITS.connectionWindowBytes);
  });
});
