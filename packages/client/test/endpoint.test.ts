import { once } from "node:events";
import { expect, test } from "@jest/globals";
import { context, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

test("a server that stops is reported once, though it says goodbye in two steps", async () => {
  let started!: () => void;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const untilAborted = async () => {
    started();
    await once(context().signal, "abort");
  };
  const server = new Server({ limits: { goawayPause: 5 } }).register({ untilAborted });
  await using pair = await createTestPair(server);
  const reasons: string[] = [];
  pair.client.on("goaway", (event) => reasons.push((event as { reason: string }).reason));
  const call = pair.client.invokeByName("untilAborted");
  await running;
  await server.shutdown({ graceMs: 50 });
  await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(reasons).toEqual(["the server is shutting down"]);
});
