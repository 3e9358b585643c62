import { getEventListeners } from "node:events";
import { Client } from "@rap/client";
import { RapError } from "@rap/protocol";
import { type ConnMiddleware, connMiddleware, messageMiddleware, Server } from "../src";

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

test("loading one twice, or what is none, is an error", () => {
  const middleware = connMiddleware(async (_conn, next) => next());
  const server = new Server().loadMiddleware([middleware]);
  expect(() => server.loadMiddleware([middleware])).toThrow("loaded already");
  expect(() => server.loadMiddleware([{} as never])).toThrow("dispatch");
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
