import { describe, expect, test } from "@jest/globals";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { type ConnectionLimit, type Frame, HEAD_BYTES, Kind, LIMITS, type Limits, PREAMBLE } from "@rap/protocol";
import { Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { noPauses } from "@rap/transport";
import { AROUND, call, calls, cancel, greet, head, message, odd, ping, type Scene, scene, settle } from "./limit-scene";
import { SILENT } from "./links";

/** What a peer does so that it is `more` over the limit, or below it. */
type Play = (scene: Scene, more: number) => unknown;

const send =
  (frames: (more: number) => readonly Frame[]): Play =>
  ({ peer }, more) =>
    peer.send(...frames(more));
const times = (count: number, frame: Frame): Frame[] => new Array<Frame>(count).fill(frame);

/** Bytes that go before the body of a result of `bytes`: those of its frame and of msgpack. */
const RESULT_HEAD = HEAD_BYTES + 3;

/** The beginning of such a body. */
const RESULT_BYTES = 5;
/** The first part of a large one goes at once, and four fragments more until the socket wants none. */
const FIRST_PART = 256;
const OF_A_RESULT_GONE = FIRST_PART + 4 * LIMITS.fragmentBytes;

/** Takes nothing from here on, and asks for a result that makes this many bytes wait for it. */
const leave =
  (bytes: number): Play =>
  async ({ peer }, more) => {
    peer.socket.pause();
    peer.send(call(1, "bytes", [bytes + more - RESULT_HEAD]));
    await settle();
    peer.send(odd);
  };

describe("below and at its limit nothing happens, and one over it a connection ends and is counted:", () => {
  test.each<[keyof Limits, Partial<Limits>, ConnectionLimit, Play]>([
    [
      "maxFrameBytes",
      { maxFrameBytes: 100_000 },
      "maxFrameBytes",
      ({ peer }, n) => peer.write(head(Kind.OPEN, 100_000 + n)),
    ],
    ["pingBurst", { pingBurst: 5, pingStrikes: 1 }, "pingsPerSecond", send((n) => times(5 + 1 + n, ping))],
    ["pingStrikes", { pingBurst: 1, pingStrikes: 3 }, "pingsPerSecond", send((n) => times(1 + 3 + n, ping))],
    ["glitchBurst", { glitchBurst: 5 }, "glitchesPerSecond", send((n) => times(5 + n, odd))],
    ["refusedBurst", { maxInFlight: 10, refusedBurst: 5 }, "refusedPerSecond", send((n) => calls(10 + 5 + n, "hang"))],
    [
      "cancelBurst",
      { cancelBurst: 3, cancelsPerSecond: 0.001 },
      "cancelsPerSecond",
      async (scene, n) => {
        for (let id = 1; id <= 2 * (3 + n); id += 2) await outlive(scene, id);
      },
    ],
    [
      "streamWindowBytes",
      { streamWindowBytes: 1_000 },
      "streamWindowBytes",
      send((n) => [call(1, "talk"), message(1, 1_000 + n)]),
    ],
    [
      "streamWindowMessages",
      { streamWindowMessages: 3 },
      "streamWindowMessages",
      send((n) => [call(1, "talk"), ...times(3 + n, message(1, 300))]),
    ],
    [
      "connectionWindowBytes",
      { connectionWindowBytes: 1_000 },
      "connectionWindowBytes",
      send((n) => [call(1, "talk"), call(3, "talk"), message(1, 600), message(3, 400 + n)]),
    ],
    // Calls beyond `maxInFlight` are refused; this many that the caller does not end are too much.
    [
      "maxInFlight",
      { maxInFlight: 2 },
      "maxInFlight",
      send((n) => calls(2 * 2 + n, "echo").map((each) => ({ ...each, end: false }))),
    ],
    ["writeQueueHardBytes", { writeQueueHardBytes: 30_000 }, "writeQueueHardBytes", leave(30_000)],
    ["processWriteQueueBytes", { processWriteQueueBytes: 30_000 }, "processWriteQueueBytes", leave(30_000)],
    [
      "processReceiveBytes",
      { processReceiveBytes: 5_000 },
      "processReceiveBytes",
      ({ peer }, n) => peer.write(Buffer.concat([head(Kind.OPEN, 9_000), new Uint8Array(5_000 - HEAD_BYTES + n)])),
    ],
  ])("%s", async (_limit, limits, counter, play) => {
    for (const more of AROUND) {
      await using stage = await scene(limits, { highWaterMark: 1_000 });
      await play(stage, more);
      await settle();
      const { connections, ended } = stage.server.stats();
      expect({ more, connections, ended }).toEqual({
        more,
        connections: more === 1 ? 0 : 1,
        ended: more === 1 ? { [counter]: 1 } : {},
      });
    }
  });

  test("maxHandshakeBytes", async () => {
    for (const more of AROUND) {
      await using stage = await scene({}, { greets: false });
      stage.peer.write(PREAMBLE);
      stage.peer.write(head(Kind.HELLO, LIMITS.maxHandshakeBytes + more));
      await settle();
      expect(stage.server.stats().ended).toEqual(more === 1 ? { maxHandshakeBytes: 1 } : {});
    }
  });
});

/** Milliseconds after which a function that goes on after its call was cancelled is held against the caller. */
const OUTLIVED = 101;

/** Calls such a function, and gives it up. */
async function outlive(
  { peer, clock, release }: Scene,
  id: number,
  {
    opens = call(id, "hang"),
    after = 0,
    givesUp = cancel(id),
  }: { opens?: Frame; after?: number; givesUp?: Frame } = {},
): Promise<void> {
  peer.send(opens);
  await settle();
  clock.advance(after);
  peer.send(givesUp);
  await settle();
  clock.advance(OUTLIVED);
  release();
  await settle();
}

describe("cancelBurst, up to it and one over it, by calls whose caller ends them with", () => {
  const resets = (id: number, code: number): Frame => ({ kind: "reset", id, code, flags: 0, body: new Uint8Array(0) });
  const due = (id: number, timeout: number): Frame => ({ ...call(id, "hang"), timeout }) as Frame;

  test.each<[string, (id: number) => NonNullable<Parameters<typeof outlive>[2]>]>([
    ["DEADLINE_EXCEEDED, though they had no deadline", (id) => ({ givesUp: resets(id, 4) })],
    ["DEADLINE_EXCEEDED, long before it", (id) => ({ opens: due(id, 60_000), after: 100, givesUp: resets(id, 4) })],
    ["DEADLINE_EXCEEDED, 101 ms before it", (id) => ({ opens: due(id, 1_000), after: 899, givesUp: resets(id, 4) })],
    ["no error, though they are no channels", (id) => ({ givesUp: resets(id, 0) })],
    [
      "a message that cannot be read",
      (id) => ({ opens: call(id, "talk"), givesUp: { kind: "data", id, body: Uint8Array.of(0xc1) } }),
    ],
  ])("%s", async (_, play) => {
    for (const more of AROUND) {
      await using stage = await scene({ cancelBurst: 3, cancelsPerSecond: 0.001 });
      for (let id = 1; id <= 2 * (3 + more); id += 2) await outlive(stage, id, play(id));
      const { connections, inFlight, ended, refused } = stage.server.stats();
      expect({ more, connections, inFlight, ended, timeout: refused.timeout }).toEqual({
        more,
        connections: more === 1 ? 0 : 1,
        inFlight: 0,
        ended: more === 1 ? { cancelsPerSecond: 1 } : {},
        timeout: 0,
      });
    }
  });

  test.each<[string, number, (id: number) => NonNullable<Parameters<typeof outlive>[2]>]>([
    [
      "DEADLINE_EXCEEDED, a little before it, as an OPEN may be late",
      1,
      (id) => ({ opens: due(id, 1_000), after: 900, givesUp: resets(id, 4) }),
    ],
    [
      "DEADLINE_EXCEEDED, when it is over",
      1,
      (id) => ({ opens: due(id, 1_000), after: 1_000, givesUp: resets(id, 4) }),
    ],
    [
      "DEADLINE_EXCEEDED, when the server has seen it itself",
      1,
      (id) => ({ opens: due(id, 1_000), after: 1_010, givesUp: resets(id, 4) }),
    ],
    [
      "CANCELLED, after the server's own time for them",
      0,
      (id) => ({ opens: { ...call(id, "hang"), end: false } as Frame, after: 5_010 }),
    ],
    ["no error, which closes a channel", 0, (id) => ({ opens: call(id, "talk"), givesUp: resets(id, 0) })],
  ])("not counted: %s", async (_, late, play) => {
    await using stage = await scene({ cancelBurst: 1, cancelsPerSecond: 0.001, maxTimeout: 5_000 });
    for (let id = 1; id <= 9; id += 2) await outlive(stage, id, play(id));
    const { connections, inFlight, ended, refused } = stage.server.stats();
    expect([connections, inFlight, ended, refused.timeout]).toEqual([1, 0, {}, 5 * late]);
  });

  test("not counted: the end of their time, on a client of ours", async () => {
    const clock = new ManualClock(1);
    const container = createContainer().register(CLOCK, { useValue: clock });
    const limits = { cancelBurst: 1, cancelsPerSecond: 0.001 };
    const waiting: (() => void)[] = [];
    const hang = () => new Promise<void>((resolve) => void waiting.push(resolve));
    const server = new Server({ container, limits, logger: SILENT }).register({ hang });
    const { client } = await createTestPair(server, { client: { container } });
    for (let n = 1; n <= 5; n++) {
      const called = client.invokeByName("hang", [], { timeout: 50 });
      const failed = expect(called).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
      await settle();
      clock.advance(55);
      await failed;
      await settle();
      clock.advance(OUTLIVED);
      waiting.shift()!();
      await settle();
      expect(client.stats()).toMatchObject({ connections: 1, refused: { timeout: n } });
      expect(server.stats()).toMatchObject({ connections: 1, inFlight: 0, ended: {}, refused: { timeout: n } });
    }
    await client.stop();
    await server.shutdown();
  });
});

describe("a budget that is used up has room again for one more after its time, and not a moment earlier:", () => {
  test.each<[keyof Limits, Partial<Limits>, ConnectionLimit, useUp: Play, again: Play, takes?: number]>([
    [
      "pingsPerSecond",
      { pingBurst: 1, pingStrikes: 1 },
      "pingsPerSecond",
      send(() => times(2, ping)),
      send(() => [ping]),
    ],
    ["glitchesPerSecond", { glitchBurst: 1 }, "glitchesPerSecond", send(() => [odd]), send(() => [odd])],
    [
      "refusedPerSecond",
      { maxInFlight: 1, refusedBurst: 1 },
      "refusedPerSecond",
      send(() => calls(2, "hang")),
      send(() => [call(5, "hang")]),
    ],
    [
      "cancelsPerSecond",
      { cancelBurst: 1 },
      "cancelsPerSecond",
      (scene) => outlive(scene, 1),
      (scene) => outlive(scene, 3),
      OUTLIVED,
    ],
  ])("%s", async (limit, limits, counter, useUp, again, takes = 0) => {
    for (const more of AROUND) {
      await using stage = await scene({ ...limits, [limit]: 2 });
      await useUp(stage, 0);
      await settle();
      expect(stage.server.stats().ended).toEqual({});
      stage.clock.advance(500 + more - takes);
      await again(stage, 0);
      await settle();
      expect({ more, ended: stage.server.stats().ended }).toEqual({ more, ended: more < 0 ? { [counter]: 1 } : {} });
    }
  });
});

describe("a connection beyond a limit is dropped as it comes, and counted:", () => {
  const far = { peer: { address: "192.0.2.7", local: false } };

  test.each(["maxConnections", "maxConnectionsPerIp", "maxHandshakes", "maxHandshakesPerIp", "acceptBurst"] as const)(
    "%s",
    async (limit) => {
      for (const more of AROUND) {
        const greets = limit === "maxConnections" || limit === "maxConnectionsPerIp";
        await using stage = await scene({ [limit]: 3 }, { ...far, greets });
        for (let others = 1; others < 3 + more; others++) {
          const peer = await stage.dial();
          if (greets) greet(peer);
          await settle();
        }
        const { rejected, connections } = stage.server.stats();
        const over = more === 1 ? 1 : 0;
        expect({ more, connections, sum: sum(rejected) }).toEqual({ more, connections: 3 + more - over, sum: over });
        expect(rejected[limit === "acceptBurst" ? "acceptsPerSecond" : limit]).toBe(over);
      }
    },
  );

  test("acceptsPerSecond", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ acceptBurst: 1, acceptsPerSecond: 2 }, far);
      stage.clock.advance(500 + more);
      await stage.dial();
      await settle();
      expect(stage.server.stats().rejected.acceptsPerSecond).toBe(more < 0 ? 1 : 0);
    }
  });
});

const sum = (counters: object) => Object.values(counters).reduce((all: number, each: number) => all + each, 0);

describe("a peer that takes too little is not read from until it has, which is counted:", () => {
  test("writeQueueSoftBytes", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ writeQueueSoftBytes: 20_000 }, { highWaterMark: 1_000 });
      await leave(20_000)(stage, more);
      await settle();
      expect(stage.server.stats().paused).toEqual({ ...noPauses(), writeQueueSoftBytes: more === 1 ? 1 : 0 });
      stage.peer.send(call(3, "hang"));
      await settle();
      expect(stage.server.stats().inFlight).toBe(more === 1 ? 0 : 1);
      stage.peer.socket.resume();
      await settle();
      expect(stage.server.stats()).toMatchObject({ inFlight: 1, connections: 1 });
    }
  });

  test("writeQueueHardBytes, by results that wait for their turn", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ writeQueueHardBytes: 400_000 }, { highWaterMark: 1_000 });
      stage.peer.socket.pause();
      stage.peer.send(
        call(1, "bytes", [OF_A_RESULT_GONE + 300_000 - RESULT_BYTES]),
        call(3, "bytes", [FIRST_PART + 100_000 + more - RESULT_BYTES]),
        // It came together with the others, but is not looked at.
        call(5, "hang"),
      );
      await settle();
      expect(stage.server.stats().paused).toEqual({ ...noPauses(), writeQueueHardBytes: more === 1 ? 1 : 0 });
      expect(stage.server.stats().inFlight).toBe(more === 1 ? 0 : 1);
      stage.peer.send(call(7, "hang"));
      await settle();
      expect(stage.server.stats().inFlight).toBe(more === 1 ? 0 : 2);
      stage.peer.socket.resume();
      await settle();
      expect(stage.server.stats()).toMatchObject({ inFlight: 2, connections: 1 });
      expect(sum(stage.peer.of("data").map(({ body }) => body.length))).toBe(
        OF_A_RESULT_GONE + FIRST_PART + 400_000 + more,
      );
    }
  });

  test("writeQueueHardBytes, of which a single result may be more", async () => {
    await using stage = await scene({ writeQueueHardBytes: 400_000 }, { highWaterMark: 1_000 });
    stage.peer.socket.pause();
    stage.peer.send(call(1, "bytes", [3_000_000]), call(3, "hang"));
    await settle();
    expect(stage.server.stats()).toMatchObject({ inFlight: 1, paused: noPauses() });
  });

  test("processWriteQueueBytes: results of all connections that wait for their turn, of each one at half of it", async () => {
    await using stage = await scene({ processWriteQueueBytes: 600_000 }, { highWaterMark: 1_000 });
    const peers = [stage.peer, await stage.dial()];
    greet(peers[1]!);
    for (const peer of peers) {
      peer.socket.pause();
      peer.send(call(1, "bytes", [OF_A_RESULT_GONE + 200_000 - RESULT_BYTES]));
      await settle();
    }
    expect(stage.server.stats().paused).toEqual(noPauses());
    peers[0]!.send(call(3, "bytes", [20_000]), call(5, "hang"));
    await settle();
    expect(stage.server.stats()).toMatchObject({ inFlight: 0, paused: { writeQueueHardBytes: 1 } });
    peers[0]!.socket.resume();
    await settle();
    expect(stage.server.stats()).toMatchObject({ inFlight: 1, connections: 2, ended: {} });
  });

  test("maxUnsentReplies", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ maxUnsentReplies: 10, pingBurst: 100 }, { highWaterMark: 1_000 });
      stage.peer.socket.pause();
      stage.peer.send(call(1, "bytes", [5_000]));
      await settle();
      stage.peer.send(...times(10 + more, ping));
      await settle();
      expect(stage.server.stats().paused).toEqual({ ...noPauses(), maxUnsentReplies: more === 1 ? 1 : 0 });
      stage.peer.send(call(3, "hang"));
      await settle();
      expect(stage.server.stats().inFlight).toBe(more === 1 ? 0 : 1);
      stage.peer.socket.resume();
      await settle();
      expect(stage.server.stats()).toMatchObject({ inFlight: 1, connections: 1 });
      expect(stage.peer.of("pong")).toHaveLength(10 + more);
    }
  });
});
