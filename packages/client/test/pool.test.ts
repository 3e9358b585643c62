import { expect, test } from "@jest/globals";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { Server } from "@rap/server";
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
