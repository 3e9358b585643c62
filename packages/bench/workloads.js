const assert = require("node:assert/strict");
const { load, passes } = require("./measure");
const { bytes, ORDER } = require("./values");

const MiB = 1024 * 1024;
const STREAM = 100_000;

/**
 * What is measured of every contender: `operation` is what its client must be able to do, `scale` what one call or
 * message counts in `unit`.
 */
const workloads = [
  { name: "W1", title: "unary `sum`, one at a time", unit: "calls/s", operation: "sum", inFlight: 1 },
  { name: "W2", title: "`sum`, 100 in flight", unit: "calls/s", operation: "sum", inFlight: 100 },
  { name: "W3", title: "`sum`, 1 000 in flight", unit: "calls/s", operation: "sum", inFlight: 1_000 },
  { name: "W4", title: "1 KiB nested object, 100 in flight", unit: "calls/s", operation: "object", inFlight: 100 },
  { name: "W5", title: "1 MiB binary, 8 in flight", unit: "MiB/s", operation: "binary", inFlight: 8, size: MiB },
  { name: "W6", title: "one stream of 100 000 integers", unit: "items/s", operation: "items" },
  { name: "W7", title: "duplex echo of 100 000 messages", unit: "messages/s", operation: "duplex" },
];

/** Of so many calls at once one is timed; a prime, so that it is not always the same place of a batch. */
const every = (inFlight) => (inFlight < 10 ? 1 : 31);

/** What a client has to do for a workload: `run(ms)` resolves with what `measure.js` found. */
function prepare(client, { operation, inFlight, size }) {
  switch (operation) {
    case "sum": {
      const call = (index, done) => client.sum(index & 0xffff, 2, done);
      return { check: () => check(call, 40, 42), run: (ms) => load(call, inFlight, ms, every(inFlight)) };
    }
    case "object": {
      const call = (_, done) => client.object(ORDER, done);
      return { check: () => check(call, 0, ORDER), run: (ms) => load(call, inFlight, ms, every(inFlight)) };
    }
    case "binary": {
      const body = bytes(size);
      const call = (_, done) => client.binary(body, done);
      const equal = (got) => assert(Buffer.from(got).equals(body));
      return { check: () => check(call, 0, equal), run: (ms) => load(call, inFlight, ms, every(inFlight)) };
    }
    case "items":
    case "duplex":
      return {
        check: () => checkAll((onMessage) => client[operation](1_000, onMessage), 1_000),
        run: (ms) => passes(() => checkSum((onMessage) => client[operation](STREAM, onMessage)), STREAM, ms),
      };
  }
}

/** One call has the result that it should. */
async function check(call, index, expected) {
  const got = await new Promise((resolve, reject) => call(index, resolve)?.then(resolve, reject));
  if (typeof expected === "function") expected(got);
  else assertHas(got, expected);
}

/** All of a value is there; a codec may add fields of its own. */
function assertHas(got, expected) {
  if (typeof expected !== "object") return assert.equal(got, expected);
  for (const [key, value] of Object.entries(expected)) assertHas(got[key], value);
}

/** A stream has every number once, in order. */
async function checkAll(read, count) {
  const got = [];
  await read((message) => got.push(message));
  assert.deepEqual(
    got,
    Array.from({ length: count }, (_, index) => index),
  );
}

/** Reads a stream; costs an addition per message. */
async function checkSum(read) {
  let sum = 0;
  await read((message) => {
    sum += message;
  });
  assert.equal(sum, (STREAM * (STREAM - 1)) / 2);
}

module.exports = { prepare, workloads };
