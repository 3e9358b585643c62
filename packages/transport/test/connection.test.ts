import { describe, expect, test } from "@jest/globals";
import {
  encodeFrame,
  GoawayCode,
  goawayName,
  LIMITS,
  MAX_STREAM_ID,
  Metadata,
  PREAMBLE,
  RapError,
  Shape,
} from "@rap/protocol";
import type { Connection } from "../src/connection";
import { type Changes, helloOf, type Link, open, pattern, RecordingHost, RecordingSink, target, World } from "./link";

const KiB = 1024;
const CANCELLED = new RapError("CANCELLED", "never mind");

async function linked(client?: Changes, server?: Changes): Promise<Link & { world: World }> {
  const world = new World();
  return { world, ...(await world.link(client, server)) };
}

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

describe("a server that stops", () => {
  test("says so in two steps: calls on their way between them are still taken, later ones never ran", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server");
    const call = (id: number) =>
      ({ kind: "open", id, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true }) as const;
    peer.send(call(1));
    await world.settle();
    connection.drain("new version");
    connection.drain("again");
    peer.send(call(3));
    await world.settle();
    expect(peer.of("goaway")).toEqual([{ kind: "goaway", lastId: MAX_STREAM_ID, code: 0, reason: "new version" }]);
    expect(host.targets).toHaveLength(2);
    // The answer to the ping comes after all that was sent before the first goaway was read.
    peer.send({ kind: "pong", data: peer.of("ping")[0]!.data });
    await world.settle();
    expect(peer.of("goaway")[1]).toEqual({ kind: "goaway", lastId: 3, code: 0, reason: "new version" });
    peer.send(call(5));
    await world.settle();
    expect([host.targets.length, peer.of("reset")]).toEqual([
      2,
      [expect.objectContaining({ id: 5, code: 14, flags: 1 })],
    ]);
    for (const { stream } of host.sinks) stream.send(pattern(1), true);
    await world.settle();
    expect(peer.of("data").map(({ id }) => id)).toEqual([1, 3]);
    expect([host.events, peer.closed, peer.error]).toEqual([["ready", "close"], true, undefined]);
    expect([connection.streams, world.wheel.size]).toEqual([0, 0]);
  });

  test("takes the second step when the peer has heard of the first, not when it answers an earlier ping", async () => {
    const world = new World();
    const { connection, peer } = await world.rawReady("server");
    connection.ping();
    connection.drain("bye");
    await world.settle();
    const [early, own] = peer.of("ping");
    peer.send({ kind: "pong", data: early!.data });
    await world.settle();
    expect(peer.of("goaway")).toHaveLength(1);
    peer.send({ kind: "pong", data: own!.data });
    await world.settle();
    expect(peer.of("goaway")).toHaveLength(2);
  });

  test("takes the second step after a second when the ping is not answered", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("server");
    connection.drain("bye");
    await world.pass(LIMITS.goawayPause - 50, 50);
    expect([peer.of("goaway").length, connection.closed]).toEqual([1, false]);
    await world.pass(100, 50);
    expect([peer.of("goaway").length, peer.closed, host.events]).toEqual([2, true, ["ready", "close"]]);
  });

  test("closes at once a peer that has not introduced itself", async () => {
    const world = new World();
    const { connection, host, peer } = await world.raw("server");
    connection.drain("bye");
    await world.settle();
    expect([host.events.length, peer.chunks, peer.closed, world.wheel.size]).toEqual([1, [], true, 0]);
  });

  test("lets its clients' calls end, and both see a clean close", async () => {
    const { world, client, server, clientHost, serverHost } = await linked();
    const sink = new RecordingSink();
    open(client, sink);
    await world.settle();
    server.drain("bye");
    await world.settle();
    expect([clientHost.events, client.draining, client.closed]).toEqual([
      ["ready", "goaway: bye", "goaway: bye"],
      true,
      false,
    ]);
    serverHost.sinks[0]!.stream.send(pattern(1), true);
    await world.settle();
    expect(sink.events).toEqual(["message of 1", "end"]);
    expect([clientHost.error, serverHost.error, clientHost.events.at(-1), serverHost.events.at(-1)]).toEqual([
      undefined,
      undefined,
      "close",
      "close",
    ]);
  });
});

describe("a client", () => {
  test("that drains finishes its calls and closes; the server sees a clean end", async () => {
    const { world, client, clientHost, serverHost } = await linked();
    const sink = new RecordingSink();
    open(client, sink);
    await world.settle();
    client.drain("enough");
    await world.settle();
    expect([client.closed, serverHost.events]).toEqual([false, ["ready", "goaway: enough"]]);
    serverHost.sinks[0]!.stream.send(pattern(1), true);
    await world.settle();
    expect([sink.events, clientHost.events, serverHost.events.at(-1)]).toEqual([
      ["message of 1", "end"],
      ["ready", "close"],
      "close",
    ]);
  });

  test("is told of calls that were never looked at, and finishes the others", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    const sinks = [1, 3, 5].map(() => {
      const sink = new RecordingSink();
      open(connection, sink);
      return sink;
    });
    peer.send({ kind: "goaway", lastId: 3, code: 0, reason: "bye" });
    await world.settle();
    expect(sinks[2]!.error).toMatchObject({ code: "UNAVAILABLE", maybeExecuted: false, origin: "transport" });
    expect([sinks[0]!.events, sinks[1]!.events, connection.streams]).toEqual([[], [], 2]);
    for (const id of [1, 3]) peer.send({ kind: "data", id, body: pattern(1), end: true });
    await world.settle();
    expect([host.events, host.error, peer.closed]).toEqual([["ready", "goaway: bye", "close"], undefined, true]);
    expect(peer.of("reset")).toEqual([]);
  });

  test("whose calls were none of them looked at hears of the end once, and after that of the goaway", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    const sink = new RecordingSink();
    open(connection, sink);
    peer.send({ kind: "goaway", lastId: 0, code: 0, reason: "bye" });
    await world.settle();
    expect([sink.error?.maybeExecuted, host.events]).toEqual([false, ["ready", "goaway: bye", "close"]]);
  });

  test("ends once when its host closes it on hearing of that", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    host.onGoaway = () => connection.close(GoawayCode.NO_ERROR, "enough");
    peer.send({ kind: "goaway", lastId: 0, code: 0, reason: "bye" });
    await world.settle();
    expect(host.events).toEqual(["ready", "close"]);
  });

  test("is told which calls may have run when the server leaves with an error", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    const sinks = [1, 3].map(() => {
      const sink = new RecordingSink();
      open(connection, sink);
      return sink;
    });
    peer.send({ kind: "goaway", lastId: 1, code: GoawayCode.ENHANCE_YOUR_CALM, reason: "too much" });
    await world.settle();
    expect(sinks.map(({ error }) => [error?.code, error?.maybeExecuted])).toEqual([
      ["UNAVAILABLE", true],
      ["UNAVAILABLE", false],
    ]);
    expect(host.events).toEqual(["ready", "close: the peer closed the connection (ENHANCE_YOUR_CALM): too much"]);
    expect([host.error?.reason, connection.closed, world.wheel.size]).toEqual(["ENHANCE_YOUR_CALM", true, 0]);
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

  test("is not read from while it takes no answers, and after the stall timeout let go", async () => {
    const world = new World({ highWaterMark: 1_000 });
    const { host, peer } = await world.rawReady("server");
    host.refusal = new RapError("NOT_FOUND", "no such function");
    peer.socket.pause();
    const call = (id: number) =>
      encodeFrame({ kind: "open", id, shape: Shape.UNARY, target: "default/f", body: pattern(1), end: true });
    for (let n = 0; n < 400; n++) {
      peer.write(call(1 + 2 * n));
      await world.settle();
    }
    expect(host.targets.length).toBeGreaterThan(LIMITS.maxUnsentReplies);
    // The socket takes a few before it says that it is full.
    expect(host.targets.length).toBeLessThan(LIMITS.maxUnsentReplies + 50);
    peer.socket.resume();
    await world.settle();
    expect(peer.of("reset")).toHaveLength(400);
    peer.socket.pause();
    peer.write(call(1_001));
    await world.pass(LIMITS.writeStallTimeout + 6_000, 1_000);
    expect(host.error?.reason).toBe("SLOW_CONSUMER");
  });

  test("is read on when it was slow for a moment with more answers than that, though few bytes", async () => {
    const world = new World();
    const { host, peer } = await world.rawReady("server");
    host.refusal = new RapError("NOT_FOUND", "no such function");
    peer.socket.pause();
    for (let n = 0; n < 300; n++) {
      peer.send({ kind: "open", id: 1 + 2 * n, shape: Shape.UNARY, target: "f", body: pattern(1), end: true });
      await world.settle();
    }
    peer.socket.resume();
    await world.settle();
    expect([host.targets.length, peer.of("reset").length]).toEqual([300, 300]);
  });

  test("is not read from by a server with more than 1 MiB for it, and is by a client", async () => {
    for (const role of ["server", "client"] as const) {
      const world = new World();
      const { connection, host, peer } = await world.rawReady(role, {}, { connectionWindowBytes: 2 ** 31 - 1 });
      const sink = new RecordingSink();
      if (role === "client") open(connection, sink, { shape: Shape.CHANNEL });
      else peer.send({ kind: "open", id: 1, shape: Shape.CHANNEL, target: "default/f", body: new Uint8Array(0) });
      await world.settle();
      const stream = role === "client" ? sink.stream : host.sinks[0]!.stream;
      peer.send({ kind: "credit", id: 1, bytes: 100_000_000, messages: 10_000 });
      await world.settle();
      peer.socket.pause();
      // Small messages do not wait their turn until there is more than that.
      for (let n = 0; n < 150; n++) stream.send(pattern(10 * KiB), false);
      await world.settle();
      expect(connection.stats().buffered).toBeGreaterThan(1024 * KiB);
      const { framesReceived } = connection.stats();
      for (let n = 0; n < 5; n++) {
        peer.send({ kind: "pong", data: new Uint8Array(8) });
        await world.settle();
      }
      expect(connection.stats().framesReceived - framesReceived).toBe(role === "client" ? 5 : 1);
      peer.socket.resume();
      await world.settle();
      expect(connection.stats().framesReceived - framesReceived).toBe(5);
    }
  });

  test("is let go at 16 MiB that it does not take", async () => {
    const world = new World();
    const { connection, host, peer } = await world.rawReady("client");
    peer.socket.pause();
    for (let n = 0; n < 1_700; n++) open(connection, new RecordingSink(), { shape: Shape.UNARY, bytes: 10 * KiB });
    await world.settle();
    peer.send({ kind: "pong", data: new Uint8Array(8) });
    await world.settle();
    expect(host.error).toMatchObject({ reason: "SLOW_CONSUMER" });
    expect(connection.stats().buffered).toBe(0);
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
