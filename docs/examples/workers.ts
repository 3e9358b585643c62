import assert from "node:assert/strict";
import { join } from "node:path";
import { Client } from "@rap/client";
import { Server, worker } from "@rap/server";

// An export of a module that only the threads load. In an ES module: worker(new URL("./heavy.mjs", import.meta.url), …)
const countPrimes = worker<(limit: number) => number>(join(__dirname, "heavy.mjs"), "countPrimes");

/** Small enough to go there as text: then it must use nothing of the file around it. */
function fibonacci(n: number): number {
  const f = (k: number): number => (k < 2 ? k : f(k - 1) + f(k - 2));
  return f(n);
}

/** Never ends by itself. */
function spin(): never {
  while (true);
}

export async function main() {
  await using server = new Server().register({ countPrimes, ping: () => "pong" });
  server.register(fibonacci, { worker: true }).register(spin, { worker: true });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();

  // The event loop stays free while threads work.
  const primes = client.register<typeof countPrimes>("countPrimes")(200_000);
  const first = await Promise.race([primes, client.invokeByName<string>("ping")]);
  console.log("first", first, "then", await primes, "primes");
  assert.equal(await client.register<typeof fibonacci>("fibonacci")(20), 6_765);

  // A deadline or a cancel ends the thread in the middle of what it does.
  await assert.rejects(client.invokeByName("spin", [], { timeout: 50 }), { code: "DEADLINE_EXCEEDED" });
}
