// Is let in until it shuts itself out.
import assert from "node:assert/strict";
import { Client } from "@rap/client";

const target = process.argv[2];
const client = await new Client({ target }).start();
const filter = { group: "IpFilterMiddleware" };
assert.deepEqual(await client.invokeByName("getBlockIp", [], filter), ["192.0.2.0/24"]);
const blocked = { code: "UNAVAILABLE", message: /127\.0\.0\.1 is not allowed to connect/ };
await assert.rejects(client.invokeByName("addBlockIp", ["127.0.0.0/8"], filter), blocked);
await assert.rejects(new Client({ target }).start(), blocked);
await client.stop();
