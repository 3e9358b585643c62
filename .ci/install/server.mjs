// Prints its address and serves until its input ends.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as rap from "@rap/server";

const { channel, Server, worker } = rap;
assert.deepEqual(
  Object.keys(createRequire(import.meta.url)("@rap/server")).filter((name) => !(name in rap)),
  [],
);
assert.equal(createRequire(import.meta.url)("@rap/server").Server, Server);

const server = new Server().register({
  sum: (a, b) => a + b,
  heavy: worker(new URL("heavy.mjs", import.meta.url), "heavy"),
  range: async function* (n) {
    for (let i = 0; i < n; i++) yield i;
  },
  shout: channel(async (opened) => {
    for await (const text of opened) await opened.write(text.toUpperCase());
  }),
});
server.register({ balance: () => 7n, history: () => history() }, { group: "bank" });

async function* history() {
  yield* [3n, 4n];
}

const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
console.log(`tcp://127.0.0.1:${port}`);
for await (const _ of process.stdin);
await server.shutdown();
const { connections, inFlight, timers } = server.stats();
assert.deepEqual({ connections, inFlight, timers }, { connections: 0, inFlight: 0, timers: 0 });
