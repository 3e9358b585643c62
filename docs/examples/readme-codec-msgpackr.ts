import assert from "node:assert/strict";
import { msgpackr } from "@rap/codec-msgpackr";
import { CODEC } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

const users = (count: number) => Array.from({ length: count }, (_, id) => ({ id, name: `user ${id}` }));

export async function main(): Promise<void> {
  const container = createContainer().register(CODEC, { useValue: msgpackr() });
  const server = new Server({ container }).register({ users });

  await using pair = await createTestPair(server); // a client with the default codec: the bytes are the same
  const found = await pair.client.register<typeof users>("users")(500);
  assert.deepEqual(found, users(500));
}
