// Calls the functions of `server.cjs` or `server.mjs`, whose address is the argument.
const assert = require("node:assert/strict");
const { Client, RapError, safe } = require("@rap/client");

async function main() {
  const client = await new Client({ target: process.argv[2] }).start();

  assert.equal(await client.register("sum")(1, 2), 3);
  assert.equal(await client.invokeByName("sum", [2, 2]), 4);
  assert.equal(await client.register("heavy")(10), 45);

  const items = [];
  for await (const item of client.registerGen("range")(3)) items.push(item);
  assert.deepEqual(items, [0, 1, 2]);

  await client.registerChannel("shout")(async (channel) => {
    await channel.write("hello");
    assert.equal(await channel.readBody(), "HELLO");
  });

  const bank = client.service("bank", { history: "stream" });
  assert.equal(await bank.balance(), 7n);

  const { error } = await safe(client.invokeByName("missing"));
  assert.ok(error instanceof RapError);
  assert.equal(error.code, "NOT_FOUND");

  await client.stop();
}

void main();
