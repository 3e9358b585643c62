import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { context, RapError, Server } from "@rap/server";

function divide(a: number, b: number): number {
  if (b === 0) throw new RapError("INVALID_ARGUMENT", "b must not be 0");
  context().log.debug({ a, b });
  return a / b;
}

export async function main(): Promise<void> {
  const server = new Server().register({ divide }, { group: "math" });
  const { port } = await server.listen({ port: 0 }); // a program of its own: await server.runForever()

  const client = new Client({ target: `tcp://127.0.0.1:${port}` });
  await client.start();
  assert.equal(await client.invokeByName("divide", [6, 3], { group: "math" }), 2);
  await client.stop();
  await server.shutdown();
}
