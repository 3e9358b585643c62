import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { Server } from "@rap/server";

// Plain functions. Nothing in them knows of rap.
const sum = (a: number, b: number): number => a + b;
async function* countdown(from: number): AsyncGenerator<number> {
  for (let n = from; n > 0; n--) yield n;
}

export async function main(): Promise<void> {
  // The server. Without a port it is 9000; 0 is any free one.
  await using server = new Server({ port: 0 }).register({ sum, countdown });
  const { port } = await server.listen();

  // The client, in a process of its own as a rule. Of the functions it needs the types only.
  await using client = new Client().addConn("127.0.0.1", port);
  await client.start();
  const remoteSum = client.register<typeof sum>("sum");
  const remoteCountdown = client.registerGen<typeof countdown>("countdown");

  assert.equal(await remoteSum(1, 2), 3);
  const seen: number[] = [];
  for await (const n of remoteCountdown(1_000_000)) {
    seen.push(n);
    if (seen.length === 3) break; // leaving early stops the generator on the server
  }
  assert.deepEqual(seen, [1_000_000, 999_999, 999_998]);
}
