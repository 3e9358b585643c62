import { expect, test } from "@jest/globals";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import { Client } from "../src";

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
