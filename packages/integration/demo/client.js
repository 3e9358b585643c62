// The demo's client: calls the server of the port given, and checks every answer.
const assert = require("node:assert/strict");
const { Client, RapError } = require("@rap/client");
const { ClientCryptoProcessor } = require("@rap/plugin-crypto");

const CALLS = 100_000;

async function main(port, secretPort) {
  const client = new Client();
  client.addConn("127.0.0.1", port);
  await client.start();

  const syncSum = client.register("syncSum");
  step("a registered function", await syncSum(1, 2), 3);
  step("invoke", await client.invoke(syncSum, [3, 4]), 7);
  step("invokeByName", await client.invokeByName("asyncSum", [5, 6]), 11);

  const count = client.registerGen("count");
  const items = [];
  for await (const item of count(5)) items.push(item);
  step("a stream", items, [0, 1, 2, 3, 4]);

  const some = [];
  for await (const item of count(1_000_000)) {
    some.push(item);
    if (item === 2) break;
  }
  step("a stream that is left early", some, [0, 1, 2]);
  await until(async () => (await client.invokeByName("cleanups")) === 2);
  step("  and its `finally` ran on the server", await client.invokeByName("cleanups"), 2);

  const error = await client
    .register("withdraw")(99)
    .catch((caught) => caught);
  assert(RapError.is(error, "FAILED_PRECONDITION"));
  step("an error", `${error.code}: ${error.message}`, "FAILED_PRECONDITION: not enough money for 99");

  const late = await client
    .register("forever")
    .with({ timeout: 50 })()
    .catch((caught) => caught);
  step("a deadline of 50 ms", late.code, "DEADLINE_EXCEEDED");

  await client.registerChannel("shout")(async (channel) => {
    await channel.write("hello");
    step("a channel", await channel.readBody(), "HELLO!");
  });

  await client.withSession(async () => {
    const visits = client.register("visits");
    step("a session", [await visits(), await visits(), await visits()], [1, 2, 3]);
  });

  await encrypted(secretPort);

  const rate = await pipeline(syncSum);
  step(`${CALLS.toLocaleString("en")} pipelined calls`, `${Math.round(rate).toLocaleString("en")} calls/s`);
  await client.stop();
}

/** A connection on which every byte is encrypted; without the key there is none. */
async function encrypted(port) {
  const client = new Client().addConn("127.0.0.1", port);
  client.loadProcessor([new ClientCryptoProcessor("demo_id", "xxxxxxxxxxxxxxxx")]);
  await client.start();
  step("an encrypted call", await client.invokeByName("syncSum", [7, 8]), 15);
  await client.stop();
  const stranger = new Client().addConn("127.0.0.1", port);
  const error = await stranger.start().catch((caught) => caught);
  step("  and without the key", error.code, "UNAVAILABLE");
  await stranger.stop();
}

/** All calls at once, as far as they fit: the client lets the rest wait. */
async function pipeline(sum) {
  const begin = performance.now();
  let done = 0;
  const bar = progress();
  await Promise.all(
    Array.from({ length: CALLS }, async (_, i) => {
      assert.equal(await sum(i, 1), i + 1);
      if (++done % (CALLS / 20) === 0) bar(done / CALLS);
    }),
  );
  return (CALLS / (performance.now() - begin)) * 1000;
}

/** A bar on a terminal, dots elsewhere. */
function progress() {
  const { stdout } = process;
  return (part) => {
    if (!stdout.isTTY) return void stdout.write(part < 1 ? "." : ".\n");
    const width = Math.round(part * 40);
    stdout.write(
      `\r[${"#".repeat(width)}${" ".repeat(40 - width)}] ${Math.round(part * 100)} %${part < 1 ? "" : "\n"}`,
    );
  };
}

function step(what, got, expected = got) {
  assert.deepEqual(got, expected);
  console.log(`${what.padEnd(42)} ${typeof got === "string" ? got : JSON.stringify(got)}`);
}

async function until(condition) {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("waited in vain");
}

main(Number(process.argv[2]), Number(process.argv[3])).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
