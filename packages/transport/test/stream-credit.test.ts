import { describe, expect, test } from "@jest/globals";
import { LIMITS, Shape } from "@rap/protocol";
import { both, open, pattern, RecordingSink } from "./link";

const KiB = 1024;

describe("back-pressure", () => {
  test("says when the next message must wait, and tells when it need not any more", async () => {
    const { world, near, nearSink, farSink } = await both(Shape.CHANNEL, false);
    const sent: boolean[] = [];
    for (let n = 0; n < 5; n++) sent.push(near.send(pattern(60 * KiB), false));
    expect(sent).toEqual([true, true, true, true, false]);
    nearSink.writable = 0;
    await world.settle();
    expect([nearSink.writable, farSink.messages.length]).toEqual([0, 4]);
    farSink.read();
    await world.settle();
    expect([nearSink.writable, farSink.messages.length]).toEqual([1, 5]);
  });

  test("bounds small messages by their number", async () => {
    const { near } = await both(Shape.CHANNEL, false);
    let sent = 0;
    while (near.send(Uint8Array.of(1), false)) sent++;
    expect(sent).toBe(LIMITS.streamWindowMessages);
  });

  test("lets a message through that is larger than the window, for a channel and after arguments", async () => {
    for (const shape of [Shape.CHANNEL, Shape.CLIENT_STREAM, Shape.BIDI_STREAM]) {
      const { world, near, farSink } = await both(shape, false);
      near.send(pattern(LIMITS.streamWindowBytes * 3), false);
      await world.settle();
      expect(farSink.messages.map(({ length }) => length)).toEqual([LIMITS.streamWindowBytes * 3]);
    }
  });

  test("of one stream does not hold up another", async () => {
    const { world, client, near, farSink, serverHost } = await both(Shape.CHANNEL, false);
    while (near.send(pattern(10_000), false));
    await world.settle();
    const other = open(client, new RecordingSink(), { shape: Shape.CHANNEL });
    other.send(pattern(5), true);
    await world.settle();
    expect(serverHost.sinks[1]!.events).toEqual(["message of 5", "end"]);
    expect(farSink.messages.length).toBeGreaterThan(20);
  });
});
