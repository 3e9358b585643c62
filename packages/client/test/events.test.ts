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
