const assert = require("node:assert/strict");
const { Server } = require("@rap/server");

assert.equal(typeof Server, "function");
