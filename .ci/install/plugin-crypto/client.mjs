// Calls `server.mjs`, whose address is the argument: with the key, and in vain without.
import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { ClientCryptoProcessor } from "@rap/plugin-crypto";

const [, , target] = process.argv;
const client = new Client({ target });
client.loadProcessor([new ClientCryptoProcessor("demo_id", "xxxxxxxxxxxxxxxx")]);
await client.start();
assert.equal(await client.invokeByName("sum", [1, 2]), 3);
await client.stop();

const plain = new Client({ target });
await assert.rejects(plain.start(), { code: "UNAVAILABLE" });
await plain.stop();
