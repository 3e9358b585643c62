import { describe, expect, test } from "@jest/globals";
import { encodeFrame, GoawayCode, LIMITS, Metadata, PREAMBLE, RapError, Shape } from "@rap/protocol";
import type { Connection } from "../src/connection";
import { helloOf, type Link, linked, open, pattern, RecordingHost, RecordingSink, target, World } from "./link";

const CANCELLED = new RapError("CANCELLED", "never mind");

describe("the handshake", () => {
  test("is preamble and HELLO each way, and tells both hosts", async () => {
    const metadata = new Metadata({ tenant: "t1" });
    const { client, server, clientHost, serverHost } = await linked(
      { info: "me/1", metadata, limits: { maxInFlight: 3 } },
      { info: "you/2", limits: { maxInFlight: 5 } },
    );
    expect([clientHost.events, serverHost.events]).toEqual([["ready"], ["ready"]]);
    expect(client.peer).toMatchObject({ info: "you/2", maxInFlight: 5, codecs: ["msgpack"] });
    expect(server.peer).toMatchObject({ info: "me/1", maxInFlight: 3 });
    expect(server.peer.metadata?.get("tenant")).toBe("t1");
    expect([client.codec.name, server.codec.name]).toEqual(["msgpack", "msgpack"]);
  });

  test("is begun by the client; a server says nothing first", async () => {
    const world = new World();
    const near = await world.raw("client");
    expect(near.peer.kinds()).toEqual(["hello"]);
    const far = await world.raw("server");
    expect(far.peer.chunks).toEqual([]);
  });

  test("waits for the server's host to let the peer in", async () => {
    const world = new World();
    const [dialled, accepted] = await world.sockets();
    const host = new RecordingHost();
    const hellos: string[] = [];
    const server = world.connection(
      accepted,
      "server",
      Object.assign(host, {
        onHello: (_: Connection, hello: { info: string }) => hellos.push(hello.info),
      }),
    );
    const clientHost = new RecordingHost();
    world.connection(dialled, "client", clientHost);
    await world.settle();
    expect([hellos, host.events, clientHost.events]).toEqual([["test client"], [], []]);
    server.accept();
    server.accept();
    await world.settle();
    expect([host.events, clientHost.events]).toEqual([["ready"], ["ready"]]);
  });

  test("tells a client that is refused why", async () => {
    const world = new World();
    const [dialled, accepted] = await world.sockets();
    const host = Object.assign(new RecordingHost(), {
      onHello: (connection: Connection) => connection.close(GoawayCode.REFUSED, "closed at night"),
    });
    const clientHost = new RecordingHost();
    world.connection(accepted, "server", host);
    world.connection(dialled, "client", clientHost);
    await world.settle();
    expect(clientHost.error).toMatchObject({
      code: "UNAVAILABLE",
      reason: "REFUSED",
      message: "the peer closed the connection (REFUSED): closed at night",
    });
    expect(clientHost.events).toHaveLength(1);
  });

  test.each(["client", "server"] as const)("has 5 s, however many bytes come meanwhile: %s", async (role) => {
    const world = new World();
    const { peer, host, connection } = await world.raw(role);
    const bytes = Buffer.concat([PREAMBLE, encodeFrame({ kind: "hello", hello: helloOf() })]);
    for (let sent = 0; sent < 48; sent++) {
      peer.write(bytes.subarray(sent, sent + 1));
      await world.pass(100);
    }
    expect(host.events).toEqual([]);
    await world.pass(300);
    expect(host.error?.message).toBe("the connection was closed (HANDSHAKE_FAILED): the handshake took too long");
    expect([connection.closed, peer.closed, peer.of("goaway"), world.wheel.size]).toEqual([true, true, [], 0]);
  });

  test("leaves no timer of its own behind", async () => {
    const { world, host } = await linked().then(({ world, clientHost: host }) => ({ world, host }));
    await world.pass(LIMITS.handshakeTimeout + 1_000, 1_000);
    expect(host.events).toEqual(["ready"]);
  });

  test("that the peer breaks off fails with what there is to say", async () => {
    const world = new World();
    const ended = await world.raw("client");
    ended.peer.socket.end();
    await world.settle();
    expect(ended.host.error).toMatchObject({
      code: "UNAVAILABLE",
      message: "the connection was lost: the peer closed it before the handshake was done",
    });
    const cut = await world.raw("client");
    world.transport.cut();
    await world.settle();
    expect(cut.host.error?.message).toBe("the connection was lost: the link was cut");
  });

  test("is followed at once by what came with it", async () => {
    const world = new World();
    const { peer, host } = await world.raw("server");
    const call = { kind: "open", id: 1, shape: Shape.UNARY, target: "default/f", body: pattern(3), end: true } as const;
    peer.write(Buffer.concat([PREAMBLE, encodeFrame({ kind: "hello", hello: helloOf() }), encodeFrame(call)]));
    await world.settle();
    expect(host.sinks.map(({ events }) => events)).toEqual([["message of 3", "end"]]);
  });
});

describe("calls", () => {
  test("have odd ids that only grow, and reach the server with all that belongs to them", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("client");
    const sink = new RecordingSink();
    const block = Uint8Array.of(1, 1, 0x61, 0, 1, 0x31);
    sink.stream = connection.open(Shape.BIDI_STREAM, target("g/f"), 5, block, 1, pattern(2), false, sink);
    open(connection, new RecordingSink());
    open(connection, new RecordingSink(), { shape: Shape.CHANNEL });
    await world.settle();
    expect(peer.of("open").map(({ id, shape }) => [id, shape])).toEqual([
      [1, Shape.BIDI_STREAM],
      [3, Shape.UNARY],
      [5, Shape.CHANNEL],
    ]);
    const [first] = peer.of("open");
    expect(first).toMatchObject({ target: "g/f", timeout: 5, streamArg: 1, body: pattern(2) });
    expect(first!.metadata?.get("a")).toBe("1");
    expect(first!.end).toBeUndefined();
  });

  test("that the host refuses end with its error, and everything else of them is dropped", async () => {
    const { world, client, server, serverHost } = await linked();
    serverHost.refusal = new RapError("NOT_FOUND", "no such function", { maybeExecuted: false });
    const sinks = [Shape.UNARY, Shape.CLIENT_STREAM, Shape.CHANNEL].map((shape) => {
      const sink = new RecordingSink();
      const stream = open(client, sink, { shape, bytes: shape === Shape.UNARY ? 300_000 : 1 });
      if (shape !== Shape.UNARY) stream.send(pattern(10), true);
      return sink;
    });
    await world.settle();
    for (const { events, error } of sinks) {
      expect(events).toEqual(["reset NOT_FOUND: no such function"]);
      expect(error).toMatchObject({ maybeExecuted: false, origin: "remote" });
    }
    expect([client.streams, server.streams, server.stats().glitches]).toEqual([0, 0, 0]);
  });

  test("whose host throws anything else end with UNKNOWN, and the connection lives", async () => {
    const { world, client, serverHost } = await linked();
    serverHost.refusal = new Error("a bug") as RapError;
    const sink = new RecordingSink();
    open(client, sink);
    await world.settle();
    expect([sink.events, serverHost.events]).toEqual([["reset UNKNOWN: a bug"], ["ready"]]);
  });

  test("whose sink throws, which none may, end their connection and no other", async () => {
    const { world, client, clientHost, serverHost } = await linked();
    const sinks = [new RecordingSink(), new RecordingSink()];
    sinks[0]!.onMessage = () => {
      throw new Error("a bug");
    };
    for (const sink of sinks) open(client, sink);
    await world.settle();
    for (const { stream } of serverHost.sinks) stream.send(pattern(1), true);
    await world.settle();
    expect(clientHost.error).toMatchObject({ reason: "INTERNAL", message: expect.stringContaining("a bug") });
    expect(sinks[1]!.events).toEqual([expect.stringContaining("INTERNAL")]);
  });
});

describe("a call with large arguments, while the socket is behind", () => {
  test("does not arrive after a small call that was opened later", async () => {
    const { client, serverHost, world } = await linked();
    for (const bytes of [300_000, 300_000, 10]) open(client, new RecordingSink(), { bytes });
    await world.settle();
    expect(serverHost.events).toEqual(["ready"]);
    expect(serverHost.sinks.map(({ stream, events }) => [stream.id, ...events])).toEqual([
      [1, "message of 300000", "end"],
      [3, "message of 300000", "end"],
      [5, "message of 10", "end"],
    ]);
  });

  test("can be cancelled before its turn has come", async () => {
    const { client, serverHost, world } = await linked();
    open(client, new RecordingSink(), { bytes: 300_000 });
    open(client, new RecordingSink(), { bytes: 300_000 }).reset(CANCELLED);
    await world.settle();
    expect(serverHost.events).toEqual(["ready"]);
    expect(serverHost.sinks.map(({ events }) => events)).toEqual([
      ["message of 300000", "end"],
      ["reset CANCELLED: never mind"],
    ]);
  });
});

describe("room for calls", () => {
  test("is what the server said, for each shape", async () => {
    const { world, client, clientHost } = await linked(
      {},
      { limits: { maxInFlight: 5, maxStreams: 2, maxChannels: 1 } },
    );
    const room = () =>
      [Shape.UNARY, Shape.SERVER_STREAM, Shape.CLIENT_STREAM, Shape.BIDI_STREAM, Shape.CHANNEL].map((shape) =>
        client.hasRoom(shape),
      );
    expect(room()).toEqual([true, true, true, true, true]);
    open(client, new RecordingSink(), { shape: Shape.CHANNEL });
    expect(room()).toEqual([true, true, true, true, false]);
    open(client, new RecordingSink(), { shape: Shape.SERVER_STREAM });
    const bidi = open(client, new RecordingSink(), { shape: Shape.BIDI_STREAM });
    expect(room()).toEqual([true, false, false, false, false]);
    open(client, new RecordingSink());
    open(client, new RecordingSink());
    expect(room()).toEqual([false, false, false, false, false]);
    await world.settle();
    bidi.reset(CANCELLED);
    await world.settle();
    // Until the server has finished with it, a cancelled call takes its place.
    expect([room(), clientHost.rooms]).toEqual([[false, false, false, false, false], 0]);
  });

  test("comes back when a stream is over on both sides, and the host is told", async () => {
    const { world, client, clientHost, serverHost } = await linked({}, { limits: { maxInFlight: 1 } });
    open(client, new RecordingSink());
    await world.settle();
    expect([client.hasRoom(Shape.UNARY), clientHost.rooms]).toEqual([false, 0]);
    serverHost.sinks[0]!.stream.send(pattern(1), true);
    await world.settle();
    expect([client.hasRoom(Shape.UNARY), clientHost.rooms]).toEqual([true, 1]);
  });

  test("is none before the handshake, while draining, and after the end", async () => {
    const world = new World();
    const { connection } = await world.raw("client");
    expect(connection.hasRoom(Shape.UNARY)).toBe(false);
    const { client } = await linked();
    client.close(0, "done");
    expect(client.hasRoom(Shape.UNARY)).toBe(false);
  });

  test("is used up with the ids: what runs goes on, and the connection ends after it", async () => {
    const { world, client, clientHost, serverHost } = await linked({ limits: { maxStreamId: 7 } });
    const sinks = [1, 3, 5].map(() => {
      const sink = new RecordingSink();
      open(client, sink);
      return sink;
    });
    expect(clientHost.events).toEqual(["ready", "goaway: all stream ids are used"]);
    expect(client.hasRoom(Shape.UNARY)).toBe(false);
    await world.settle();
    for (const { stream } of serverHost.sinks) stream.send(pattern(1), true);
    await world.settle();
    expect(sinks.map(({ events }) => events)).toEqual(new Array(3).fill(["message of 1", "end"]));
    expect([clientHost.events.at(-1), clientHost.error, serverHost.events]).toEqual([
      "close",
      undefined,
      ["ready", "close"],
    ]);
  });
});

describe("the end of a connection", () => {
  test.each<[string, (link: Link & { world: World }) => void, string]>([
    ["a cut", ({ world }) => world.transport.cut(), "the connection was lost: the link was cut"],
    ["the peer's end", ({ server }) => server.socket.end(), "the connection was lost: the peer closed it"],
    [
      "the peer's goaway",
      ({ server }) => server.close(GoawayCode.INTERNAL, "a fault"),
      "the peer closed the connection (INTERNAL): a fault",
    ],
    [
      "this side's close",
      ({ client }) => client.close(GoawayCode.NO_ERROR, "stopped"),
      "the connection was closed: stopped",
    ],
    [
      "this side's abort",
      ({ client }) => client.abort(GoawayCode.SLOW_CONSUMER, "slow"),
      "the connection was closed (SLOW_CONSUMER): slow",
    ],
  ])("fails every open call once, whatever it came by: %s", async (_, end, message) => {
    const link = await linked();
    const { world, client, clientHost } = link;
    const sinks = [Shape.UNARY, Shape.SERVER_STREAM, Shape.CHANNEL].map((shape) => {
      const sink = new RecordingSink();
      open(client, sink, { shape });
      return sink;
    });
    await world.settle();
    end(link);
    await world.settle();
    for (const { events, error } of sinks) {
      expect(events).toEqual([`reset UNAVAILABLE: ${message}`]);
      expect(error).toMatchObject({ origin: "transport", maybeExecuted: true });
    }
    expect(clientHost.events.filter((event) => event.startsWith("close"))).toHaveLength(1);
    expect([client.streams, client.closed, client.draining, world.wheel.size]).toEqual([0, true, true, 0]);
    // Nothing more happens, whatever is tried.
    client.close(1, "again");
    client.abort(1, "again");
    client.drain("again");
    for (const { stream } of sinks) {
      stream.end();
      stream.reset(CANCELLED);
    }
    await world.settle();
    expect(clientHost.events.filter((event) => event.startsWith("close"))).toHaveLength(1);
    // The memory transport gives a peer two seconds to finish.
    await world.pass(3_000);
    expect([world.wheel.size, world.clock.timers]).toEqual([0, 0]);
  });

  test("is clean when nothing was open", async () => {
    const { world, client, clientHost, serverHost } = await linked();
    client.socket.end();
    await world.settle();
    expect([clientHost.events, serverHost.events]).toEqual([
      ["ready", "close"],
      ["ready", "close"],
    ]);
  });
});

test("counters return to zero after any mixture of calls that end, fail and are cancelled", async () => {
  const { world, client, server, clientHost, serverHost } = await linked({ limits: { maxStreamId: 2 ** 30 } });
  const shapes = [Shape.UNARY, Shape.SERVER_STREAM, Shape.CLIENT_STREAM, Shape.BIDI_STREAM, Shape.CHANNEL];
  for (let n = 0; n < 500; n++) {
    const sink = new RecordingSink();
    const stream = open(client, sink, { shape: shapes[n % 5]!, bytes: n % 7 === 0 ? 70_000 : n % 300 });
    if (n % 3 === 0) await world.settle();
    const far = serverHost.sinks.at(-1);
    const ways: (() => void)[] = [
      () => stream.reset(CANCELLED),
      () => stream.end(),
      () => {
        stream.send(pattern(20_000), false);
        stream.finish();
      },
      () => stream.fail(CANCELLED),
      () => far?.stream.fail(CANCELLED),
      () => far?.stream.finish(),
      () => far?.stream.send(pattern(10), true),
    ];
    ways[n % 7]!();
  }
  await world.settle();
  // Whoever still has something open ends it.
  for (const connection of [client, server]) for (const stream of connection.openStreams()) stream.reset(CANCELLED);
  await world.settle();
  for (const connection of [client, server]) {
    expect(connection.stats()).toMatchObject({ streams: 0, opened: 500, buffered: 0, waitingForCredit: 0 });
    expect(connection.openStreams()).toEqual([]);
  }
  expect([clientHost.rooms, serverHost.rooms]).toEqual([500, 500]);
  expect([clientHost.events, serverHost.events]).toEqual([["ready"], ["ready"]]);
  expect(client.hasRoom(Shape.CHANNEL)).toBe(true);
  client.close(0, "done");
  await world.pass(5_000);
  expect([world.wheel.size, world.clock.timers]).toEqual([0, 0]);
});
