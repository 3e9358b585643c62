import { describe, expect, test } from "@jest/globals";
import { type Channel, Client } from "@rap/client";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import {
  CONNECTION_LIMITS,
  type ConnectionLimit,
  type Frame,
  GoawayCode,
  HEAD_BYTES,
  Kind,
  LIMITS,
  type Limits,
  type Metadata,
  msgpack,
  openSize,
  PREAMBLE,
} from "@rap/protocol";
import { ManualClock } from "@rap/testing";
import { type MemoryOptions, memory } from "@rap/transport";
import { RawPeer } from "../../transport/test/link";
import { AROUND, greet, head, METADATA, message, metadataAround, odd, ping, settle } from "./limit-scene";

/** A client on a clock of its own, and a server that sends it whatever the test wants. */
interface Scene extends AsyncDisposable {
  readonly client: Client;
  readonly clock: ManualClock;
  readonly peer: RawPeer;
  /** Begins a call whose result nobody awaits. */
  call(...args: unknown[]): Promise<void>;
  /** Opens a channel that reads nothing. Their ids are 1, 3, 5 … */
  channel(): Promise<unknown>;
}

async function scene(
  limits: Partial<Limits>,
  { greets = true, ...link }: MemoryOptions & { greets?: boolean } = {},
): Promise<Scene> {
  const clock = new ManualClock(1);
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const world = memory({ highWaterMark: 1_000, ...link });
  let peer: RawPeer | undefined;
  await world.listen("memory://scene", (socket) => {
    // It dials again after each end, and gets no answer.
    if (peer !== undefined) return socket.destroy();
    peer = new RawPeer(socket);
    if (greets) greet(peer);
  });
  const client = new Client({ target: "memory://scene", transports: [world], container, limits });
  const started = client.start();
  started.catch(() => {});
  await settle();
  if (greets) await started;
  return {
    client,
    clock,
    peer: peer!,
    async call(...args) {
      client.invokeByName("call", args, { timeout: Infinity }).catch(() => {});
      await settle();
    },
    channel: () => client.registerChannel<(channel: Channel<unknown, unknown>) => Promise<void>>("talk").open(),
    async [Symbol.asyncDispose]() {
      const stopped = client.stop({ graceMs: 0 });
      world.cut();
      await settle();
      clock.advance(10_000);
      await stopped;
    },
  };
}

describe("up to its limit metadata of a server passes, and one over it the connection ends and is counted:", () => {
  const ways: Record<string, (metadata: Metadata) => Frame> = {
    headers: (metadata) => ({ kind: "headers", id: 1, metadata }),
    trailers: (metadata) => ({ kind: "end", id: 1, metadata }),
  };

  describe.each(Object.keys(METADATA))("%s", (limit) => {
    test.each(Object.keys(ways))("in %s", async (way) => {
      for (const more of AROUND) {
        await using stage = await scene({});
        await stage.call();
        stage.peer.send(ways[way]!(metadataAround(limit, more)));
        await settle();
        expect(stage.client.stats().refused).toEqual(more === 1 ? { [limit]: 1 } : undefined);
        expect(stage.peer.of("goaway").map(({ code }) => code)).toEqual(more === 1 ? [GoawayCode.PROTOCOL_ERROR] : []);
      }
    });
  });

  test.each(Object.keys(METADATA))("%s, beside a message, where the call fails alone", async (limit) => {
    for (const more of AROUND) {
      await using stage = await scene({});
      await stage.channel();
      const body = new Uint8Array(msgpack().encode(1));
      stage.peer.send({ kind: "data", id: 1, body, metadata: metadataAround(limit, more) });
      await settle();
      expect(stage.client.stats().refused).toEqual(more === 1 ? { [limit]: 1 } : undefined);
      expect([stage.peer.of("goaway"), stage.peer.of("reset").length]).toEqual([[], more === 1 ? 1 : 0]);
    }
  });
});

type Play = (scene: Scene, more: number) => unknown;

const send =
  (frames: (more: number) => Parameters<RawPeer["send"]>): Play =>
  ({ peer }, more) =>
    peer.send(...frames(more));
const times = <T>(count: number, each: T): T[] => new Array<T>(count).fill(each);

/** Bytes that go before the argument of such a call: an OPEN, the beginning of a DATA, and those of msgpack. */
const CALL_HEAD = 2 * HEAD_BYTES + openSize(new TextEncoder().encode("default/call"), 0, undefined, -1) + 1 + 3;

/** Takes nothing from here on, and gets a call that makes this many bytes wait for it; then it says something. */
const leave =
  (bytes: number): Play =>
  async ({ peer, call }, more) => {
    peer.socket.pause();
    await call(new Uint8Array(bytes + more - CALL_HEAD));
    peer.send(odd);
  };

/** A server that is silent until it is asked for a sign of life, and then. */
const untilAsked: Play = async ({ call, peer, clock }) => {
  await call();
  while (peer.of("ping").length === 0) {
    clock.advance(100);
    await settle();
  }
};

const BEYOND: readonly (readonly [ConnectionLimit, Partial<Limits>, Play])[] = [
  ["maxFrameBytes", { maxFrameBytes: 100_000 }, ({ peer }, n) => peer.write(head(Kind.DATA, 100_000 + n))],
  ["pingsPerSecond", { pingBurst: 5, pingStrikes: 1 }, send((n) => times(5 + 1 + n, ping))],
  ["glitchesPerSecond", { glitchBurst: 5 }, send((n) => times(5 + n, odd))],
  [
    "streamWindowBytes",
    { streamWindowBytes: 1_000 },
    async ({ channel, peer }, n) => {
      await channel();
      peer.send(message(1, 1_000 + n));
    },
  ],
  [
    "streamWindowMessages",
    { streamWindowMessages: 3 },
    async ({ channel, peer }, n) => {
      await channel();
      peer.send(...times(3 + n, message(1, 300)));
    },
  ],
  [
    "connectionWindowBytes",
    { connectionWindowBytes: 1_000 },
    async ({ channel, peer }, n) => {
      await channel();
      await channel();
      peer.send(message(1, 600), message(3, 400 + n));
    },
  ],
  ["writeQueueHardBytes", { writeQueueHardBytes: 30_000 }, leave(30_000)],
  ["processWriteQueueBytes", { processWriteQueueBytes: 30_000 }, leave(30_000)],
  [
    "processReceiveBytes",
    { processReceiveBytes: 5_000 },
    ({ peer }, n) => peer.write(Buffer.concat([head(Kind.HEADERS, 9_000), new Uint8Array(5_000 - HEAD_BYTES + n)])),
  ],
];

describe("a server that goes beyond a limit of the client loses the connection, and is counted:", () => {
  test.each(BEYOND)("%s", async (limit, limits, play) => {
    for (const more of AROUND) {
      await using stage = await scene(limits);
      await play(stage, more);
      await settle();
      const { connections, ended } = stage.client.stats();
      expect({ more, connections, ended }).toEqual({
        more,
        connections: more === 1 ? 0 : 1,
        ended: more === 1 ? { [limit]: 1 } : undefined,
      });
    }
  });

  test("maxHandshakeBytes", async () => {
    for (const more of AROUND) {
      await using stage = await scene({}, { greets: false });
      stage.peer.write(PREAMBLE);
      stage.peer.write(head(Kind.HELLO, LIMITS.maxHandshakeBytes + more));
      await settle();
      expect(stage.client.stats().ended).toEqual(more === 1 ? { maxHandshakeBytes: 1 } : undefined);
    }
  });
});

const LATE: readonly (readonly [ConnectionLimit, Play, moment?: number, changes?: Partial<Limits>])[] = [
  ["frameTimeout", ({ peer }) => peer.write(head(Kind.DATA, 100)), 1, { frameBytesPerSecond: 0.1 }],
  ["frameBytesPerSecond", ({ peer }) => peer.write(new Uint8Array(6)), 1, { frameBytesPerSecond: 1 }],
  ["writeStallTimeout", leave(30_000)],
  ["keepaliveTimeout", untilAsked, 100],
  ["clientIdleTimeout", () => undefined],
];

describe("a server that takes longer than the client has patience loses the connection, and is counted:", () => {
  test.each(LATE)("%s", async (limit, begin, moment = 1, changes = {}) => {
    await using stage = await scene(changes);
    await begin(stage, 0);
    await settle();
    stage.clock.advance((limit === "frameBytesPerSecond" ? 6_000 : LIMITS[limit]) - moment);
    await settle();
    expect(stage.client.stats()).not.toHaveProperty("ended");
    stage.clock.advance(moment + 5_000);
    await settle();
    expect(stage.client.stats().ended).toEqual({ [limit]: 1 });
  });

  test("handshakeTimeout", async () => {
    await using stage = await scene({ connectTimeout: 60_000 }, { greets: false });
    stage.clock.advance(LIMITS.handshakeTimeout - 500);
    await settle();
    expect(stage.client.stats()).not.toHaveProperty("ended");
    stage.clock.advance(600);
    await settle();
    expect(stage.client.stats().ended).toEqual({ handshakeTimeout: 1 });
  });
});

test("there is no other limit over which a client ends a connection", () => {
  const tested = [...BEYOND, ...LATE].map(([limit]) => limit);
  const servers: ConnectionLimit[] = [
    "serverIdleTimeout",
    "maxConnectionAge",
    "maxInFlight",
    "refusedPerSecond",
    "cancelsPerSecond",
  ];
  const all: ConnectionLimit[] = [...tested, ...servers, "maxHandshakeBytes", "handshakeTimeout", "connectTimeout"];
  expect(all.sort()).toEqual([...CONNECTION_LIMITS].sort());
});

test("maxUnsentReplies: a server that does not take the answers that it provokes is not read from, which is counted", async () => {
  for (const more of AROUND) {
    await using stage = await scene({ maxUnsentReplies: 10, pingBurst: 100 });
    stage.peer.socket.pause();
    await stage.call(new Uint8Array(5_000));
    stage.peer.send(...times(10 + more, ping));
    await settle();
    expect(stage.client.stats().paused).toEqual(more === 1 ? { maxUnsentReplies: 1 } : undefined);
    let heard = false;
    stage.client.on("goaway", () => (heard = true));
    stage.peer.send({ kind: "goaway", lastId: 2 ** 31 - 1, code: 0, reason: "late" });
    await settle();
    expect(heard).toBe(more < 1);
    stage.peer.socket.resume();
    await settle();
    expect([heard, stage.peer.of("pong").length]).toEqual([true, 10 + more]);
    expect(stage.client.stats()).toMatchObject({ connections: 1 });
  }
});
