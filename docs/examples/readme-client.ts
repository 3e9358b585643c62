import assert from "node:assert/strict";
import { Client, RapError } from "@rap/client";
import { Server } from "@rap/server";

const greet = (name: string): string => `hello ${name}`; // the server's; a client has `import type { greet }`

export async function main(): Promise<void> {
  await using server = new Server().register({ greet });
  const { host, port } = await server.listen({ port: 0 });

  await using client = new Client().addConn(host, port);
  await client.start();
  const remoteGreet = client.register<typeof greet>("greet");
  assert.equal(await remoteGreet("world"), "hello world");
  assert.equal(await remoteGreet.with({ timeout: 1_000 })("rap"), "hello rap");

  const failed = await client.invokeByName("nothing").catch((error: unknown) => error);
  assert.ok(RapError.is(failed, "NOT_FOUND"));
}
