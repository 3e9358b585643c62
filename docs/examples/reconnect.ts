import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, safe } from "@rap/client";
import { Server } from "@rap/server";

const sum = (a: number, b: number) => a + b;
const forever = () => new Promise<never>(() => {});

export async function main() {
  const first = new Server().register({ sum, forever });
  await using second = new Server().register({ sum });
  const { port } = await first.listen({ port: 0 });

  await using client = new Client({ reconnect: { initial: 20, max: 100 } }).addConn("localhost", port);
  for (const event of ["connect", "goaway", "reconnect"] as const) client.on(event, () => console.log(event));
  await client.start();

  // A call in flight when its connection dies fails at once. Whether it ran is not known.
  const running = safe(client.invokeByName("forever"));
  while (first.stats().inFlight === 0) await sleep(1);
  await first.shutdown({ graceMs: 0 });
  const lost = await running;
  assert(!lost.ok && lost.error.code === "UNAVAILABLE" && lost.error.maybeExecuted);

  // A call made while there is no connection waits for one, as long as its time allows; or not at all.
  const impatient = await safe(client.invokeByName("sum", [1, 2], { waitForReady: false }));
  assert(!impatient.ok && impatient.error.code === "UNAVAILABLE" && !impatient.error.maybeExecuted);
  const patient = client.invokeByName("sum", [1, 2]);

  await second.listen({ port });
  console.log("sum:", await patient);
}
