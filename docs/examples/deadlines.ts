import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, safe, withCallOptions } from "@rap/client";
import { context, Server } from "@rap/server";

const stopped: string[] = [];

/** Ends when nobody waits for it any more: `signal` fires at the deadline and when the caller cancels. */
async function work(name: string, ms: number): Promise<string> {
  const { signal } = context();
  signal.addEventListener("abort", () => stopped.push(`${name}: ${signal.reason.code}`));
  await sleep(ms, undefined, { signal });
  return name;
}

/** How many milliseconds the caller gave. */
const timeLeft = () => Math.round(context().deadline?.remaining() ?? Number.POSITIVE_INFINITY);

export async function main() {
  await using server = new Server().register({ work, timeLeft });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client({ timeout: 10_000 }).addConn("localhost", port); // for every call; default 30 s
  await client.start();
  const remote = client.register<typeof work>("work", { timeout: 5_000 }); // for every call of this function

  // For one call. The server stops working on it, too.
  const late = await safe(remote.with({ timeout: 30 })("late", 60_000));
  assert(!late.ok && late.error.code === "DEADLINE_EXCEEDED");

  // Cancelled by the caller: never confused with a deadline.
  const cancel = new AbortController();
  const cancelled = safe(remote.with({ signal: cancel.signal })("cancelled", 60_000));
  setTimeout(() => cancel.abort(), 30);
  const outcome = await cancelled;
  assert(!outcome.ok && outcome.error.code === "CANCELLED");
  console.log(late.error.code, outcome.error.code);

  // For every call made inside, however deep.
  const inside = await withCallOptions({ timeout: 30 }, () => safe(remote("inside", 60_000)));
  assert(!inside.ok && inside.error.code === "DEADLINE_EXCEEDED");

  // A call made inside a handler has no more time than the handler's own call, and is cancelled with it.
  await using front = new Server().register({
    relay: (ms: number) => remote("nested", ms),
    relayTimeLeft: () => client.register<typeof timeLeft>("timeLeft")(),
  });
  const address = await front.listen({ port: 0 });
  await using caller = new Client().addConn("localhost", address.port);
  await caller.start();
  const left = await caller.invokeByName<number>("relayTimeLeft", [], { timeout: 2_000 });
  assert(left <= 2_000, `the caller gave 2 000 ms, not ${left}`);
  await assert.rejects(caller.invokeByName("relay", [60_000], { timeout: 30 }), { code: "DEADLINE_EXCEEDED" });

  while (stopped.length < 4) await sleep(5); // what the server heard of it
  console.log(stopped.join("\n"));
}
