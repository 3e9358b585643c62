import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { Server } from "@rap/server";

/** An AsyncIterable among the parameters is what the caller streams in. */
async function total(numbers: AsyncIterable<number>): Promise<number> {
  let sum = 0;
  for await (const number of numbers) sum += number;
  return sum;
}

/** Other arguments may stand beside it, and the function may answer before the stream ends. */
async function firstAbove(limit: number, numbers: AsyncIterable<number>): Promise<number | undefined> {
  for await (const number of numbers) if (number > limit) return number;
  return undefined;
}

let left = false;
async function* countUp() {
  try {
    for (let n = 1; ; n++) yield n; // taken no faster than the server reads
  } finally {
    left = true;
  }
}

export async function main() {
  await using server = new Server().register({ total, firstAbove });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();

  const remoteTotal = client.register<typeof total>("total");
  async function* three() {
    yield* [1, 2, 3];
  }
  console.log("total:", await remoteTotal(three()));
  console.log("total of an array:", await remoteTotal([4, 5, 6])); // sent at once, in one message

  const remoteFirst = client.register<typeof firstAbove>("firstAbove");
  console.log("the first above 1000:", await remoteFirst(1_000, countUp()));
  assert(left); // nobody needs the rest: the caller's generator was ended
}
