import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { type Channel, Client, RapError, safe, withCallOptions } from "@rap/client";
import { CLOCK, RANDOM } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { context, rpc, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { type MemoryTransport, memory, type Transport } from "@rap/transport";
import * as z from "zod";
import { dial, ends, serve } from "./ends";
import { SILENT, until, untilQuiet } from "./links";

jest.setTimeout(20_000);

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** The error of a call that must fail. */
async function failure(call: Promise<unknown>): Promise<RapError> {
  const outcome = await safe(call);
  if (outcome.ok) throw new Error(`it succeeded: ${String(outcome.value)}`);
  return outcome.error;
}

/** Waits until the call that is being handled is cancelled; its reason. */
function cancelled(): Promise<RapError> {
  const { signal } = context();
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason as RapError));
  });
}

/** What the functions of a chain saw, by their names. */
interface Seen {
  remaining: Record<string, number | undefined>;
  reasons: Record<string, string>;
  errors: Record<string, string>;
}

/** For a server or a client whose time is that of a clock. */
const timed = (clock: ManualClock) => ({ container: createContainer().register(CLOCK, { useValue: clock }) });

/** Three servers: `front` calls `middle`, which calls `back`, which waits for its end. On a clock each takes 10.3 ms. */
async function chain(
  clock?: ManualClock,
): Promise<{ client: Client; seen: Seen; servers: Server[]; begun: Promise<void> }> {
  const options = clock === undefined ? {} : timed(clock);
  const seen: Seen = { remaining: {}, reasons: {}, errors: {} };
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const note = (name: string) => {
    seen.remaining[name] = context().deadline?.remaining();
    clock?.advance(10.3);
    void cancelled().then(({ code }) => {
      seen.reasons[name] = code;
    });
  };
  const back = await serve(
    (server) =>
      server.register({
        back: async () => {
          note("back");
          begin();
          await cancelled();
        },
      }),
    options,
  );
  const toBack = await dial(back.address!, options);
  const pass = async (name: string, call: () => Promise<unknown>) => {
    note(name);
    const error = await failure(call());
    seen.errors[name] = error.code;
    throw error;
  };
  const middle = await serve(
    (server) => server.register({ middle: () => pass("middle", () => toBack.invokeByName("back")) }),
    options,
  );
  const toMiddle = await dial(middle.address!, options);
  const front = await serve(
    (server) => server.register({ front: () => pass("front", () => toMiddle.invokeByName("middle")) }),
    options,
  );
  return { client: await dial(front.address!, options), seen, servers: [front, middle, back], begun };
}

describe("what ends a call", () => {
  test("by its deadline ends the calls that its function made, and those that theirs made", async () => {
    const clock = new ManualClock();
    const { client, seen, servers, begun } = await chain(clock);
    const call = failure(client.invokeByName("front", [], { timeout: 150 }));
    await begun;
    clock.advance(150);
    expect(await call).toMatchObject({ code: "DEADLINE_EXCEEDED", maybeExecuted: true });
    await until(() => servers.every((server) => server.stats().inFlight === 0));
    // The time left travels as whole milliseconds, rounded up.
    expect(seen.remaining).toEqual({ front: 150, middle: 140, back: 130 });
    const late = "DEADLINE_EXCEEDED";
    expect(seen.errors).toEqual({ front: late, middle: late });
    // The others may have ended with the calls that they made, before their own time was over.
    expect(seen.reasons).toMatchObject({ back: late });
    expect(new Set(Object.values(seen.reasons))).toEqual(new Set([late]));
  });

  test("by its caller's signal ends the calls that its function made, and those that theirs made", async () => {
    const { client, seen, servers, begun } = await chain();
    const caller = new AbortController();
    const call = failure(client.invokeByName("front", [], { signal: caller.signal }));
    await begun;
    caller.abort();
    expect(await call).toMatchObject({ code: "CANCELLED", maybeExecuted: true });
    await until(() => servers.every((server) => server.stats().inFlight === 0));
    expect(seen.reasons).toEqual({ front: "CANCELLED", middle: "CANCELLED", back: "CANCELLED" });
    expect(seen.errors).toEqual({ front: "CANCELLED", middle: "CANCELLED" });
  });

  test("by the loss of its caller cancels the calls that its function made: theirs is no server that failed", async () => {
    const { client, seen, servers, begun } = await chain();
    const call = failure(client.invokeByName("front"));
    await begun;
    await client.stop({ graceMs: 0 });
    expect(await call).toMatchObject({ code: "UNAVAILABLE", maybeExecuted: true });
    await until(() => servers.every((server) => server.stats().inFlight === 0));
    expect(seen.reasons).toEqual({ front: "UNAVAILABLE", middle: "CANCELLED", back: "CANCELLED" });
    expect(seen.errors).toEqual({ front: "CANCELLED", middle: "CANCELLED" });
  });

  test("in withCallOptions ends every call made inside", async () => {
    const server = await serve((it) => it.register({ hang: () => cancelled() }));
    const client = await dial(server.address!);
    const caller = new AbortController();
    const calls = withCallOptions({ signal: caller.signal, timeout: 10_000 }, () =>
      times(3, () => failure(client.invokeByName("hang"))),
    );
    const late = withCallOptions({ timeout: 20 }, () => failure(client.invokeByName("hang")));
    expect((await late).code).toBe("DEADLINE_EXCEEDED");
    caller.abort();
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual(times(3, () => "CANCELLED"));
    await untilQuiet({ server, client });
  });
});

describe("how a call failed, and whether it may have run,", () => {
  const strict = rpc({ input: [z.number()] }, (n) => n);
  const register = (server: Server) => {
    server.register({ hang: () => cancelled(), strict, "quick-to-end": () => cancelled() });
    server.register(() => cancelled(), { name: "short", timeout: 20 });
    server.register({ abort: () => Promise.reject(new DOMException("mine", "AbortError")) });
    server.register({ guarded: () => 1, betrayed: () => 1 });
    server.loadMiddleware([
      {
        kind: "message",
        async dispatch(request, args, next) {
          if (request.method === "guarded") throw new RapError("PERMISSION_DENIED", "not you");
          const result = await next(args);
          if (request.method === "betrayed") throw new RapError("ABORTED", "after all");
          return result;
        },
      },
    ]);
    server.register({ throws: () => Promise.reject(new Error("mine")) });
  };

  test.each<[string, (client: Client, server: Server) => Promise<unknown>, string, boolean]>([
    [
      "its signal had fired",
      (client) => client.invokeByName("hang", [], { signal: AbortSignal.abort() }),
      "CANCELLED",
      false,
    ],
    [
      "its time was over before it began",
      (client) => client.invokeByName("hang", [], { timeout: 0 }),
      "DEADLINE_EXCEEDED",
      false,
    ],
    [
      "its signal fires",
      (client) => {
        const caller = new AbortController();
        setTimeout(() => caller.abort(), 10);
        return client.invokeByName("hang", [], { signal: caller.signal });
      },
      "CANCELLED",
      true,
    ],
    [
      "its signal is a timeout",
      (client) => client.invokeByName("hang", [], { signal: AbortSignal.timeout(10) }),
      "DEADLINE_EXCEEDED",
      true,
    ],
    ["its time is over", (client) => client.invokeByName("hang", [], { timeout: 10 }), "DEADLINE_EXCEEDED", true],
    ["the server's time for it is over", (client) => client.invokeByName("short"), "DEADLINE_EXCEEDED", true],
    ["its arguments cannot be sent", (client) => client.invokeByName("hang", [() => 1]), "INVALID_ARGUMENT", false],
    [
      "a schema refuses its arguments",
      (client) => client.invokeByName("strict", ["no number"]),
      "INVALID_ARGUMENT",
      false,
    ],
    ["a middleware refuses it", (client) => client.invokeByName("guarded"), "PERMISSION_DENIED", false],
    ["a middleware fails after it has run", (client) => client.invokeByName("betrayed"), "ABORTED", true],
    ["there is no such function", (client) => client.invokeByName("nothing"), "NOT_FOUND", false],
    ["the function fails with an abort of its own", (client) => client.invokeByName("abort"), "UNKNOWN", true],
    ["the function throws", (client) => client.invokeByName("throws"), "UNKNOWN", true],
    [
      "the server stops and has no time for it",
      async (client, server) => {
        const call = client.invokeByName("hang");
        await until(() => server.stats().inFlight === 1);
        void server.shutdown({ graceMs: 1 });
        return call;
      },
      "UNAVAILABLE",
      true,
    ],
    [
      "the server closes the connection",
      async (client, server) => {
        const call = client.invokeByName("hang");
        await until(() => server.stats().inFlight === 1);
        for (const connection of server.connections()) await connection.close("enough");
        return call;
      },
      "UNAVAILABLE",
      true,
    ],
    [
      "the client is stopped",
      async (client, server) => {
        const call = client.invokeByName("hang");
        call.catch(() => undefined);
        await until(() => server.stats().inFlight === 1);
        await client.stop({ graceMs: 1 });
        return call;
      },
      "UNAVAILABLE",
      true,
    ],
    [
      "the client was stopped",
      async (client) => {
        await client.stop();
        return client.invokeByName("hang");
      },
      "UNAVAILABLE",
      false,
    ],
    [
      "the client was not started",
      () => new Client({ target: "tcp://127.0.0.1:1" }).invokeByName("hang"),
      "FAILED_PRECONDITION",
      false,
    ],
  ])("says so when %s", async (_, call, code, maybeExecuted) => {
    const server = await serve(register);
    const client = await dial(server.address!);
    expect(await failure(call(client, server))).toMatchObject({ code, maybeExecuted });
    await until(() => server.stats().inFlight === 0);
  });

  test("says so when the connection is cut, when there is none, and when none came in time", async () => {
    const server = new Server({ logger: SILENT });
    register(server);
    await using pair = await createTestPair(server, { client: { reconnect: { initial: 60_000, max: 60_000 } } });
    const inFlight = [
      failure(pair.client.invokeByName("hang")),
      failure(pair.client.invokeByName("hang", [], { timeout: 9_000 })),
    ];
    await until(() => server.stats().inFlight === 2);
    pair.cut();
    for (const error of await Promise.all(inFlight)) {
      expect(error).toMatchObject({ code: "UNAVAILABLE", maybeExecuted: true, origin: "transport" });
      expect(error.message).toContain("the link was cut");
    }
    const hurried = await failure(pair.client.invokeByName("hang", [], { waitForReady: false }));
    expect(hurried).toMatchObject({ code: "UNAVAILABLE", maybeExecuted: false });
    const patient = await failure(pair.client.invokeByName("hang", [], { timeout: 30 }));
    expect(patient).toMatchObject({ code: "DEADLINE_EXCEEDED", maybeExecuted: false });
    expect(patient.message).toMatch(/waiting for a connection.*the link was cut/);
    const caller = new AbortController();
    const waiting = failure(pair.client.invokeByName("hang", [], { signal: caller.signal }));
    expect(pair.client.stats().waiting).toBe(1);
    caller.abort();
    expect(await waiting).toMatchObject({ code: "CANCELLED", maybeExecuted: false });
    expect(pair.client.stats().waiting).toBe(0);
  });

  test("says so when the server has no room for it", async () => {
    const server = new Server({ logger: SILENT, limits: { maxServerInFlight: 1 } });
    register(server);
    await using pair = await createTestPair(server);
    const first = failure(pair.client.invokeByName("hang"));
    const second = await failure(pair.client.invokeByName("hang"));
    expect(second).toMatchObject({ code: "RESOURCE_EXHAUSTED", maybeExecuted: false });
    pair.cut();
    await first;
  });

  test("does not say to a caller where its function's own call was, if that was late", async () => {
    const logged: object[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (details: object) => void logged.push(details) };
    const clock = new ManualClock();
    // The server that is called, whose time stands still, must not be the first to say so.
    const back = await serve(register, timed(new ManualClock()));
    const inside = await dial(back.address!, timed(clock));
    const ask = () => inside.invokeByName("hang", [], { timeout: 20 });
    const front = await serve((server) => server.register({ ask }), { logger });
    const outside = await dial(front.address!);
    const call = failure(outside.invokeByName("ask"));
    await until(() => back.stats().inFlight === 1);
    clock.advance(30);
    const error = await call;
    const [{ errorId }] = error.details as [{ errorId: string }];
    expect(error).toMatchObject({ code: "DEADLINE_EXCEEDED", message: `default/ask failed (error id ${errorId})` });
    const message = expect.stringContaining(back.address!.replace("tcp://", "at "));
    expect(logged).toEqual([expect.objectContaining({ errorId, err: expect.objectContaining({ message }) })]);
  });
});

describe("a generator's finally runs once", () => {
  let left = 0;
  afterEach(() => {
    left = 0;
  });
  async function* counting() {
    try {
      for (let i = 0; ; i++) {
        yield i;
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      await new Promise((resolve) => setImmediate(resolve));
      left++;
    }
  }
  type Counting = typeof counting;

  test.each<[string, (stream: AsyncIterableIterator<number>, client: Client, server: Server) => Promise<unknown>]>([
    [
      "when its caller breaks",
      async (stream) => {
        for await (const i of stream) if (i === 3) break;
      },
    ],
    [
      "when its caller breaks at the first item",
      async (stream) => {
        for await (const _ of stream) break;
      },
    ],
    [
      "when its caller's loop throws",
      async (stream) => {
        const loop = async () => {
          for await (const i of stream) if (i === 3) throw new Error("mine");
        };
        await expect(loop()).rejects.toThrow("mine");
      },
    ],
    [
      "when its caller returns twice",
      async (stream) => {
        await stream.next();
        await stream.return?.();
        await stream.return?.();
      },
    ],
    [
      "when its caller throws into it",
      async (stream) => {
        await stream.next();
        await expect(stream.throw?.(new Error("mine"))).rejects.toThrow("mine");
      },
    ],
    [
      "when its caller is gone",
      async (stream, client) => {
        await stream.next();
        await client.stop({ graceMs: 0 });
      },
    ],
    [
      "when its server stops",
      async (stream, _, server) => {
        await stream.next();
        await server.shutdown({ graceMs: 1 });
      },
    ],
  ])("%s", async (_, leave) => {
    const server = await serve((it) => it.register({ counting }));
    const client = await dial(server.address!);
    await leave(client.registerGen<Counting>("counting")() as AsyncIterableIterator<number>, client, server);
    await until(() => server.stats().inFlight === 0);
    expect(left).toBe(1);
  });

  test("when its time is over, when its signal fires, and when the link is cut", async () => {
    const clock = new ManualClock();
    const server = new Server({ logger: SILENT, ...timed(clock) }).register({ counting });
    await using pair = await createTestPair(server, { client: timed(clock) });
    const remote = pair.client.registerGen<Counting>("counting");
    const all = async (stream: AsyncIterable<number>) => {
      for await (const _ of stream);
    };
    const late = failure(all(remote.with({ timeout: 30 })()));
    await until(() => server.stats().inFlight === 1);
    clock.advance(40);
    expect((await late).code).toBe("DEADLINE_EXCEEDED");
    await until(() => server.stats().inFlight === 0);
    expect(left).toBe(1);
    const caller = new AbortController();
    const aborted = failure(all(remote.with({ signal: caller.signal })()));
    await until(() => server.stats().inFlight === 1);
    caller.abort();
    expect((await aborted).code).toBe("CANCELLED");
    await until(() => server.stats().inFlight === 0);
    expect(left).toBe(2);
    const cut = failure(all(remote()));
    await until(() => server.stats().inFlight === 1);
    pair.cut();
    expect((await cut).code).toBe("UNAVAILABLE");
    await until(() => server.stats().inFlight === 0);
    expect(left).toBe(3);
  });

  test("on the caller's side too, when its stream is not wanted any more", async () => {
    const server = new Server({ logger: SILENT });
    server.register({
      first: async (items: AsyncIterable<number>) => {
        for await (const item of items) return item;
        return -1;
      },
      fails: async (items: AsyncIterable<number>) => {
        for await (const item of items) if (item === 2) throw new Error("mine");
      },
      hang: async (_: AsyncIterable<number>) => void (await cancelled()),
    });
    await using pair = await createTestPair(server);
    const { client } = pair;
    expect(await client.invokeByName("first", [counting()])).toBe(0);
    await until(() => left === 1);
    expect((await failure(client.invokeByName("fails", [counting()]))).code).toBe("UNKNOWN");
    await until(() => left === 2);
    expect((await failure(client.invokeByName("hang", [counting()], { timeout: 20 }))).code).toBe("DEADLINE_EXCEEDED");
    await until(() => left === 3);
    const cut = failure(client.invokeByName("hang", [counting()]));
    await until(() => server.stats().inFlight === 1);
    pair.cut();
    expect((await cut).code).toBe("UNAVAILABLE");
    await until(() => left === 4);
    await untilQuiet(pair);
    expect(left).toBe(4);
  });
});

describe("the time of a call", () => {
  const remaining = () => context().deadline?.remaining();
  /** Time that a call may have lost on its way. */
  const SLACK = 5_000;
  const near = (ms: number) => (value: unknown) => {
    expect(value).toBeLessThanOrEqual(ms);
    expect(value).toBeGreaterThan(ms - SLACK);
  };

  test("is 30 s by default, and what the client, the function, the surroundings or the call say", async () => {
    const server = new Server().register({ remaining });
    await using pair = await createTestPair(server);
    near(30_000)(await pair.client.invokeByName("remaining"));
    const remote = pair.client.register<typeof remaining>("remaining", { timeout: 20_000 });
    near(20_000)(await remote());
    near(10_000)(await remote.with({ timeout: 10_000 })());
    near(15_000)(await withCallOptions({ timeout: 15_000 }, () => pair.client.invokeByName("remaining")));
    near(12_000)(await pair.client.invokeByName("remaining", [], { timeout: 12_000 }));
    const other = new Server().register({ remaining });
    await using impatient = await createTestPair(other, { client: { timeout: 7_000 } });
    near(7_000)(await impatient.client.invokeByName("remaining"));
  });

  test("may be as long as the server allows, and longer than its field on the wire", async () => {
    const server = new Server().register({ remaining });
    server.register(remaining, { name: "own", timeout: 9_000 });
    await using pair = await createTestPair(server);
    for (const timeout of [Infinity, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      near(600_000)(await pair.client.invokeByName("remaining", [], { timeout }));
    }
    near(9_000)(await pair.client.invokeByName("own"));
  });

  test("goes by while a call that came with it has the event loop", async () => {
    const clock = new ManualClock();
    const world = memory();
    const server = new Server({ ...timed(clock), logger: SILENT });
    server.register({ remaining, block: () => clock.advance(80) });
    await server.listen({ transport: world, address: "memory://here" });
    const client = await dial("memory://here", { ...timed(clock), transports: [world], timeout: 100 });
    // Both are in one write, and so in one read.
    const [, left] = await Promise.all([client.invokeByName("block"), client.invokeByName("remaining")]);
    expect(left).toBe(20);
    await client.stop();
    await server.shutdown();
  });

  test("of a stream or a channel has no bound unless somebody sets one", async () => {
    const server = new Server({ logger: SILENT });
    server.register({
      async *stream() {
        yield remaining() ?? null;
      },
    });
    server.registerChannel(async function chat(channel: Channel<never, unknown>) {
      await channel.write(remaining() ?? null);
    });
    await using pair = await createTestPair(server);
    const stream = pair.client.registerGen<() => AsyncIterable<unknown>>("stream");
    expect((await stream().next()).value).toBeNull();
    near(8_000)((await stream.with({ timeout: 8_000 })().next()).value);
    const chat = pair.client.registerChannel<(c: Channel<never, unknown>) => Promise<void>>("chat");
    await chat(async (channel) => expect(await channel.readBody()).toBeNull());
    await chat.with({ timeout: 8_000 })(async (channel) => near(8_000)(await channel.readBody()));
  });

  test("inside a function is at most what is left to the call that it answers", async () => {
    const server = new Server({ logger: SILENT }).register({ remaining });
    await using pair = await createTestPair(server);
    server.register({ longer: () => pair.client.invokeByName("remaining", [], { timeout: 60_000 }) });
    near(10_000)(await pair.client.invokeByName("longer", [], { timeout: 10_000 }));
  });
});

describe("channels", () => {
  test("whose caller writes and leaves at once are read to their end", async () => {
    const read: unknown[] = [];
    const server = new Server({ logger: SILENT });
    server.registerChannel(async function log(channel: Channel<string, never>) {
      for await (const line of channel) read.push(line);
    });
    await using pair = await createTestPair(server);
    await pair.client.registerChannel<(c: Channel<string, never>) => Promise<void>>("log")(async (channel) => {
      void channel.write("one");
      void channel.write("two");
    });
    await untilQuiet(pair);
    expect(read).toEqual(["one", "two"]);
  });

  test("that last for a moment only, in great numbers, are nothing odd", async () => {
    const server = new Server({ logger: SILENT });
    server.registerChannel(async function brief(channel: Channel<never, number>) {
      await channel.write(1);
    });
    await using pair = await createTestPair(server, {
      client: { limits: { glitchBurst: 1, glitchesPerSecond: 0.001 } },
    });
    const brief = pair.client.registerChannel<(c: Channel<never, number>) => Promise<void>>("brief");
    for (let i = 0; i < 300; i++) await brief(async (channel) => expect(await channel.readBody()).toBe(1));
    await untilQuiet(pair);
  });
});

describe("a client whose server is gone", () => {
  /** A world in memory in which dials are counted, by the time of a clock. */
  function counted(world: MemoryTransport, clock: ManualClock): { transport: Transport; dials: number[] } {
    const dials: number[] = [];
    const transport: Transport = {
      scheme: "memory",
      dial: (address, signal) => {
        dials.push(clock.now());
        return world.dial(address, signal);
      },
      listen: (address, onSocket) => world.listen(address, onSocket),
    };
    return { transport, dials };
  }

  test("dials again, less and less often up to a bound, and takes up its calls when it is back", async () => {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    container.register(RANDOM, { useValue: { float: () => 0.5, bytes: (n: number) => new Uint8Array(n) } });
    const world = memory();
    const { transport, dials } = counted(world, clock);
    const address = "memory://here";
    const server = new Server({ logger: SILENT }).register({ ping: () => "pong" });
    await server.listen({ transport: world, address });
    const client = await dial(address, { transports: [transport], container });
    await server.shutdown();
    await until(() => client.stats().connections === 0);
    const patient = client.invokeByName("ping", [], { timeout: Infinity });

    const pauses: number[] = [];
    for (let tries = dials.length; tries < 16; tries++) {
      // What the last dial came to, and the timer that this set.
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
      const from = clock.now();
      clock.advance(30_000);
      expect(dials).toHaveLength(tries + 1);
      pauses.push(Math.round(dials.at(-1)! - from));
    }
    // Half of the first 200 ms, then 1.6 times as long each time, up to 30 s.
    const expected = times(15, (i) => (i === 0 ? 100 : Math.round(Math.min(200 * 1.6 ** i, 30_000))));
    expect(pauses).toEqual(expected);
    await until(() => client.stats().connections === 0);

    await using again = new Server({ logger: SILENT }).register({ ping: () => "pong again" });
    await again.listen({ transport: world, address });
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(30_000);
    expect(await patient).toBe("pong again");
  });

  test("goes on with it when it was restarted at the same port, and calls made meanwhile wait", async () => {
    const first = await serve((server) => server.register({ who: () => "first" }));
    const { port } = new URL(first.address!);
    const client = await dial(first.address!, { reconnect: { initial: 10, max: 50 } });
    const events: string[] = [];
    for (const event of ["connect", "disconnect", "reconnect", "goaway"] as const) {
      client.on(event, () => events.push(event));
    }
    expect(await client.invokeByName("who")).toBe("first");
    await first.shutdown();
    const calls = times(20, () => client.invokeByName("who"));
    const second = new Server({ logger: SILENT }).register({ who: () => "second" });
    await second.listen({ port: Number(port) });
    ends.push(() => second.shutdown({ graceMs: 0 }));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["second"]));
    expect(events[0]).toBe("goaway");
    expect(events.at(-1)).toBe("reconnect");
  });
});

describe("a client of several servers", () => {
  const hang = async () => void (await cancelled());

  test("spreads its calls by the fewest in flight, and goes on with those that are left", async () => {
    const servers = await Promise.all(times(3, () => serve((server) => server.register({ hang }))));
    const client = await dial(
      servers.map(({ address }) => address!),
      { reconnect: { initial: 5, max: 20 } },
    );
    await until(() => client.stats().connections === 3);
    const counts = () => servers.map((server) => server.stats().inFlight);
    const caller = new AbortController();
    const calls = times(30, () => failure(client.invokeByName("hang", [], { signal: caller.signal })));
    await until(() => counts().reduce((sum, count) => sum + count) === 30);
    expect(counts()).toEqual([10, 10, 10]);

    const { port } = new URL(servers[0]!.address!);
    await servers[0]!.shutdown({ graceMs: 0 });
    await until(() => client.stats().inFlight === 20);
    const more = times(10, () => failure(client.invokeByName("hang", [], { signal: caller.signal })));
    await until(() => counts().reduce((sum, count) => sum + count) === 30);
    expect(counts()).toEqual([0, 15, 15]);

    const reconnected = new Promise((resolve) => client.on("reconnect", resolve));
    const returned = new Server({ logger: SILENT }).register({ hang });
    await returned.listen({ port: Number(port) });
    ends.push(() => returned.shutdown({ graceMs: 0 }));
    await reconnected;
    const last = times(15, () => failure(client.invokeByName("hang", [], { signal: caller.signal })));
    await until(() => returned.stats().inFlight === 15);
    caller.abort();
    const codes = (await Promise.all([...calls, ...more, ...last])).map(({ code }) => code);
    expect(codes.filter((code) => code === "UNAVAILABLE")).toHaveLength(10);
    expect(codes.filter((code) => code === "CANCELLED")).toHaveLength(45);
  });
});
