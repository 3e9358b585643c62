import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { Server } from "@rap/server";
import type * as api from "./functions"; // all that a client needs: types, no code of the server
import { asyncGen, asyncSum, syncSum } from "./functions";

export async function main() {
  // The server. In a process of its own: `await server.runForever()`, on 127.0.0.1:9000.
  await using server = new Server();
  server
    .register(syncSum, { params: ["a", "b"] })
    .register(asyncSum)
    .register(asyncGen);
  const { port } = await server.listen({ port: 0 });

  // The client.
  await using client = new Client();
  client.addConn("localhost", port);
  await client.start();

  // A function by its name and type, called as if it were here. A stream has a verb of its own.
  const remoteSum = client.register<typeof api.syncSum>("syncSum");
  const remoteGen = client.registerGen<typeof api.asyncGen>("asyncGen");
  assert.equal(await remoteSum(1, 3), 4);

  const items: number[] = [];
  for await (const item of remoteGen(10)) items.push(item); // leaving early cancels on the server
  assert.deepEqual(items, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

  // The other two ways: any function by its name, and one that is at hand. Arguments by name need `params`, above.
  assert.equal(await client.invokeByName<number>("asyncSum", [1, 2]), 3);
  assert.equal(await client.invokeByName<number>("syncSum", { a: 1, b: 2 }), 3);
  assert.equal(await client.invoke(remoteSum, [1, 2]), 3);
  console.log("sum:", await remoteSum(1, 3), "stream:", items.join(" "));
}

/** What the compiler refuses; nobody calls this. */
export function mistakes(client: Client) {
  // @ts-expect-error the first argument is a number
  void client.register<typeof api.syncSum>("syncSum")("1", 3);
  // @ts-expect-error a generator is registered with registerGen: the message says so
  client.register<typeof api.asyncGen>("asyncGen");
}
