import { afterEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { memory } from "@rap/transport";
import { type ConnMiddleware, type MessageMiddleware, messageMiddleware, type Processor, Server } from "../src";

const turn = () => new Promise((resolve) => setImmediate(resolve));

let log: string[] = [];
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  log = [];
});

const event = (what: string) => () => void log.push(what);
const later = (what: string) => async () => {
  await turn();
  log.push(what);
};
const broken = (what: string) => () => {
  log.push(what);
  throw new Error(what);
};

/** A middleware, or a processor, that notes its start and stop. */
function part(name: string, start: () => void | Promise<void> = event(`${name} start`)): ConnMiddleware {
  return { kind: "conn", dispatch: (_conn, next) => next(), onStart: start, onStop: event(`${name} stop`) };
}

function newServer(options: ConstructorParameters<typeof Server>[0] = {}) {
  const errors: Error[] = [];
  const error = ({ err }: { err: Error }) => void errors.push(err);
  const logger = { debug() {}, info() {}, warn() {}, error } as never;
  const server = new Server({ logger, ...options });
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return { server, errors };
}

test("all points of a server's life come in order, sync or async, parts in the order of loading and in reverse", async () => {
  const { server } = newServer({ startEvents: [later("start 1"), event("start 2")], stopEvents: [later("stop 1")] });
  const processor: Processor = { onStart: later("p start"), onStop: later("p stop") };
  const message: MessageMiddleware = {
    ...messageMiddleware((_ctx, args, next) => next(args)),
    onStart: event("m start"),
    onStop: event("m stop"),
  };
  server.loadBeforeStartEvent([later("before start")]).loadAfterStartEvent([later("after start")]);
  server.loadBeforeStopEvent([later("before stop")]).loadAfterStopEvent([event("after stop")]);
  server
    .loadMiddleware([part("c", later("c start"))])
    .loadProcessor([processor])
    .use(message);
  await server.listen({ port: 0 });
  const started = ["start 1", "start 2", "before start", "c start", "p start", "m start", "after start"];
  expect(log).toEqual(started);
  expect(server.state).toBe("listening");
  // Another address is no other start.
  await server.listen({ port: 0 });
  expect(log).toEqual(started);
  await server.shutdown();
  expect(log.slice(started.length)).toEqual(["before stop", "m stop", "p stop", "c stop", "stop 1", "after stop"]);
  await server.shutdown();
  expect(log).toHaveLength(started.length + 6);
});

describe("a start that fails", () => {
  test("at an event: what comes after it does not happen, nothing listens, and it can be tried again", async () => {
    const { server } = newServer();
    let fail = true;
    server.loadBeforeStartEvent([
      event("one"),
      () => {
        if (fail) throw new Error("not yet");
      },
      event("three"),
    ]);
    server.loadMiddleware([part("a")]).loadAfterStartEvent([event("after")]);
    await expect(server.listen({ port: 0 })).rejects.toThrow("not yet");
    expect(log).toEqual(["one"]);
    expect([server.state, server.address]).toEqual(["idle", undefined]);
    fail = false;
    await server.listen({ port: 0 });
    expect(log.slice(1)).toEqual(["one", "three", "a start", "after"]);
  });

  test("at a part: those before it are stopped in reverse, and it itself is not", async () => {
    const { server } = newServer();
    server.use(part("a"), { onStart: event("p start"), onStop: event("p stop") }, part("b", broken("b")), part("c"));
    await expect(server.listen({ port: 0 })).rejects.toThrow("b");
    expect(log).toEqual(["a start", "p start", "b", "p stop", "a stop"]);
    expect(server.state).toBe("idle");
  });

  test("at the address: all parts are stopped, and another address will do", async () => {
    const { server: first } = newServer();
    const { port } = await first.listen({ port: 0 });
    const { server } = newServer();
    server.loadMiddleware([part("a"), part("b")]).loadAfterStartEvent([event("after")]);
    await expect(server.listen({ port })).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(log.splice(0)).toEqual(["a start", "b start", "b stop", "a stop"]);
    await server.listen({ port: 0 });
    expect(log).toEqual(["a start", "b start", "after"]);
  });

  test("at a certificate that cannot be read: the same", async () => {
    const { server } = newServer({ sslCertPath: "nowhere.crt", sslKeyPath: "nowhere.key" });
    server.loadMiddleware([part("a")]);
    await expect(server.listen({ port: 0 })).rejects.toMatchObject({ code: "ENOENT" });
    expect(log).toEqual(["a start", "a stop"]);
    expect(server.state).toBe("idle");
  });

  test("and whose undoing fails too: that is logged, and the undoing goes on", async () => {
    const { server, errors } = newServer();
    server.loadMiddleware([part("a"), { ...part("b"), onStop: broken("b stop") }, part("c", broken("c"))]);
    await expect(server.listen({ port: 0 })).rejects.toThrow("c");
    expect(log).toEqual(["a start", "b start", "c", "b stop", "a stop"]);
    expect(errors.map(({ message }) => message)).toEqual(["b stop"]);
  });
});

describe("an error that can stop nothing any more", () => {
  test("is logged: after the start the server listens", async () => {
    const { server, errors } = newServer();
    server.loadAfterStartEvent([broken("x"), event("y")]);
    await server.listen({ port: 0 });
    expect([log, server.state]).toEqual([["x", "y"], "listening"]);
    expect(errors.map(({ message }) => message)).toEqual(["x"]);
  });

  test("is logged: at every point of the stop, and the stop goes on to its end", async () => {
    const { server, errors } = newServer({ stopEvents: [broken("stop 1"), event("stop 2")] });
    server.loadBeforeStopEvent([
      broken("before 1"),
      async () => Promise.reject(new Error("before 2")),
      event("before 3"),
    ]);
    server.loadMiddleware([part("a"), { ...part("b"), onStop: broken("b stop") }]);
    server.loadAfterStopEvent([broken("after")]);
    await server.listen({ port: 0 });
    log = [];
    await server.shutdown();
    expect(log).toEqual(["before 1", "before 3", "b stop", "a stop", "stop 1", "stop 2", "after"]);
    expect(errors.map(({ message }) => message)).toEqual(["before 1", "before 2", "b stop", "stop 1", "after"]);
    expect(server.state).toBe("stopped");
  });
});

describe("a server that is stopped while it starts", () => {
  const stopped = { code: "ERR_RAP_STATE", message: expect.stringContaining("stopped while it started") };

  test("in an event: no part starts", async () => {
    const { server } = newServer();
    server.loadBeforeStartEvent([() => void server.shutdown(), event("two")]).loadMiddleware([part("a")]);
    await expect(server.listen({ port: 0 })).rejects.toMatchObject(stopped);
    await server.shutdown();
    expect([log, server.state]).toEqual([[], "stopped"]);
  });

  test("in a part: it and those before it are stopped, once, and the others never start", async () => {
    const { server } = newServer();
    const start = async () => {
      void server.shutdown();
      await turn();
      log.push("b start");
    };
    server.loadMiddleware([part("a"), part("b", start), part("c")]);
    await expect(server.listen({ port: 0 })).rejects.toMatchObject(stopped);
    await server.shutdown();
    expect([log, server.state]).toEqual([["a start", "b start", "b stop", "a stop"], "stopped"]);
  });

  test("as it binds: nothing listens, and its parts are stopped once", async () => {
    const { server } = newServer();
    server.loadMiddleware([part("a")]).loadAfterStartEvent([event("after")]);
    const world = memory();
    const slow = {
      ...world,
      scheme: "memory",
      dial: world.dial.bind(world),
      listen: async (...args: Parameters<typeof world.listen>) => {
        const listener = await world.listen(...args);
        await server.shutdown();
        return listener;
      },
    };
    await expect(server.listen({ transport: slow, address: "memory://slow" })).rejects.toMatchObject(stopped);
    expect([log, server.state]).toEqual([["a start", "a stop"], "stopped"]);
    await expect(world.dial("memory://slow")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("by the signal of its listen, be it before it has bound", async () => {
    const { server } = newServer();
    const owner = new AbortController();
    server.loadBeforeStartEvent([() => owner.abort()]);
    await expect(server.listen({ port: 0, signal: owner.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(server.state).toBe("stopped");
  });
});

test("two addresses at once are one start, and neither is open before it is through", async () => {
  const { server } = newServer();
  const world = memory();
  server.register({ ping: () => "pong" });
  server.loadMiddleware([
    part("a", async () => {
      await turn();
      await expect(world.dial("memory://two")).rejects.toMatchObject({ code: "ECONNREFUSED" });
      log.push("a start");
    }),
  ]);
  await Promise.all(["memory://one", "memory://two"].map((address) => server.listen({ transport: world, address })));
  expect(log).toEqual(["a start"]);
  for (const target of ["memory://one", "memory://two"]) {
    const client = await new Client({ target, transports: [world] }).start();
    expect(await client.invokeByName("ping")).toBe("pong");
    await client.stop();
  }
});

test("what has a start of its own is loaded before the server's; what has none may come later", async () => {
  const { server } = newServer();
  server.register({ ping: () => "pong" });
  await server.listen({ port: 0 });
  for (const load of [
    () => server.loadMiddleware([part("late")]),
    () => server.loadProcessor([{ onStart() {} }]),
    () => server.use(part("late")),
  ]) {
    expect(load).toThrow(expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD" }));
  }
  server.loadMiddleware([messageMiddleware(async (_ctx, args, next) => `<${String(await next(args))}>`)]);
  const client = await new Client({ target: server.address! }).start();
  expect(await client.invokeByName("ping")).toBe("<pong>");
  await client.stop();
});
