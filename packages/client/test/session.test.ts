import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { type Channel, context, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { Client, type ClientOptions, type Session, withCallOptions } from "../src";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A server that says where and in which session a call arrived, and counts in the session's state. */
function newServer(): Server {
  const server = new Server();
  const count = () => {
    const state = context().session?.state;
    const n = ((state?.get("n") as number | undefined) ?? 0) + 1;
    state?.set("n", n);
    return n;
  };
  server.register({
    where: () => ({ session: context().session?.id, server: server.address }),
    count,
    async *sessions() {
      yield context().session?.id;
      yield context().session?.id;
    },
  });
  server.registerChannel(async function session(channel: Channel<unknown, unknown>) {
    await channel.write(context().session?.id);
  });
  return server;
}

interface Functions {
  where(): { session: string | undefined; server: string };
  count(): number;
  sessions(): AsyncIterable<string>;
}

async function start(servers: Server[], options: ClientOptions = {}): Promise<Client> {
  const client = new Client(options);
  for (const server of servers) {
    const { port } = await server.listen({ port: 0 });
    client.addConn("127.0.0.1", port);
  }
  stops.push(() => client.stop({ graceMs: 0 }), ...servers.map((server) => () => server.shutdown({ graceMs: 0 })));
  return client.start();
}

test("a function does not see the session in its metadata, and can pass all of it on", async () => {
  const server = newServer().register({ keys: () => [...context().metadata].map(([key]) => key) });
  const client = await start([server]);
  await client.withSession(async () => {
    const keys = await client.invokeByName("keys", [], { metadata: { tenant: "t1" } });
    expect(keys).toEqual(["tenant"]);
  });
});

test("all calls inside withSession go to one server and share its state, through awaits, timers and nested calls", async () => {
  const client = await start([newServer(), newServer()]);
  const remote = client.service<Functions>("default", { sessions: "stream" });
  const nested = async () => remote.where();
  await client.withSession(async (session) => {
    const seen = await Promise.all(Array.from({ length: 20 }, nested));
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen.push(await remote.where());
    expect(new Set(seen.map(({ server }) => server)).size).toBe(1);
    expect(new Set(seen.map(({ session: id }) => id))).toEqual(new Set([session.id]));
    for await (const id of remote.sessions()) expect(id).toBe(session.id);
    await client.registerChannel<(c: Channel<unknown, unknown>) => Promise<void>>("session")(async (channel) => {
      expect(await channel.readBody()).toBe(session.id);
    });
  });
  expect((await remote.where()).session).toBeUndefined();
});

test("an explicit session works by option, by name, like a cursor and as a service", async () => {
  const client = await start([newServer(), newServer()]);
  const count = client.register<Functions["count"]>("count");
  await using session: Session = await client.openSession();
  expect(session.id).toMatch(/^[0-9a-f]{32}$/);
  const counts = [
    await count.with({ session })(),
    await client.invokeByName<number>("count", [], { session }),
    await session.execute(count, []),
    await session.execute<number>("count", []),
    await session.execute(() => count()),
    await session.invoke(count, []),
    await session.run(() => count()),
    await session.service<Pick<Functions, "count">>("default").count(),
  ];
  expect(counts).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("what a session cannot run is refused where it is given", async () => {
  const server = new Server().register({ ping: () => "pong" });
  await using pair = await createTestPair(server);
  await using session = await pair.client.openSession();
  const none = (text: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_CALL", message: expect.stringContaining(text) });
  expect(() => session.execute(undefined as never)).toThrow(none("execute() takes a function, or a name"));
  expect(() => session.execute(5 as never, [])).toThrow(none("execute() takes a function, or a name"));
  expect(() => session.run("ping" as never)).toThrow(none("run() takes a function"));
  expect(await session.execute("ping", [])).toBe("pong");
});

test("a stream outside a session has one of its own", async () => {
  const client = await start([newServer()]);
  const ids: string[] = [];
  for (let round = 0; round < 2; round++) {
    for await (const id of client.registerGen<Functions["sessions"]>("sessions")()) ids.push(id);
  }
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(ids[0]).toBe(ids[1]);
  expect(ids[2]).not.toBe(ids[0]);
});

test("the server drops a session's state when it is closed, and knows no other id", async () => {
  const client = await start([newServer()]);
  const session = await client.openSession();
  await session.close();
  await session.close();
  expect(session.closed).toBe(true);
  await expect(session.execute("count", [])).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  const forged = client.invokeByName("count", [], { metadata: { "rap-session": "0".repeat(32) } });
  await expect(forged).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
});

test("a session whose connection died fails its calls and moves to no other server", async () => {
  const servers = [newServer(), newServer()];
  const client = await start(servers);
  const session = await client.openSession();
  const { server } = await session.execute<{ server: string }>("where", []);
  await servers.find(({ address }) => address === server)!.shutdown({ graceMs: 0 });
  await expect(session.execute("where", [])).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("session"),
    maybeExecuted: false,
  });
  expect(session.closed).toBe(true);
  expect((await client.invokeByName<{ server: string }>("where")).server).not.toBe(server);
});

test("a connection takes only so many sessions", async () => {
  const client = await start([newServer()]);
  const sessions = await Promise.all(Array.from({ length: 16 }, () => client.openSession()));
  await expect(client.openSession()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await sessions[0]!.close();
  await (await client.openSession()).close();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("an implicit session", () => {
  test("goes through promises, timers, events and generators, and ends with its function", async () => {
    const client = await start([newServer()]);
    const where = client.register<Functions["where"]>("where");
    let inside: Session | undefined;
    const result = await client.withSession(async (session) => {
      inside = session;
      const seen = [
        await Promise.resolve().then(() => where()),
        await new Promise((resolve) => setTimeout(() => resolve(where()), 1)),
        await new Promise((resolve) => setImmediate(() => resolve(where()))),
        await new Promise((resolve) => queueMicrotask(() => resolve(where()))),
        await (async function* () {
          yield await where();
        })()
          .next()
          .then(({ value }) => value),
        await client.invoke(where, []),
        await client.invokeByName("where"),
        await client.service<Functions>("default", { sessions: "stream" }).where(),
      ];
      expect((seen as { session: string }[]).map((each) => each.session)).toEqual(seen.map(() => session.id));
      // It can be left for one call.
      expect((await where.with({ session: null })()).session).toBeUndefined();
      return "done";
    });
    expect([result, inside?.closed]).toEqual(["done", true]);
  });

  test("inside another has an id of its own, and the outer one is back after it", async () => {
    const client = await start([newServer()]);
    const count = client.register<Functions["count"]>("count");
    await client.withSession(async (outer) => {
      expect(await count()).toBe(1);
      await client.withSession(async (inner) => {
        expect(inner.id).not.toBe(outer.id);
        expect(await count()).toBe(1);
        expect(await outer.run(() => count())).toBe(2);
        expect(await count()).toBe(2);
      });
      expect(await count()).toBe(3);
    });
  });

  test("is that of the client that opened it: another client's calls have none, or their own", async () => {
    const [here, there] = [await start([newServer()]), await start([newServer()])];
    const whereHere = here.register<Functions["where"]>("where");
    const whereThere = there.register<Functions["where"]>("where");
    await here.withSession(async (session) => {
      const other = await whereThere();
      expect([other.session, other.server === (await whereHere()).server]).toEqual([undefined, false]);
      await there.withSession(async (theirs) => {
        expect([(await whereHere()).session, (await whereThere()).session]).toEqual([session.id, theirs.id]);
      });
      await expect(whereThere.with({ session })()).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: "the session is another client's",
      });
    });
  });

  test("is not passed on by the server that it calls", async () => {
    const inner = newServer();
    const client = await start([inner]);
    const outer = new Server().register({ nested: () => client.invokeByName("where") });
    const outside = await start([outer]);
    await outside.withSession(async () => {
      expect(await outside.invokeByName("nested")).toMatchObject({ session: undefined });
    });
  });
});

describe("the state of a session", () => {
  test("is there for its calls, streams and channels alone", async () => {
    const server = newServer();
    server.register({
      async *counting() {
        const { session } = context();
        session?.state.set("n", 10);
        yield (session?.state.get("n") as number) ?? 0;
      },
    });
    const client = await start([server]);
    const count = client.register<Functions["count"]>("count");
    const [a, b] = [await client.openSession(), await client.openSession()];
    expect([await count.with({ session: a })(), await count.with({ session: a })()]).toEqual([1, 2]);
    expect(await count.with({ session: b })()).toBe(1);
    for await (const _ of client.registerGen<() => AsyncIterable<number>>("counting").with({ session: b })()) break;
    expect(await count.with({ session: b })()).toBe(11);
    // Without a session nothing is kept.
    expect([await count(), await count()]).toEqual([1, 1]);
    await Promise.all([a.close(), b.close()]);
  });

  test("goes when the session ends, and when its connection dies: its id is worth nothing then", async () => {
    const server = newServer();
    const client = await start([server], { reconnect: { initial: 1 } });
    const useOld = (id: string) => client.invokeByName("count", [], { metadata: { "rap-session": id } });
    const closed = await client.openSession();
    expect(await useOld(closed.id)).toBe(1);
    await closed.close();
    await expect(useOld(closed.id)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    const lost = await client.openSession();
    expect(await useOld(lost.id)).toBe(1);
    const again = new Promise((resolve) => client.on("reconnect", resolve));
    for (const connection of server.connections()) await connection.close("a crash");
    await again;
    await expect(useOld(lost.id)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    expect(lost.closed).toBe(true);
  });
});

describe("the id of a session", () => {
  test("is 128 random bits, and no good on any other connection", async () => {
    const server = newServer();
    const [client, thief] = [await start([server]), new Client({ target: server.address! })];
    stops.unshift(() => thief.stop({ graceMs: 0 }));
    await thief.start();
    const sessions = await Promise.all(Array.from({ length: 16 }, () => client.openSession()));
    const bits = sessions.map(({ id }) => BigInt(`0x${id}`));
    expect(new Set(bits).size).toBe(16);
    // Of random bits no place is the same in all: the chance is 128 in 2^15 per place, so look at halves of it.
    const same = bits.reduce((and, each) => and & each, 2n ** 128n - 1n);
    expect(same.toString(2).replaceAll("0", "").length).toBeLessThan(16);
    const { id } = sessions[0]!;
    for (const stolen of [id, "0".repeat(32), "", "x".repeat(300), id.toUpperCase()]) {
      const call = thief.invokeByName("count", [], { metadata: { "rap-session": stolen } });
      await expect(call).rejects.toMatchObject({
        code: "FAILED_PRECONDITION",
        message: "there is no such session on this connection",
        maybeExecuted: false,
      });
      await thief.invokeByName("Close", [stolen], { group: "rap.session.v1" });
    }
    expect(await sessions[0]!.execute("count", [])).toBe(1);
    await Promise.all(sessions.map((session) => session.close()));
  });
});

describe("a stream or channel outside of a session", () => {
  test("has one of its own for as long as it lasts; a plain call has none", async () => {
    const ids: unknown[] = [];
    const server = newServer();
    server.register({
      async *stateful() {
        const { session } = context();
        for (let n = 0; n < 3; n++) {
          session?.state.set("n", ((session.state.get("n") as number | undefined) ?? 0) + 1);
          await turn();
          ids.push(context().session?.id);
          yield session?.state.get("n") as number;
        }
      },
      async total(items: AsyncIterable<number>) {
        for await (const _ of items) ids.push(context().session?.id);
      },
    });
    server.registerChannel(async function talk(channel: Channel<number, number>) {
      for await (const body of channel) {
        ids.push(context().session?.id);
        await channel.write(body);
      }
    });
    const client = await start([server]);
    const rounds: [string, () => Promise<unknown>][] = [
      [
        "stream",
        async () => {
          const got: number[] = [];
          for await (const n of client.registerGen<() => AsyncIterable<number>>("stateful")()) got.push(n);
          expect(got).toEqual([1, 2, 3]);
        },
      ],
      [
        "client stream",
        () => client.register<(s: AsyncIterable<number>) => Promise<void>>("total")([1, 2, 3].values()),
      ],
      [
        "channel",
        () =>
          client.registerChannel<(c: Channel<number, number>) => Promise<void>>("talk")(async (channel) => {
            for (let n = 0; n < 3; n++) {
              await channel.write(n);
              await channel.readBody();
            }
          }),
      ],
    ];
    const all: unknown[] = [];
    for (const [, round] of [...rounds, ...rounds]) {
      await round();
      expect([ids.length, new Set(ids).size]).toEqual([3, 1]);
      all.push(ids.splice(0)[0]);
    }
    expect(new Set(all).size).toBe(6);
    for (const id of all) expect(id).toMatch(/^[0-9a-f]{32}$/);
    // They took none of the places that sessions have.
    const sessions = await Promise.all(Array.from({ length: 16 }, () => client.openSession()));
    await Promise.all(sessions.map((session) => session.close()));
    expect((await client.invokeByName<{ session?: string }>("where")).session).toBeUndefined();
  });
});

describe("with several servers", () => {
  test("sessions are spread over them, and each keeps to its own", async () => {
    const servers = [newServer(), newServer(), newServer()];
    const client = await start(servers);
    await connected(client, 3);
    const sessions: Session[] = [];
    for (let n = 0; n < 3 * 16; n++) sessions.push(await client.openSession());
    const where = client.register<Functions["where"]>("where");
    const homes = await Promise.all(sessions.map((session) => where.with({ session })()));
    expect(new Set(homes.map(({ server }) => server)).size).toBe(3);
    const again = await Promise.all(sessions.map((session) => where.with({ session })()));
    expect(again).toEqual(homes);
    await expect(client.openSession()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    await Promise.all(sessions.map((session) => session.close()));
  });

  test("a session whose server goes away in peace finishes what runs there and takes nothing new", async () => {
    const gate = deferred();
    const servers = [newServer(), newServer()];
    for (const server of servers) {
      server.register({
        async slow() {
          await gate.promise;
          return server.address;
        },
      });
    }
    const client = await start(servers);
    await connected(client, 2);
    const session = await client.openSession();
    const { server: home } = await session.execute<{ server: string }>("where", []);
    const running = session.execute<string>("slow", []);
    const server = servers.find(({ address }) => address === home)!;
    while (server.stats().inFlight === 0) await turn();
    const gone = new Promise((resolve) => client.on("goaway", resolve));
    const stopped = server.shutdown();
    await gone;
    expect(session.closed).toBe(true);
    await expect(session.execute("where", [])).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: "the connection of the session is gone, and the session with it",
    });
    gate.resolve();
    expect(await running).toBe(home);
    await session.close();
    await stopped;
    expect((await client.invokeByName<{ server: string }>("where")).server).not.toBe(home);
  });

  test("calls, streams and channels that run in a session whose connection dies fail, and those that wait too", async () => {
    const limited = new Server({ limits: { maxInFlight: 3 } });
    limited.register({ never: () => new Promise(() => {}) });
    limited.registerChannel(async function idle(channel: Channel) {
      await channel.waitClose();
    });
    limited.register({
      async *endless() {
        for (;;) {
          await turn();
          yield 1;
        }
      },
    });
    const other = await start([limited]);
    const session = await other.openSession();
    const call = session.execute("never", []);
    const channel = await other
      .registerChannel<(c: Channel<never, number>) => Promise<void>>("idle")
      .with({ session })
      .open();
    const stream = other.registerGen<() => AsyncIterable<number>>("endless").with({ session })();
    await stream.next();
    const waiting = session.execute("never", []);
    await turn();
    for (const connection of limited.connections()) await connection.close("a crash");
    const unavailable = expect.objectContaining({ code: "UNAVAILABLE" });
    const results = await Promise.allSettled([call, channel.read(), readAll(stream), waiting]);
    expect(results).toEqual(results.map(() => ({ status: "rejected", reason: unavailable })));
    await session.close();
  });
});

describe("the place of a session on the server", () => {
  test("is free again although the caller gave up while it was opened", async () => {
    const client = await start([newServer()]);
    for (let n = 0; n < 40; n++) {
      const caller = new AbortController();
      const opening = client.openSession({ signal: caller.signal });
      caller.abort();
      await expect(opening).rejects.toMatchObject({ code: "CANCELLED" });
    }
    while (client.stats().inFlight > 0) await turn();
    const sessions = await Promise.all(Array.from({ length: 16 }, () => client.openSession()));
    await Promise.all(sessions.map((session) => session.close()));
  });

  test("is free again although the call or block that it was used in was cancelled", async () => {
    const client = await start([newServer()]);
    for (let n = 0; n < 20; n++) {
      const caller = new AbortController();
      const block = withCallOptions({ signal: caller.signal }, () =>
        client.withSession(async () => {
          caller.abort();
          await client.invokeByName("where");
        }),
      );
      await expect(block).rejects.toMatchObject({ code: "CANCELLED" });
    }
    const outer = new Server().register({
      work: () => client.withSession(() => client.invokeByName("count", [])),
      wait: () =>
        client.withSession(() => new Promise((_, reject) => context().signal.addEventListener("abort", reject))),
    });
    const outside = await start([outer]);
    for (let n = 0; n < 20; n++) {
      await expect(outside.invokeByName("wait", [], { timeout: 5 })).rejects.toMatchObject({
        code: "DEADLINE_EXCEEDED",
      });
    }
    expect(await outside.invokeByName("work")).toBe(1);
  });

  test("is free again although there was no room for a call when it was closed", async () => {
    const gate = deferred();
    const server = new Server({ limits: { maxInFlight: 2, maxSessions: 1 } }).register({ hold: () => gate.promise });
    const client = await start([server]);
    const session = await client.openSession();
    const calls = [session.execute("hold", []), session.execute("hold", [])];
    while (server.stats().inFlight < 2) await turn();
    await session.close();
    expect(session.closed).toBe(true);
    gate.resolve();
    await Promise.all(calls);
    while (client.stats().inFlight > 0) await turn();
    await (await client.openSession()).close();
  });
});

describe("the end of a session that the server refuses", () => {
  const turns = async () => {
    for (let n = 0; n < 100; n++) await turn();
  };

  /** A session that was closed while a function, whose time is over, goes on and holds the only place. */
  async function refused() {
    const clock = new ManualClock();
    const container = createContainer().register(CLOCK, { useValue: clock });
    const server = new Server({ container, limits: { maxInFlight: 1, maxSessions: 1 } });
    const gate = deferred();
    server.register(() => gate.promise, { name: "outlive", timeout: 50 });
    const pair = await createTestPair(server, { client: { container } });
    const session = await pair.client.openSession();
    const late = expect(session.execute("outlive", [])).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    while (server.stats().inFlight === 0) await turn();
    clock.advance(60);
    await late;
    await session.close();
    await turns();
    return {
      ...pair,
      clock,
      finish: gate.resolve,
      async [Symbol.asyncDispose]() {
        gate.resolve();
        await pair[Symbol.asyncDispose]();
      },
    };
  }

  test("is tried again every 100 ms, until there is room", async () => {
    await using scene = await refused();
    const { client, server, clock, finish } = scene;
    for (let tries = 1; tries < 4; tries++) {
      clock.advance(99);
      await turns();
      expect(server.stats().refused.maxInFlight).toBe(tries);
      clock.advance(10);
      await turns();
      expect(server.stats().refused.maxInFlight).toBe(tries + 1);
    }
    finish();
    await turns();
    clock.advance(110);
    await turns();
    await (await client.openSession()).close();
    expect(server.stats().refused.maxInFlight).toBe(4);
  });

  test("is given up with the connection, and with the client", async () => {
    for (const end of ["connection", "client"]) {
      await using scene = await refused();
      const { client, server } = scene;
      if (end === "client") await client.stop();
      else for (const connection of server.connections()) await connection.close("a crash");
      await turns();
      expect({ end, timers: client.stats().timers }).toEqual({ end, timers: 0 });
    }
  });
});

test("a client that stops ends its sessions, and their calls fail", async () => {
  const client = await start([newServer()]);
  const session = await client.openSession();
  await client.stop();
  expect(session.closed).toBe(true);
  await expect(session.execute("where", [])).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await session.close();
});

async function connected(client: Client, count: number): Promise<void> {
  while (client.stats().connections < count) await turn();
}

async function readAll(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

function deferred() {
  let resolve!: () => void;
  const promise = new Promise<void>((yes) => {
    resolve = yes;
  });
  return { promise, resolve };
}

test("so many calls of a session may wait for room and no more", async () => {
  const finish: (() => void)[] = [];
  const server = new Server({ limits: { maxInFlight: 1 } });
  server.register({ hold: () => new Promise<void>((resolve) => finish.push(resolve)) });
  const { port } = await server.listen({ port: 0 });
  const client = new Client({ limits: { maxQueuedCalls: 2 } }).addConn("127.0.0.1", port);
  stops.push(
    () => client.stop({ graceMs: 0 }),
    () => server.shutdown({ graceMs: 0 }),
  );
  await client.start();
  const session = await client.openSession();
  const calls = [1, 2, 3].map(() => session.execute("hold", []).catch((error: unknown) => error));
  expect(client.stats()).toMatchObject({ inFlight: 1, waiting: 2 });
  await expect(session.execute("hold", [])).rejects.toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    message: "2 calls wait already",
    maybeExecuted: false,
  });
  await session.close();
  expect(await Promise.all(calls.slice(1))).toMatchObject([{ maybeExecuted: false }, { maybeExecuted: false }]);
});
