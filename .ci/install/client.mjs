// Calls the functions of `server.cjs` or `server.mjs`, whose address is the argument.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as rap from "@rap/client";

const { Client, RapError } = rap;
assert.deepEqual(
  Object.keys(createRequire(import.meta.url)("@rap/client")).filter((name) => !(name in rap)),
  [],
);
assert.equal(createRequire(import.meta.url)("@rap/client").Client, Client);

const { hostname, port } = new URL(process.argv[2]);
const client = new Client().addConn(hostname, Number(port));
await client.start();

const sum = client.register("sum");
assert.deepEqual(
  await Promise.all([sum(1, 2), client.invoke(sum, [3, 4]), sum.with({ timeout: 1000 })(5, 6)]),
  [3, 7, 11],
);

for await (const item of client.registerGen("range")(Number.MAX_SAFE_INTEGER)) if (item === 2) break;

const channel = await client.registerChannel("shout").open();
await channel.write("hello");
assert.equal(await channel.readBody(), "HELLO");
await channel.close();

const items = [];
for await (const item of client.service("bank", { history: "stream" }).history()) items.push(item);
assert.deepEqual(items, [3n, 4n]);

await assert.rejects(client.invokeByName("missing"), (error) => RapError.is(error) && error.code === "NOT_FOUND");

await client.stop();
assert.deepEqual(client.stats(), { connections: 0, inFlight: 0, waiting: 0, timers: 0 });
