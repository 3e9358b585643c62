import { describe, expect, test } from "@jest/globals";
import { GoawayCode, LIMITS, MAX_STREAM_ID, Shape } from "@rap/protocol";
import { linked, open, pattern, RecordingSink, World } from "./link";

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
