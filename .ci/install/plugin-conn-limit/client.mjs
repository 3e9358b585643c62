// One connection from this address is let in, a second is refused and told why.
import assert from "node:assert/strict";
import { Client } from "@rap/client";

const target = process.argv[2];
const client = await new Client({ target }).start();
await assert.rejects(new Client({ target }).start(), { code: "UNAVAILABLE", message: /limit of 1 connections/ });
const info = await client.invokeByName("getConnLimitInfo", [], { group: "ConnLimitMiddleware" });
assert.equal(info.maxConn, 2);
await client.stop();
