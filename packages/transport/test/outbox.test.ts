import { describe, expect, test } from "@jest/globals";
import { HEAD_BYTES, Shape } from "@rap/protocol";
import { open, pattern, RecordingSink, World } from "./link";

const KiB = 1024;

describe("the frames of a turn", () => {
  test("leave in one write", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    peer.chunks.length = 0;
    for (let call = 0; call < 50; call++) open(connection, new RecordingSink(), { bytes: 20 });
    connection.ping();
    await world.settle();
    expect(peer.frames).toHaveLength(51);
    expect(peer.chunks).toHaveLength(1);
  });

  test("leave when the turn is over and not before", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    open(connection, new RecordingSink());
    expect(connection.stats().buffered).toBe(0);
    await Promise.resolve();
    open(connection, new RecordingSink());
    expect(connection.stats().buffered).toBe(0);
    await world.settle();
    expect(peer.of("open")).toHaveLength(2);
  });

  test("begin to leave earlier when there are more than 8 KiB of them", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    peer.chunks.length = 0;
    for (let call = 0; call < 100; call++) open(connection, new RecordingSink(), { bytes: 1_000 });
    expect(connection.stats().buffered).toBeGreaterThan(80 * KiB);
    await world.settle();
    expect(peer.of("open")).toHaveLength(100);
    expect(peer.chunks.length).toBeGreaterThan(10);
    expect(peer.chunks.length).toBeLessThan(15);
    for (const size of peer.chunks) expect(size).toBeLessThan(10 * KiB);
  });

  test("are as they were written, in order, however many slabs they fill", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    const sizes = Array.from({ length: 200 }, (_, call) => (call * 977) % 16_000);
    for (const bytes of sizes) open(connection, new RecordingSink(), { bytes });
    await world.settle();
    // A body that makes its frame larger than 16 KiB comes in two parts.
    const bodies = peer.of("open").map(({ id, body }) => [id, Buffer.from(body).toString("latin1")]);
    expect(bodies).toEqual(sizes.map((size, call) => [1 + 2 * call, Buffer.from(pattern(size)).toString("latin1")]));
  });

  test("are counted, with their bytes", async () => {
    const world = new World();
    const { connection, peer } = await world.raw("client");
    const before = connection.stats();
    expect(before.framesSent).toBe(1);
    peer.chunks.length = 0;
    connection.ping();
    connection.ping();
    await world.settle();
    const { framesSent, bytesSent } = connection.stats();
    expect([framesSent - before.framesSent, bytesSent - before.bytesSent]).toEqual([2, 2 * (HEAD_BYTES + 8)]);
    expect(peer.chunks).toEqual([2 * (HEAD_BYTES + 8)]);
  });

  test("do not leave any more once the connection is closed", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    open(connection, new RecordingSink());
    connection.abort(1, "gone");
    connection.ping();
    await world.settle();
    expect([peer.frames, peer.closed]).toEqual([[], true]);
  });
});

describe("large messages", () => {
  test("travel in parts of 64 KiB, and say in each whether there is more", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    const size = 256 + 3 * 64 * KiB + 5;
    open(connection, new RecordingSink(), { bytes: size });
    await world.settle();
    const parts = [...peer.of("open"), ...peer.of("data")];
    expect(parts.map(({ body, more, end }) => [body.length, more ?? false, end ?? false])).toEqual([
      [256, true, false],
      [64 * KiB, true, false],
      [64 * KiB, true, false],
      [64 * KiB, true, false],
      [5, false, true],
    ]);
    expect(Buffer.compare(Buffer.concat(parts.map(({ body }) => body)), pattern(size))).toBe(0);
  });

  test("take turns, so that each goes on while the others wait", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    const streams = [0, 1, 2].map(() => open(connection, new RecordingSink(), { bytes: 1_000_000 }));
    await world.settle();
    const turns = peer.of("data").map(({ id }) => id);
    // Whoever was first may fill the socket; from then on nobody goes twice while another one could.
    const contested = turns.slice(turns.indexOf(streams[1]!.id), turns.lastIndexOf(streams[0]!.id));
    expect(contested.length).toBeGreaterThan(20);
    contested.forEach((id, at) => {
      if (at > 0) expect(id).not.toBe(contested[at - 1]);
    });
    expect(turns.filter((id) => id === streams[2]!.id)).toHaveLength(Math.ceil((1_000_000 - 256) / (64 * KiB)));
  });

  test("let small calls pass them", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    const large = open(connection, new RecordingSink(), { bytes: 4_000_000 });
    const small = open(connection, new RecordingSink(), { bytes: 5 });
    await world.settle();
    const order = peer.frames.map((frame) => ("id" in frame ? frame.id : 0));
    const behind = order.length - order.indexOf(small.id);
    expect(order.filter((id) => id === large.id)).toHaveLength(63);
    // No more than what was in the socket already is before it.
    expect(order.indexOf(small.id)).toBeLessThanOrEqual(6);
    expect(behind).toBeGreaterThan(50);
  });

  test("wait while the socket has 256 KiB that the peer has not taken, and go on when it is empty", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    peer.socket.pause();
    open(connection, new RecordingSink(), { bytes: 2_000_000 });
    await world.settle();
    expect(connection.stats().buffered).toBeGreaterThanOrEqual(256 * KiB);
    expect(connection.stats().buffered).toBeLessThan(330 * KiB);
    peer.socket.resume();
    await world.settle();
    expect(peer.of("data").at(-1)?.end).toBe(true);
    expect(connection.stats().buffered).toBe(0);
  });

  test.each([
    ["by a peer that keeps up", 100_000_000],
    ["by a peer that is behind", 64 * KiB],
  ])("are handed to the socket 256 KiB at a time, and taken %s", async (_, highWaterMark) => {
    const world = new World({ highWaterMark });
    const { connection } = await world.rawReady("client");
    const batches = [0];
    const { socket } = connection;
    const write = socket.write.bind(socket);
    socket.write = (bytes, more = false) => {
      batches[batches.length - 1]! += bytes.length;
      if (!more) batches.push(0);
      return write(bytes, more);
    };
    open(connection, new RecordingSink(), { bytes: 2_000 * KiB });
    await world.settle();
    expect(batches.map((size) => Math.round(size / 32 / KiB) * 32).slice(0, -1)).toEqual([...Array(7).fill(256), 192]);
  });

  test("whose memory goes elsewhere while a part of it is about to be written cost the connection", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client", {}, { streamWindowBytes: 2_000_000 });
    peer.socket.pause();
    const body = Uint8Array.from(pattern(1_000_000));
    const sink = new RecordingSink();
    sink.onWritable = () => void structuredClone(body.buffer, { transfer: [body.buffer] });
    open(connection, new RecordingSink(), { shape: Shape.CHANNEL }).send(body, true);
    open(connection, sink, { shape: Shape.CHANNEL }).send(pattern(20_000), false);
    await world.settle();
    peer.socket.resume();
    await world.settle();
    expect(body.length).toBe(0);
    expect(host.events).toEqual(["ready", expect.stringContaining("transferred elsewhere while they were sent")]);
  });

  test("of several streams that wait for credit go on as soon as there is some", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client", {}, { streamWindowBytes: 1_000 });
    const streams = [0, 1].map(() => {
      const sink = new RecordingSink();
      const stream = open(connection, sink, { shape: Shape.CHANNEL });
      expect(stream.send(pattern(10_000), true)).toBe(false);
      return { stream, sink };
    });
    await world.settle();
    const sent = () =>
      streams.map(
        ({ stream }) =>
          Buffer.concat(peer.of("data").flatMap(({ id, body }) => (id === stream.id ? [body] : []))).length,
      );
    expect(sent()).toEqual([1_000, 1_000]);
    for (const { stream } of [...streams].reverse()) {
      peer.send({ kind: "credit", id: stream.id, bytes: 20_000, messages: 0 });
    }
    await world.settle();
    expect(sent()).toEqual([10_000, 10_000]);
    expect(streams.map(({ stream }) => stream.localDone)).toEqual([true, true]);
  });
});
