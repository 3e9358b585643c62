import { describe, expect, test } from "@jest/globals";
import { Shape } from "@rap/protocol";
import { both, pattern, World } from "./link";

describe("messages", () => {
  test("of many parts cost memory only once they are whole, and are the sink's own then", async () => {
    const owned: boolean[] = [];
    const { world, near, farSink } = await both(Shape.CHANNEL);
    const onMessage = farSink.onMessage.bind(farSink);
    farSink.onMessage = (bytes, start, end, own, metadata, cost) => {
      owned.push(own);
      onMessage(bytes, start, end, own, metadata, cost);
    };
    near.send(pattern(10), false);
    near.send(pattern(100_000), false);
    await world.settle();
    expect(owned).toEqual([false, true]);
  });

  test("that are larger than this side takes end the stream on both sides, as soon as that is known", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server", { limits: { maxMessageBytes: 1_000 } });
    peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
    for (const more of [true, true, false]) peer.send({ kind: "data", id: 1, body: pattern(600), more });
    await world.settle();
    const { events } = host.sinks[0]!;
    expect(events).toEqual(["reset RESOURCE_EXHAUSTED: a message is larger than the limit of 1000 bytes"]);
    expect(peer.of("reset")).toMatchObject([{ id: 1, code: 8 }]);
    peer.send({ kind: "end", id: 1 });
    await world.settle();
    expect([connection.streams, connection.stats().glitches, host.events]).toEqual([0, 0, ["ready"]]);
  });
});
