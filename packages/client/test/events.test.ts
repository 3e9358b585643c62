import { describe, expect, jest, test } from "@jest/globals";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import { memory } from "@rap/transport";
import { Client, type Interceptor, type Processor } from "../src";

test("events run at four points, those of the options first", async () => {
  const log: string[] = [];
  const event = (what: string) => () => void log.push(what);
  await using server = new Server();
  const { port } = await server.listen({ port: 0 });
  const client = new Client({ startEvents: [event("option: start")], stopEvents: [event("option: stop")] });
  client.addConn("127.0.0.1", port);
  client.loadBeforeStartEvent([event("before start")]).loadAfterStartEvent([event("after start")]);
  client.loadBeforeStopEvent([event("before stop")]).loadAfterStopEvent([event("after stop")]);
  client.loadProcessor([{ onStart: event("processor: start"), onStop: event("processor: stop") }]);
  await client.start();
  await client.stop();
  expect(log).toEqual([
    "option: start",
    "before start",
    "processor: start",
    "after start",
    "before stop",
    "processor: stop",
    "option: stop",
    "after stop",
  ]);
});

test("an event that throws before the start keeps the client from starting, which can be tried again", async () => {
  const server = new Server().register({ ping: () => "pong" });
  let ready = false;
  const startEvents = [
    () => {
      if (!ready) throw new Error("not yet");
    },
  ];
  await expect(createTestPair(server, { client: { startEvents } })).rejects.toThrow("not yet");
  await server.shutdown();

  await using second = new Server().register({ ping: () => "pong" });
  const { port } = await second.listen({ port: 0 });
  await using client = new Client({ startEvents }).addConn("127.0.0.1", port);
  await expect(client.start()).rejects.toThrow("not yet");
  ready = true;
  await client.start();
  expect(await client.invokeByName("ping")).toBe("pong");
});

describe("a start", () => {
  const recorded = (
    log: string[],
    name: string,
    start: () => void | Promise<void> = () => void log.push(`${name} start`),
  ) => ({ onStart: start, onStop: () => void log.push(`${name} stop`) }) satisfies Processor;

  test("that finds no server stops what had started, in reverse, and can be tried again", async () => {
    const log: string[] = [];
    const world = memory();
    const client = new Client({ target: "memory://late", transports: [world] });
    client.loadProcessor([recorded(log, "a"), recorded(log, "b")]).loadAfterStartEvent([() => void log.push("after")]);
    await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(log.splice(0)).toEqual(["a start", "b start", "b stop", "a stop"]);
    await using server = new Server();
    await server.listen({ transport: world, address: "memory://late" });
    await client.start();
    await client.stop();
    expect(log).toEqual(["a start", "b start", "after", "b stop", "a stop"]);
  });

  test("that fails at a processor stops those before it", async () => {
    const log: string[] = [];
    const client = new Client({ target: "memory://none", transports: [memory()] });
    const fails = recorded(log, "b", () => {
      throw new Error("b");
    });
    client.loadProcessor([recorded(log, "a"), fails, recorded(log, "c")]);
    await expect(client.start()).rejects.toThrow("b");
    expect(log).toEqual(["a start", "a stop"]);
  });

  test("that is stopped while it runs undoes itself, once", async () => {
    const log: string[] = [];
    const world = memory();
    await using server = new Server();
    await server.listen({ transport: world, address: "memory://a" });
    const client = new Client({ target: "memory://a", transports: [world] });
    const stops = recorded(log, "b", () => {
      log.push("b start");
      void client.stop();
    });
    client.loadProcessor([recorded(log, "a"), stops, recorded(log, "c")]);
    await expect(client.start()).rejects.toMatchObject({ code: "ERR_RAP_STATE" });
    await client.stop();
    expect(log).toEqual(["a start", "b start", "b stop", "a stop"]);
  });
});

test("an error after the start, or at any point of the stop, is a warning of the process, and things go on", async () => {
  const warned = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
  const log: string[] = [];
  const broken = (what: string) => () => {
    log.push(what);
    throw new Error(what);
  };
  await using server = new Server();
  const world = memory();
  await server.listen({ transport: world, address: "memory://a" });
  const client = new Client({ target: "memory://a", transports: [world], stopEvents: [broken("option: stop")] });
  client.loadAfterStartEvent([broken("after start")]).loadBeforeStopEvent([broken("before stop")]);
  client.loadAfterStopEvent([broken("after stop")]).loadProcessor([{ onStop: broken("processor: stop") }]);
  await client.start();
  await client.stop();
  const all = ["after start", "before stop", "processor: stop", "option: stop", "after stop"];
  expect(log).toEqual(all);
  expect(warned.mock.calls.map(([warning]) => (warning as Error).message)).toEqual(all);
  warned.mockRestore();
});

test("a value that is no error, thrown by an event, does not keep the client from stopping", async () => {
  await using server = new Server();
  const { port } = await server.listen({ port: 0 });
  const log: string[] = [];
  const client = new Client().addConn("127.0.0.1", port);
  client.loadBeforeStopEvent([
    () => {
      throw undefined;
    },
  ]);
  client.loadAfterStopEvent([() => void log.push("stopped")]);
  client.on("connect", () => {
    throw { not: "an error" };
  });
  await client.start();
  await client.stop();
  expect(client.stats().connections).toBe(0);
  expect(log).toEqual(["stopped"]);
});

test("a second start is refused and leaves the client and its processors as they are", async () => {
  await using server = new Server().register({ ping: () => "pong" });
  const { port } = await server.listen({ port: 0 });
  const log: string[] = [];
  await using client = new Client({ startEvents: [() => void log.push("start")] }).addConn("127.0.0.1", port);
  client.loadProcessor([{ onStart: () => void log.push("processor"), onStop: () => void log.push("stop") }]);
  const first = client.start();
  await expect(client.start()).rejects.toMatchObject({ code: "ERR_RAP_STATE" });
  await first;
  await expect(client.start()).rejects.toMatchObject({ code: "ERR_RAP_STATE" });
  expect(log).toEqual(["start", "processor"]);
  expect(await client.invokeByName("ping")).toBe("pong");
});

test("whoever stops a client a second time waits for the same end", async () => {
  await using server = new Server();
  const { port } = await server.listen({ port: 0 });
  const client = new Client().addConn("127.0.0.1", port);
  const log: string[] = [];
  client.loadAfterStopEvent([
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      log.push("stopped");
    },
  ]);
  await client.start();
  void client.stop();
  await client.stop();
  expect(log).toEqual(["stopped"]);
});

test("a processor with a start of its own, and an interceptor that is there already, are refused", async () => {
  await using pair = await createTestPair(new Server());
  const refused = expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD" });
  expect(() => pair.client.loadProcessor([{ onStart() {} }])).toThrow(refused);
  const interceptor: Interceptor = (call, next) => next(call);
  pair.client.use(interceptor);
  expect(() => pair.client.use(interceptor)).toThrow(refused);
  const client = new Client();
  for (const bad of [interceptor, {} as never]) expect(() => client.use(interceptor, bad)).toThrow(refused);
  expect(() => client.use(interceptor)).not.toThrow();
  expect(() => new Client().use({} as never)).toThrow(refused);
});
