import { getEventListeners } from "node:events";
import { Client } from "@rap/client";
import { RapError } from "@rap/protocol";
import {
  type Channel,
  type ConnMiddleware,
  channel,
  connMiddleware,
  context,
  type MessageMiddleware,
  messageMiddleware,
  type RequestContext,
  Server,
} from "../src";

/** A started pair; both ends are stopped after the test. */
const started: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of started.splice(0)) await each.stop();
});

async function pair(server: Server): Promise<Client> {
  const { port } = await server.listen({ port: 0 });
  const client = new Client();
  client.addConn("127.0.0.1", port);
  started.push(client, { stop: () => server.shutdown({ graceMs: 0 }) });
  return client;
}

describe("connection middleware", () => {
  test("refuses a connection with a reason that the client's error shows", async () => {
    const client = await pair(new Server().loadMiddleware([connMiddleware((conn) => conn.close("closed at night"))]));
    await expect(client.start()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("closed at night"),
    });
  });

  test("refuses a connection that it neither admits nor closes", async () => {
    const client = await pair(new Server().loadMiddleware([connMiddleware(async () => {})]));
    await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "REFUSED" });
  });

  test("wraps the whole life of a connection, the first loaded outermost", async () => {
    const log: string[] = [];
    const named = (name: string) =>
      connMiddleware(async (_conn, next) => {
        log.push(`${name} in`);
        await next();
        log.push(`${name} out`);
      });
    const server = new Server()
      .loadMiddleware([named("a"), named("b")])
      .register({ sum: (a: number, b: number) => a + b });
    const client = await pair(server);
    await client.start();
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    expect(log).toEqual(["a in", "b in"]);
    await client.stop();
    await server.shutdown();
    expect(log).toEqual(["a in", "b in", "b out", "a out"]);
  });

  test("one that throws costs its connection and nothing else", async () => {
    const lines: unknown[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (line: object) => void lines.push(line) };
    let fail = true;
    const server = new Server({ logger }).loadMiddleware([
      connMiddleware(async (_conn, next) => {
        if (fail) throw new Error("broken");
        await next();
      }),
    ]);
    const client = await pair(server);
    await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(lines).toEqual([expect.objectContaining({ err: expect.objectContaining({ message: "broken" }) })]);
    fail = false;
    await client.start();
  });

  test("a class with dispatch, onStart and onStop is middleware too", async () => {
    const log: string[] = [];
    class Door implements ConnMiddleware {
      readonly kind = "conn";
      onStart(): void {
        log.push("start");
      }
      onStop(): void {
        log.push("stop");
      }
      async dispatch(_conn: unknown, next: () => Promise<void>): Promise<void> {
        log.push("dispatch");
        await next();
      }
    }
    const server = new Server().loadMiddleware([new Door()]);
    const client = await pair(server);
    await client.start();
    await client.stop();
    await server.shutdown();
    expect(log).toEqual(["start", "dispatch", "stop"]);
  });
});

describe("message middleware", () => {
  test("changes arguments, answers itself and maps errors, the first loaded outermost", async () => {
    const server = new Server()
      .register({
        sum: (a: number, b: number) => a + b,
        fail: () => {
          throw new RapError("ABORTED", "no");
        },
      })
      .loadMiddleware([
        messageMiddleware(async (_ctx, args, next) => {
          try {
            return await next(args);
          } catch (error) {
            throw RapError.is(error, "ABORTED") ? new RapError("NOT_FOUND", "mapped") : error;
          }
        }),
        messageMiddleware(async (ctx, args, next) => {
          if (ctx.metadata.has("cached")) return "from the cache";
          return next(ctx.name === "sum" ? [(args[0] as number) * 10, args[1]] : args);
        }),
      ]);
    const client = await pair(server);
    await client.start();
    expect(await client.invokeByName("sum", [1, 2])).toBe(12);
    expect(await client.invokeByName("sum", [1, 2], { metadata: { cached: "1" } })).toBe("from the cache");
    await expect(client.invokeByName("fail")).rejects.toMatchObject({ code: "NOT_FOUND", message: "mapped" });
  });

  test("wraps streams and channels without reordering their messages", async () => {
    const log: string[] = [];
    const server = new Server().loadMiddleware([
      messageMiddleware(async (ctx, _args, next) => {
        log.push(`${ctx.kind} ${ctx.name}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
        return next();
      }),
    ]);
    server.register({
      async *count(n: number) {
        for (let i = 0; i < n; i++) yield i;
      },
    });
    server.registerChannel(async function echo(channel) {
      for await (const body of channel) await channel.write(body);
    });
    const client = await pair(server);
    await client.start();
    const got: number[] = [];
    for await (const n of client.registerGen<(n: number) => AsyncIterable<number>>("count")(300)) got.push(n);
    expect(got).toEqual(Array.from({ length: 300 }, (_, i) => i));
    const echo = client.registerChannel<(c: import("@rap/server").Channel<number, number>) => Promise<void>>("echo");
    await echo(async (channel) => {
      for (let i = 0; i < 20; i++) void channel.write(i);
      for (let i = 0; i < 20; i++) expect(await channel.readBody()).toBe(i);
    });
    expect(log).toEqual(["server_stream count", "channel echo"]);
  });

  test("going on twice is an error of that call", async () => {
    const server = new Server({ logger: { debug() {}, info() {}, warn() {}, error() {} } }).register({ one: () => 1 });
    server.use(messageMiddleware(async (_ctx, _args, next) => [await next(), await next()]));
    const client = await pair(server);
    await client.start();
    await expect(client.invokeByName("one")).rejects.toMatchObject({ code: "UNKNOWN" });
  });
});

describe("connection middleware of several loads", () => {
  test("is passed in the order of loading, and one that refuses keeps the peer from those behind it", async () => {
    const log: string[] = [];
    const named = (name: string, refuses = false) =>
      connMiddleware(async (conn, next) => {
        log.push(name);
        if (refuses) return conn.close(`${name} says no`);
        await next();
      });
    const server = new Server().loadMiddleware([named("a")]).loadMiddleware([named("b", true), named("c")]);
    const client = await pair(server);
    await expect(client.start()).rejects.toMatchObject({ message: expect.stringContaining("b says no") });
    expect(log).toEqual(["a", "b"]);
  });

  test("may take its time: what the client sends meanwhile waits, and nothing is called before", async () => {
    let admit!: () => void;
    const gate = new Promise<void>((resolve) => {
      admit = resolve;
    });
    let calls = 0;
    const server = new Server().register({ count: () => ++calls });
    server.loadMiddleware([
      connMiddleware(async (_conn, next) => {
        await gate;
        await next();
      }),
    ]);
    const client = await pair(server);
    const started_ = client.start();
    const call = started_.then(() => client.invokeByName("count"));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(0);
    admit();
    expect(await call).toBe(1);
  });

  test("keeps what it knows of the connection for the functions", async () => {
    const server = new Server().register({ who: () => context().conn.state.get("who") });
    server.loadMiddleware([
      connMiddleware(async (conn, next) => {
        conn.state.set("who", `${conn.remoteAddress} ${conn.local}`);
        await next();
      }),
    ]);
    const client = await pair(server);
    await client.start();
    expect(await client.invokeByName("who")).toBe("127.0.0.1 true");
  });
});

describe("message middleware around every shape of call", () => {
  const shapes = {
    sum: (a: number, b: number) => a + b,
    async *count(to: number) {
      for (let n = 0; n < to; n++) yield n;
    },
    async total(items: AsyncIterable<number>) {
      let sum = 0;
      for await (const n of items) sum += n;
      return sum;
    },
    echo: channel(async (each: Channel<number, number>) => {
      for await (const body of each) await each.write(body);
    }),
    fails: channel(async () => {
      throw new RapError("ABORTED", "inside");
    }),
  };
  const all = (client: Client) => ({
    sum: () => client.invokeByName("sum", [1, 2]),
    count: async () => {
      const got: number[] = [];
      for await (const n of client.registerGen<(to: number) => AsyncIterable<number>>("count")(2)) got.push(n);
      return got;
    },
    total: () => client.register<(items: AsyncIterable<number>) => Promise<number>>("total")([1, 2, 3].values()),
    echo: async () => {
      const got: number[] = [];
      await client.registerChannel<(each: Channel<number, number>) => Promise<void>>("echo")(async (each) => {
        await each.write(7);
        got.push(await each.readBody());
      });
      return got;
    },
    fails: () => client.registerChannel<(each: Channel) => Promise<void>>("fails")((each) => each.waitClose()),
  });

  test("sees each once, as a class with a start and a stop, and has the call's context", async () => {
    const log: string[] = [];
    class Audit implements MessageMiddleware {
      readonly kind = "message";
      onStart = () => void log.push("start");
      onStop = () => void log.push("stop");

      async dispatch(ctx: RequestContext, args: unknown[], next: (args?: unknown[]) => Promise<unknown>) {
        log.push(`${ctx.kind} ${ctx.group}/${ctx.name} ${args.length} ${context().id === ctx.id}`);
        return next(args);
      }
    }
    const server = new Server().register(shapes).use(new Audit());
    const client = await pair(server);
    await client.start();
    const { sum, count, total, echo } = all(client);
    expect([await sum(), await count(), await total(), await echo()]).toEqual([3, [0, 1], 6, [7]]);
    await client.stop();
    await server.shutdown();
    expect(log).toEqual([
      "start",
      "unary default/sum 2 true",
      "server_stream default/count 1 true",
      "client_stream default/total 1 true",
      "channel default/echo 1 true",
      "stop",
    ]);
  });

  test("refuses each with its own error, before the function", async () => {
    const server = new Server().register(shapes);
    server.use(
      messageMiddleware(async (ctx) => {
        throw new RapError("PERMISSION_DENIED", `not ${ctx.name}`);
      }),
    );
    const client = await pair(server);
    await client.start();
    for (const [name, call] of Object.entries(all(client))) {
      await expect(call()).rejects.toMatchObject({ code: "PERMISSION_DENIED", message: `not ${name}` });
    }
    expect(server.stats().inFlight).toBe(0);
  });

  test("turns the error of each into another, and the items of a stream too, if it wraps them", async () => {
    const server = new Server().register({
      ...shapes,
      async *count() {
        yield 0;
        throw new RapError("ABORTED", "inside");
      },
      sum: () => {
        throw new RapError("ABORTED", "inside");
      },
    });
    const mapped = (error: unknown) => (RapError.is(error, "ABORTED") ? new RapError("NOT_FOUND", "outside") : error);
    async function* wrapped(items: AsyncIterable<unknown>) {
      try {
        for await (const item of items) yield `<${String(item)}>`;
      } catch (error) {
        throw mapped(error);
      }
    }
    server.use(
      messageMiddleware(async (_ctx, args, next) => {
        try {
          const result = await next(args);
          return result !== undefined && Symbol.asyncIterator in Object(result) ? wrapped(result as never) : result;
        } catch (error) {
          throw mapped(error);
        }
      }),
    );
    const client = await pair(server);
    await client.start();
    const { sum, fails } = all(client);
    const outside = { code: "NOT_FOUND", message: "outside" };
    await expect(sum()).rejects.toMatchObject(outside);
    await expect(fails()).rejects.toMatchObject(outside);
    const stream = client.registerGen<() => AsyncIterable<string>>("count")();
    expect(await stream.next()).toEqual({ done: false, value: "<0>" });
    await expect(stream.next()).rejects.toMatchObject(outside);
  });

  test("answers a call itself: a value, a stream, or nothing for a channel, which then ends", async () => {
    const server = new Server().register(shapes);
    let ran = 0;
    server.use(
      messageMiddleware(async (ctx) => {
        ran++;
        if (ctx.kind === "channel") return undefined;
        if (ctx.kind !== "server_stream") return 42;
        return (async function* () {
          yield 42;
        })();
      }),
    );
    const client = await pair(server);
    await client.start();
    const { sum, count, total } = all(client);
    expect([await sum(), await count(), await total()]).toEqual([42, [42], 42]);
    const opened = await client.registerChannel<(each: Channel<number, number>) => Promise<void>>("echo").open();
    await expect(opened.read()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
    await opened.waitClose();
    expect(ran).toBe(4);
  });

  test("reorders no messages, however long it takes for each call", async () => {
    const server = new Server().register(shapes);
    const waits = () =>
      messageMiddleware(async (_ctx, args, next) => {
        await new Promise((resolve) => setImmediate(resolve));
        const result = await next(args);
        await new Promise((resolve) => setImmediate(resolve));
        return result;
      });
    server.use(waits(), waits(), waits());
    const client = await pair(server);
    await client.start();
    const sent = Array.from({ length: 500 }, (_, n) => n);
    const echoed: number[] = [];
    await client.registerChannel<(each: Channel<number, number>) => Promise<void>>("echo")(async (each) => {
      for (const n of sent) void each.write(n);
      void each.end();
      for await (const n of each) echoed.push(n);
    });
    expect(echoed).toEqual(sent);
    const counted: number[] = [];
    for await (const n of client.registerGen<(to: number) => AsyncIterable<number>>("count")(500)) counted.push(n);
    expect(counted).toEqual(sent);
  });
});

test("loading one twice, or what is none, is an error", () => {
  const middleware = connMiddleware(async (_conn, next) => next());
  const server = new Server().loadMiddleware([middleware]);
  expect(() => server.loadMiddleware([middleware])).toThrow("loaded already");
  const none = (message: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD", message: expect.stringContaining(message) });
  class WithoutMethod {
    readonly kind = "conn";
  }
  for (const part of [undefined, null, 5, {}, () => {}, new WithoutMethod()]) {
    expect(() => server.loadMiddleware([part as never])).toThrow(
      none("a middleware has a dispatch function, not undefined"),
    );
  }
  const dispatch = async () => {};
  expect(() => server.loadMiddleware([{ kind: "con", dispatch } as never])).toThrow(
    none('kind is "conn" or "message"'),
  );
  for (const hook of ["filter", "onStart", "onStop"]) {
    expect(() => server.use({ kind: "conn", dispatch, [hook]: true } as never)).toThrow(
      none(`${hook} of a middleware is a function, not true`),
    );
  }
  expect(() => server.loadMiddleware(middleware as never)).toThrow(none("takes a list of middleware, not an object"));
  expect(() => connMiddleware(undefined as never)).toThrow(none("connMiddleware() takes a function (conn, next) => …"));
  expect(() => messageMiddleware({} as never)).toThrow(none("takes a function (ctx, args, next) => …, not an object"));
});

test("an error before the start aborts it and stops what had started, in reverse", async () => {
  const log: string[] = [];
  const part = (name: string, fails = false): ConnMiddleware => ({
    kind: "conn",
    dispatch: async (_conn, next) => next(),
    onStart() {
      if (fails) throw new Error(`${name} failed`);
      log.push(`${name} start`);
    },
    onStop: () => void log.push(`${name} stop`),
  });
  const server = new Server().loadMiddleware([part("a"), part("b"), part("c", true)]);
  await expect(server.listen({ port: 0 })).rejects.toThrow("c failed");
  expect(log).toEqual(["a start", "b start", "b stop", "a stop"]);
  expect(server.state).toBe("idle");
});

test("a server that cannot listen has stopped what it started, and can be tried again", async () => {
  const log: string[] = [];
  const server = new Server({ sslCertPath: "/nowhere/rap.crt", sslKeyPath: "/nowhere/rap.key" });
  server.loadProcessor([{ onStart: () => void log.push("start"), onStop: () => void log.push("stop") }]);
  for (let tries = 1; tries <= 2; tries++) {
    await expect(server.listen({ port: 0 })).rejects.toMatchObject({ code: "ENOENT" });
    expect(server.state).toBe("idle");
  }
  expect(log).toEqual(["start", "stop", "start", "stop"]);
});

test("a signal stops the server, also one that fires while it starts, and is let go by a server that has stopped", async () => {
  const early = new AbortController();
  const server = new Server({ startEvents: [() => early.abort(new Error("changed my mind"))] });
  await expect(server.listen({ port: 0, signal: early.signal })).rejects.toThrow("changed my mind");
  expect(server.state).toBe("stopped");

  const { signal } = new AbortController();
  const other = new Server();
  await other.listen({ port: 0, signal });
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  await other.shutdown();
  expect(getEventListeners(signal, "abort")).toHaveLength(0);

  const late = new AbortController();
  const third = new Server();
  const stopped = new Promise<void>((resolve) => void third.loadAfterStopEvent([resolve]));
  await third.listen({ port: 0, signal: late.signal });
  late.abort();
  await stopped;
  expect(third.state).toBe("stopped");
});

test("a logger that fails does not keep a connection that a failing middleware holds up, nor ends the process", async () => {
  const broken = () => {
    throw new Error("the disk is full");
  };
  const server = new Server({ logger: { debug() {}, info() {}, warn: broken, error: broken } });
  server.loadMiddleware([
    connMiddleware(async () => {
      throw new Error("broken");
    }),
  ]);
  const client = await pair(server);
  await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "REFUSED" });
});

test("the four events run in order, and an error in a stop event is logged and the stop goes on", async () => {
  const log: string[] = [];
  const errors: object[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: object) => void errors.push(line) };
  const server = new Server({
    logger,
    startEvents: [() => void log.push("0")],
    stopEvents: [() => void log.push("5")],
  });
  server.loadBeforeStartEvent([async () => void log.push("1")]).loadAfterStartEvent([() => void log.push("2")]);
  server.loadBeforeStopEvent([
    () => {
      log.push("3");
      throw new Error("ignored");
    },
    () => void log.push("4"),
  ]);
  server.loadAfterStopEvent([() => void log.push("6")]);
  await server.listen({ port: 0 });
  await server.shutdown();
  expect(log.join("")).toBe("0123456");
  expect(errors).toHaveLength(1);
});

test.each([
  ["loadMiddleware", messageMiddleware(async (_ctx, args, next) => next(args))],
  ["loadProcessor", {}],
  ["loadBeforeStartEvent", () => undefined],
  ["loadAfterStopEvent", [3]],
])("%s says that it takes a list, to who gives it something else", (method, given) => {
  const server = new Server() as unknown as Record<string, (given: unknown) => unknown>;
  expect(() => server[method]!(given)).toThrow(expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD" }));
});

test("a result that throws when it is looked at fails its call, and a thenable is waited for once", async () => {
  let waits = 0;
  // biome-ignore lint/suspicious/noThenProperty: what a function gives can be anything
  const strange = Object.defineProperty({}, "then", {
    get: () => {
      throw new Error("not to be looked at");
    },
  });
  // biome-ignore lint/suspicious/noThenProperty: a promise of another library
  const lazy = { then: (resolve: (value: number) => void) => resolve(++waits) };
  const server = new Server().register({ strange: () => strange, lazy: () => lazy });
  server.loadMiddleware([messageMiddleware((_ctx, args, next) => next(args))]);
  const client = await pair(server);
  await client.start();
  await expect(client.invokeByName("strange")).rejects.toMatchObject({ code: "UNKNOWN" });
  expect(await client.invokeByName("lazy")).toBe(1);
  expect(waits).toBe(1);
});
