import assert from "node:assert/strict";
import { messageMiddleware, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

const calls = new Map<string, number>();

const countCalls = messageMiddleware(async (ctx, args, next) => {
  calls.set(ctx.method, (calls.get(ctx.method) ?? 0) + 1);
  return next(args);
});

export async function main(): Promise<void> {
  const server = new Server().loadMiddleware([countCalls]).register({ double: (n: number) => 2 * n });
  await using pair = await createTestPair(server);
  assert.equal(await pair.client.invokeByName("double", [21]), 42);
  assert.equal(calls.get("double"), 1);
}
