const assert = require("node:assert/strict");
const { Client } = require("@rap/client");

assert.equal(typeof Client, "function");
