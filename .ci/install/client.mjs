import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Client } from "@rap/client";

assert.equal(typeof Client, "function");
assert.equal(Client, createRequire(import.meta.url)("@rap/client").Client);
