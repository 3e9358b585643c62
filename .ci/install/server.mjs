import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Server } from "@rap/server";

assert.equal(typeof Server, "function");
assert.equal(Server, createRequire(import.meta.url)("@rap/server").Server);
