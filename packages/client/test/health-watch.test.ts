import { expect, test } from "@jest/globals";
import type { Processor } from "@rap/core";
import { Server, type ServerOptions } from "@rap/server";
import { memory } from "@rap/transport";
import { Client, type ClientOptions, safe } from "../src";

const ADDRESSES = ["memory://a", "memory://b"];

/** Two servers that tell their names, and a client of both that asks for their health. */
async function two(options: ClientOptions = {}, server: ServerOptions = {}) {
  const transport = memory();
  const servers = await Promise.all(
    ADDRESSES.map(async (address) => {
      const each = new Server(server).register({ name: () => address });
      await each.listen({ transport, address });
      return each;
    }),
  );
  const client = new Client({ target: ADDRESSES, transports: [transport], health: true, ...options });
  return {
    client,
    first: servers[0]!,
    second: servers[1]!,
    /** Who answered so many calls at once. */
    async askers(count = 20): Promise<string[]> {
      const names = await Promise.all(Array.from({ length: count }, () => client.invokeByName<string>("name")));
      return [...new Set(names)].sort();
    },
    /** Waits until those answer, and nobody else. On a busy machine it takes its time that a client hears of a change. */
    async answering(expected: readonly string[]): Promise<void> {
      while ((await this.askers()).join() !== expected.join()) await told();
    },
    async [Symbol.asyncDispose]() {
      await client.stop();
      await Promise.all(servers.map((each) => each.shutdown({ graceMs: 0 })));
    },
  };
}

/** What a server says has reached the client by then, as a rule. */
const told = () => new Promise((resolve) => setTimeout(resolve, 20));

test("a client that asks for health sends no call to a server that does not serve, and some again once it does", async () => {
  await using world = await two();
  const { client, first } = world;
  await client.start();
  await world.answering(ADDRESSES);
  first.setHealth("", "NOT_SERVING");
  await world.answering(["memory://b"]);
  first.setHealth("", "SERVING");
  await world.answering(ADDRESSES);
});

test("it asks for the service that it names, and one that the server does not know does not serve", async () => {
  await using world = await two({ health: "names" });
  const { client, first } = world;
  first.setHealth("names", "SERVING");
  await client.start();
  await world.answering(["memory://a"]);
});

test("while no server serves calls wait, and those that do not wait fail as never executed", async () => {
  await using world = await two();
  const { client, first, second } = world;
  for (const server of [first, second]) server.setHealth("", "NOT_SERVING");
  await client.start();
  const hurried = () => client.invokeByName("name", [], { waitForReady: false });
  while ((await safe(hurried())).ok) await told();
  const patient = client.invokeByName("name");
  await expect(hurried()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    maybeExecuted: false,
    message: expect.stringContaining("the server says NOT_SERVING"),
  });
  second.setHealth("", "SERVING");
  expect(await patient).toBe("memory://b");
});

test("servers that tell no health are taken as well", async () => {
  await using world = await two({}, { health: false });
  await world.client.start();
  await world.answering(ADDRESSES);
});

test("new calls leave a server as soon as its stop begins, before it is done with its events", async () => {
  await using world = await two();
  const { client, first, askers } = world;
  let proceed!: () => void;
  first.loadBeforeStopEvent([() => new Promise<void>((resolve) => (proceed = resolve))]);
  await client.start();
  await world.answering(ADDRESSES);
  const stopping = first.shutdown();
  await world.answering(["memory://b"]);
  proceed();
  await stopping;
  expect(await askers()).toEqual(["memory://b"]);
});

test("neither a client nor a server that stops waits for the watch", async () => {
  await using world = await two();
  const { client, first, second } = world;
  await client.start();
  await first.shutdown({ graceMs: 600_000 });
  await client.stop({ graceMs: 600_000 });
  while (second.stats().connections > 0) await told();
});

test("what the client asks goes through its processors, as every call", async () => {
  const marks: Processor = {
    kind: "processor",
    onRequest: (message) => {
      message.metadata.set("x-mark", "1");
      return message;
    },
    onResponse: (message) => message,
  };
  await using world = await two();
  const { client, first } = world;
  const seen: (string | undefined)[] = [];
  const read: Processor = {
    kind: "processor",
    onRequest: (message) => {
      seen.push(`${message.method} ${String(message.metadata.get("x-mark"))}`);
      return message;
    },
    onResponse: (message) => message,
  };
  first.loadProcessor([read]);
  client.loadProcessor([marks]);
  await client.start();
  await world.answering(ADDRESSES);
  const session = await client.openSession();
  await session.close();
  while (!seen.includes("Close 1")) await told();
  expect(new Set(seen)).toEqual(new Set(["Watch 1", "name 1", "Open 1", "Close 1"]));
});
