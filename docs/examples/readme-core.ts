import assert from "node:assert/strict";
import { messageMiddleware, type Processor, rpc } from "@rap/core";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import * as z from "zod";

const add = rpc({ input: [z.number(), z.number()], params: ["a", "b"] }, (a, b) => a + b);
const double = messageMiddleware(async (_ctx, args, next) => 2 * Number(await next(args)));
const stamp: Processor = {
  onResponse(message) {
    message.metadata.set("x-stamp", "1");
    return message;
  },
};

export async function main(): Promise<void> {
  const server = new Server().register({ add }).use(double, stamp);
  await using pair = await createTestPair(server);
  assert.equal(await pair.client.invokeByName("add", { a: 1, b: 2 }), 6);
  assert.equal(add(1, 2), 3); // the function itself is what it was
}
