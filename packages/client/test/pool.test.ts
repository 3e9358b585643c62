import { expect, test } from "@jest/globals";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import type { Limits } from "@rap/protocol";
import { Server, type ServerOptions } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";
import { memory, type Transport } from "@rap/transport";
import { Client } from "../src";

test("stopping does not wait for calls that were given up, though their functions still run", async () => {
  const clock = new ManualClock();
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const server = new Server().register({ forever: () => new Promise<never>(() => {}) });
  await using pair = await createTestPair(server, { client: { container } });
  const call = pair.client.invokeByName("forever", [], { timeout: 100 });
  clock.advance(105); // a deadline fires up to 4 ms late
  await expect(call).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  // With a clock that stands still the grace would never be over.
  await pair.client.stop();
});

test("a call that does not wait for a connection fails when the dial does that it came upon", async () => {
  const world = memory();
  const address = "memory://a";
  let dial: Transport["dial"] = (to, signal) => world.dial(to, signal);
  const transport: Transport = {
    scheme: "memory",
    dial: (to, signal) => dial(to, signal),
    listen: (at, onSocket) => world.listen(at, onSocket),
  };
  await using server = new Server().register({ ping: () => "pong" });
  await server.listen({ transport, address });
  await using client = new Client({ target: address, transports: [transport], reconnect: { initial: 1 } });
  await client.start();

  const dialling = new Promise<(error: Error) => void>((resolve) => {
    dial = () => new Promise((_, reject) => resolve(reject));
  });
  world.cut();
  const fail = await dialling;
  const [patient, impatient] = [true, false].map((waitForReady) => client.invokeByName("ping", [], { waitForReady }));
  expect(client.stats().waiting).toBe(2);
  dial = (to, signal) => world.dial(to, signal);
  fail(new Error("no route"));
  await expect(impatient).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("no route"),
    maybeExecuted: false,
  });
  expect(await patient).toBe("pong");
});

/** A server whose functions end when the test says so, and a client with room for so many calls. */
async function holding(limits: ServerOptions["limits"], client?: Partial<Limits>) {
  const started: string[] = [];
  const finish = new Map<string, () => void>();
  const hold = (name: string) =>
    new Promise<string>((resolve) => {
      started.push(name);
      finish.set(name, () => resolve(name));
    });
  const server = new Server({ ...(limits !== undefined && { limits }) }).register({
    hold,
    async *stream(name: string) {
      yield await hold(name);
    },
  });
  const pair = await createTestPair(server, { client: { ...(client !== undefined && { limits: client }) } });
  const running = async (...names: string[]) => {
    while (started.length < names.length) await new Promise((resolve) => setImmediate(resolve));
    expect(started).toEqual(names);
  };
  return { pair, running, finish: (name: string) => finish.get(name)!() };
}

test("calls beyond what the server takes wait in the client, and go in the order in which they came", async () => {
  const { pair, running, finish } = await holding({ maxInFlight: 2 });
  await using _ = pair;
  const calls = ["a", "b", "c", "d"].map((name) => pair.client.invokeByName("hold", [name]));
  await running("a", "b");
  expect(pair.client.stats()).toMatchObject({ inFlight: 2, waiting: 2 });
  finish("b");
  await running("a", "b", "c");
  finish("a");
  await running("a", "b", "c", "d");
  for (const name of ["c", "d"]) finish(name);
  expect(await Promise.all(calls)).toEqual(["a", "b", "c", "d"]);
  expect(pair.client.stats()).toMatchObject({ inFlight: 0, waiting: 0 });
});

test("calls of one shape that wait for room do not hold up those of another", async () => {
  const { pair, running, finish } = await holding({ maxStreams: 1 });
  await using _ = pair;
  const stream = pair.client.registerGen<(name: string) => AsyncGenerator<string>>("stream");
  const [first, second] = [stream("a"), stream("b")];
  const [one, other] = [first.next(), second.next()];
  await running("a");
  expect(pair.client.stats().waiting).toBe(1);
  const unary = pair.client.invokeByName("hold", ["c"]);
  await running("a", "c");
  finish("c");
  expect(await unary).toBe("c");
  finish("a");
  expect(await one).toEqual({ done: false, value: "a" });
  await first.return?.();
  await running("a", "c", "b");
  finish("b");
  expect(await other).toEqual({ done: false, value: "b" });
  await second.return?.();
});

test("a call that waits leaves when its time is over or it is cancelled, and never ran", async () => {
  const { pair, running, finish } = await holding({ maxInFlight: 1 });
  await using _ = pair;
  const call = pair.client.invokeByName("hold", ["a"]);
  await running("a");
  const abort = new AbortController();
  const cancelled = pair.client.invokeByName("hold", ["b"], { signal: abort.signal });
  const late = pair.client.invokeByName("hold", ["c"], { timeout: 1 });
  abort.abort();
  await expect(cancelled).rejects.toMatchObject({ code: "CANCELLED", maybeExecuted: false });
  await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", maybeExecuted: false });
  expect(pair.client.stats()).toMatchObject({ inFlight: 1, waiting: 0 });
  finish("a");
  await call;
  await running("a");
});

test("so many calls may wait and no more", async () => {
  const { pair, running, finish } = await holding({ maxInFlight: 1 }, { maxQueuedCalls: 2 });
  await using _ = pair;
  const calls = ["a", "b", "c"].map((name) => pair.client.invokeByName("hold", [name]));
  await running("a");
  await expect(pair.client.invokeByName("hold", ["d"])).rejects.toMatchObject({
    code: "RESOURCE_EXHAUSTED",
    message: "2 calls wait already",
    maybeExecuted: false,
  });
  for (const [name, names] of [
    ["a", ["a", "b"]],
    ["b", ["a", "b", "c"]],
  ] as const) {
    finish(name);
    await running(...names);
  }
  finish("c");
  expect(await Promise.all(calls)).toEqual(["a", "b", "c"]);
});

test("a start does not wait for an address that says nothing, nor do calls", async () => {
  const world = memory();
  const transport: Transport = {
    scheme: "memory",
    dial: (to, signal) => {
      if (to !== "memory://silent") return world.dial(to, signal);
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    },
    listen: (at, onSocket) => world.listen(at, onSocket),
  };
  await using server = new Server().register({ ping: () => "pong" });
  await server.listen({ transport, address: "memory://a" });
  // With a clock that stands still the dial's time is never over.
  const clock = new ManualClock();
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const client = new Client({ target: ["memory://silent", "memory://a"], transports: [transport], container });
  const connected = new Promise((resolve) => client.on("connect", resolve));
  const start = client.start();
  await connected;
  await new Promise(setImmediate);
  clock.advance(250);
  await start;
  expect(await client.invokeByName("ping")).toBe("pong");
  await client.stop();
});
