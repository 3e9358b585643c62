import { describe, expect, test } from "@jest/globals";
import { Flag, LIMITS, Metadata, OWNED_BYTES, RapError, Shape } from "@rap/protocol";
import { type Both, both, linked, open, pattern, RecordingSink, World } from "./link";

const KiB = 1024;
const CANCELLED = new RapError("CANCELLED", "never mind");

describe("messages", () => {
  test("wait when the peer takes nothing, also small ones for which it gives endless credit", async () => {
    const world = new World();
    const endless = 2 ** 31 - 1;
    const { peer, host, connection } = await world.rawReady(
      "server",
      {},
      { streamWindowBytes: endless, streamWindowMessages: endless, connectionWindowBytes: endless },
    );
    peer.send({ kind: "open", id: 1, shape: Shape.SERVER_STREAM, target: "f", body: pattern(1), end: true });
    await world.settle();
    peer.socket.pause();
    const [sink] = host.sinks;
    let sent = 0;
    while (sent < 1_000 && sink!.stream.send(pattern(10_000), false)) sent++;
    expect(sent).toBeGreaterThan(100);
    expect(sent).toBeLessThan(120);
    expect(connection.socket.buffered).toBeLessThan(1_100 * KiB);
    expect(sink!.writable).toBe(0);
    peer.socket.resume();
    await world.settle();
    expect(sink!.writable).toBe(1);
    expect(peer.frames).toHaveLength(sent + 1);
  });

  test("arrive in order, large and small ones in any mixture", async () => {
    const { world, near, farSink } = await both(Shape.CHANNEL);
    const sizes = [5, 700_000, 0, 20_000, 3, 65_536, 65_537, 1, 300_000];
    for (const size of sizes) near.send(pattern(size), false);
    near.end();
    await world.settle();
    expect(farSink.events).toEqual([...sizes.map((size) => `message of ${size}`), "end"]);
    farSink.messages.forEach((message, at) => {
      expect(Buffer.compare(message, pattern(sizes[at]!))).toBe(0);
    });
  });

  test("that wait are copies of what the codec may overwrite, also of a Buffer; what is larger is the caller's no more", async () => {
    for (const make of [pattern, (size: number) => Buffer.from(pattern(size))]) {
      const { world, near, farSink } = await both(Shape.CHANNEL, false);
      while (near.send(pattern(10_000), false));
      const body = make(OWNED_BYTES);
      expect(near.send(body, false)).toBe(false);
      body.fill(0);
      const large = make(OWNED_BYTES + 1);
      near.send(large, true);
      do {
        farSink.read();
        await world.settle();
      } while (!near.localDone);
      const [copied, handed] = farSink.messages.slice(-2);
      expect(Buffer.compare(copied!, pattern(OWNED_BYTES))).toBe(0);
      expect(Buffer.compare(handed!, large)).toBe(0);
    }
  });

  test("may be empty, and may end their direction", async () => {
    const { world, near, far, farSink, nearSink } = await both(Shape.CHANNEL);
    near.send(new Uint8Array(0), true);
    far.send(new Uint8Array(0), true);
    await world.settle();
    expect([farSink.events, nearSink.events]).toEqual([
      ["message of 0", "end"],
      ["message of 0", "end"],
    ]);
  });

  test("carry metadata, in front of the first part of a large one", async () => {
    const { world, near, farSink } = await both(Shape.CHANNEL);
    near.send(pattern(5), false, new Metadata({ n: "1" }));
    near.send(pattern(5), false);
    near.send(pattern(100_000), false, new Metadata({ n: "2", "b-bin": Uint8Array.of(1) }));
    await world.settle();
    expect(farSink.metadata.slice(-3).map((metadata) => metadata && [...metadata])).toEqual([
      [["n", "1"]],
      undefined,
      [
        ["n", "2"],
        ["b-bin", Uint8Array.of(1)],
      ],
    ]);
  });

  test("that are larger than the peer takes are refused where they are sent, and the stream lives", async () => {
    const world = new World();
    const { client, serverHost } = await world.link({}, { limits: { maxMessageBytes: 1_000 } });
    const refused = expect.objectContaining({
      code: "RESOURCE_EXHAUSTED",
      message: "a message of 1001 bytes is over the peer's limit of 1000",
      details: [{ limit: 1_000, size: 1_001 }],
      maybeExecuted: false,
    });
    expect(() => open(client, new RecordingSink(), { bytes: 1_001 })).toThrow(refused);
    const stream = open(client, new RecordingSink(), { shape: Shape.CHANNEL });
    expect(() => stream.send(pattern(1_001), false)).toThrow(refused);
    stream.send(pattern(1_000), true);
    await world.settle();
    expect(serverHost.sinks.map(({ events }) => events)).toEqual([["message of 1000", "end"]]);
    expect(client.streams).toBe(1);
  });
});

describe("the end of a stream", () => {
  test("comes after the messages that wait, with its trailers", async () => {
    const { world, near, farSink } = await both(Shape.CHANNEL, false);
    for (let n = 0; n < 6; n++) near.send(pattern(60 * KiB), false);
    near.end(new Metadata({ items: "6" }));
    expect(near.localDone).toBe(false);
    await world.settle();
    expect(farSink.events).not.toContain("end");
    for (let n = 0; n < 3; n++) {
      farSink.read();
      await world.settle();
    }
    expect(farSink.events.slice(-2)).toEqual([`message of ${60 * KiB}`, "end"]);
    expect(farSink.trailers?.get("items")).toBe("6");
    expect(near.localDone).toBe(true);
  });

  test("is one direction's: the other goes on", async () => {
    const { world, client, server, near, far, nearSink } = await both(Shape.CHANNEL);
    near.end();
    near.end();
    expect(near.send(pattern(5), false)).toBe(true);
    await world.settle();
    far.send(pattern(3), false);
    await world.settle();
    expect([nearSink.events, client.streams, server.streams]).toEqual([["message of 3"], 1, 1]);
    far.end();
    await world.settle();
    expect([nearSink.events, client.streams, server.streams]).toEqual([["message of 3", "end"], 0, 0]);
  });

  test("of both directions makes both sides forget it", async () => {
    for (const finish of [
      ({ near, far }: Both) => {
        near.end();
        far.end();
      },
      ({ near, far }: Both) => {
        near.fail(CANCELLED);
        far.end();
      },
      ({ near, far }: Both) => {
        near.reset(CANCELLED);
        far.reset(CANCELLED);
      },
      ({ near, far }: Both) => {
        near.send(pattern(1), true);
        far.finish();
      },
    ]) {
      const all = await both(Shape.CHANNEL);
      finish(all);
      await all.world.settle();
      expect([all.client.streams, all.server.streams]).toEqual([0, 0]);
      expect([all.client.stats().glitches, all.server.stats().glitches]).toEqual([0, 0]);
      expect([all.clientHost.rooms, all.serverHost.rooms]).toEqual([1, 1]);
      expect([all.clientHost.events, all.serverHost.events]).toEqual([["ready"], ["ready"]]);
    }
  });
});

describe("an error", () => {
  test("that fails a stream comes after the messages before it", async () => {
    const { world, near, farSink } = await both(Shape.CHANNEL, false);
    for (let n = 0; n < 6; n++) near.send(pattern(60 * KiB), false);
    near.fail(new RapError("ABORTED", "no more", { data: { n: 1 } }));
    for (let n = 0; n < 4; n++) {
      await world.settle();
      farSink.read();
    }
    await world.settle();
    expect(farSink.events).toEqual([...new Array(6).fill(`message of ${60 * KiB}`), "reset ABORTED: no more"]);
    expect(farSink.error).toMatchObject({ data: { n: 1 }, origin: "remote" });
  });

  test("that resets a stream overtakes what waits, and drops what still comes", async () => {
    const { world, client, near, far, nearSink, farSink } = await both(Shape.CHANNEL, false);
    for (let n = 0; n < 6; n++) near.send(pattern(60 * KiB), false);
    far.send(pattern(7), false);
    near.reset(CANCELLED);
    near.reset(CANCELLED);
    await world.settle();
    expect(farSink.events).toEqual([...new Array(4).fill(`message of ${60 * KiB}`), "reset CANCELLED: never mind"]);
    // Nobody reads here any more.
    expect(nearSink.events).toEqual([]);
    expect(client.streams).toBe(1);
    far.reset(CANCELLED);
    await world.settle();
    expect([client.streams, client.stats().glitches]).toEqual([0, 0]);
  });

  test("after this side's end still tells the peer that nobody reads any more", async () => {
    const { world, near, farSink } = await both(Shape.SERVER_STREAM);
    expect(near.localDone).toBe(true);
    near.reset(CANCELLED);
    await world.settle();
    expect(farSink.events).toEqual(["reset CANCELLED: never mind"]);
  });

  test("without a cause is a way to be done with both directions", async () => {
    const { world, near, nearSink, far, farSink } = await both(Shape.CHANNEL);
    near.finish();
    await world.settle();
    expect([farSink.events, nearSink.events]).toEqual([["done"], []]);
    far.finish();
    await world.settle();
    const ended = await both(Shape.CHANNEL);
    ended.near.end();
    await ended.world.settle();
    ended.far.finish();
    await ended.world.settle();
    expect(ended.nearSink.events).toEqual(["end"]);
  });
});

describe("metadata that is malformed", () => {
  test("beside a message ends the stream on both sides with INVALID_ARGUMENT", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server");
    peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
    const frame = [0, 0, 0, 5, 0x12, Flag.METADATA | Flag.END, 0, 0, 0, 1, 0, 2, 1, 0x41, 1];
    peer.write(Uint8Array.from(frame));
    await world.settle();
    expect(host.sinks[0]!.events).toEqual(["reset INVALID_ARGUMENT: metadata is cut short"]);
    expect(peer.of("reset")).toMatchObject([{ code: 3 }]);
    expect([connection.streams, host.events]).toEqual([0, ["ready"]]);
  });
});

describe("headers and trailers", () => {
  test("arrive as they were sent, headers before messages", async () => {
    const { world, far, nearSink } = await both(Shape.SERVER_STREAM);
    far.sendHeaders(new Metadata({ a: "1" }));
    far.send(pattern(2), false);
    far.end(new Metadata({ b: "2" }));
    far.sendHeaders(new Metadata({ late: "1" }));
    await world.settle();
    expect(nearSink.events).toEqual(['headers {"a":"1"}', "message of 2", "end"]);
    expect(nearSink.trailers?.get("b")).toBe("2");
  });

  test("do not overtake a message that waits", async () => {
    const { world, far, nearSink } = await both(Shape.SERVER_STREAM, false);
    for (let n = 0; n < 5; n++) far.send(pattern(60 * KiB), false);
    far.sendHeaders(new Metadata({ a: "1" }));
    await world.settle();
    expect(nearSink.events).toHaveLength(4);
    nearSink.read();
    await world.settle();
    expect(nearSink.events.slice(-2)).toEqual([`message of ${60 * KiB}`, 'headers {"a":"1"}']);
  });
});

test("what was counted of messages is the same on both sides", async () => {
  const { world, client, server, near, far } = await both(Shape.CHANNEL);
  for (const size of [0, 10, 100_000]) near.send(pattern(size), false);
  far.send(pattern(20_000), true);
  near.end();
  await world.settle();
  expect([client.stats().messagesSent, server.stats().messagesReceived]).toEqual([3, 3]);
  expect([server.stats().messagesSent, client.stats().messagesReceived]).toEqual([1, 1]);
  expect([client.stats().streams, server.stats().streams, client.stats().opened, server.stats().opened]).toEqual([
    0, 0, 1, 1,
  ]);
  expect(client.stats().framesSent).toBe(server.stats().framesReceived);
});

describe("a stream that is over", () => {
  test("is also over on both sides when the caller left in the middle of its only, large reply", async () => {
    const { world, client, server, serverHost } = await linked();
    const stream = open(client, new RecordingSink());
    await world.settle();
    serverHost.sinks[0]!.stream.send(pattern(3_000_000), true);
    stream.reset(CANCELLED);
    await world.settle();
    expect([client.streams, server.streams]).toEqual([0, 0]);
  });

  test("is over when the peer left while messages and the end after them waited for credit", async () => {
    const { world, client, server, serverHost } = await linked();
    const stream = open(client, new RecordingSink(false), { shape: Shape.CHANNEL });
    await world.settle();
    const answer = serverHost.sinks[0]!.stream;
    for (let n = 0; n < LIMITS.streamWindowMessages + 10; n++) answer.send(pattern(1), false);
    answer.finish();
    stream.reset(CANCELLED);
    await world.settle();
    expect([client.streams, server.streams]).toEqual([0, 0]);
  });
});

describe("an error that comes late", () => {
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
    for (let n = 0; n < LIMITS.streamWindowMessages + 1; n++) stream.send(pattern(1), false);
    stream.fail(new RapError("ABORTED", "first"));
    stream.reset(new RapError("INTERNAL", "at once"));
    await world.settle();
    expect(sink.events.at(-1)).toBe("reset INTERNAL: at once");
  });
});
