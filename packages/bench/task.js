const assert = require("node:assert/strict");
const { load, passes } = require("./measure");
const { bytes, ORDER } = require("./values");

/** Messages of a stream whose values are all looked at, and of one that is measured. */
const CHECKED = 1_000;
const STREAM = 100_000;

/**
 * What clients have to do for a workload: `check` makes sure that the results are right, `run(ms)` resolves with what
 * `measure.js` found. Undefined if they cannot.
 */
function prepare(clients, workload, open) {
  const { operation, inFlight, size } = workload;
  const [client] = clients;
  const spread = (call) => (clients.length === 1 ? call(client) : among(clients.map(call)));
  const calls = (call, expected) => ({
    check: () => check(call, 40, expected),
    run: (ms) => load(call, inFlight, ms, every(inFlight)),
  });
  if (operation !== "idle" && client[operation] === undefined) return undefined;
  switch (operation) {
    case "sum":
      return calls(spread(sum), equal(42));
    case "object":
      return calls(spread(object), has(ORDER));
    case "binary": {
      const body = bytes(size);
      return calls(spread(binary(body)), sameBytes(body));
    }
    case "big":
      return {
        ...mixed(client, size),
        check: () => check(big(client, size), 0, ({ length }) => assert.equal(length, size)),
      };
    case "items":
    case "duplex":
      return {
        check: () => checkEach(CHECKED, (onMessage) => client[operation](CHECKED, onMessage)),
        run: passes((count) => checkSum(count, (onMessage) => client[operation](count, onMessage)), CHECKED, STREAM),
      };
    case "idle":
      // The first hundred pay for what grows once.
      return { check: () => crowd(open, 100), run: () => crowd(open, workload.connections) };
  }
}

const sum = (client) => (index, done) => client.sum(index & 0xffff, 2, done);
const object = (client) => (_, done) => client.object(ORDER, done);
const binary = (body) => (client) => (_, done) => client.binary(body, done);
const big = (client, size) => (_, done) => client.big(size, done);

/** Takes one call after the other, each in turn. */
function among(calls) {
  return (index, done) => calls[index % calls.length](index, done);
}

/** Of so many calls at once one is timed; a prime, so that it is not always the same place of a batch. */
function every(inFlight) {
  return inFlight < 10 ? 1 : 31;
}

/** Small calls one at a time, while large results come one at a time. */
function mixed(client, size) {
  return {
    async run(ms) {
      const [small, large] = await Promise.all([load(sum(client), 1, ms, 1), load(big(client, size), 1, ms, 1)]);
      return { ...small, bigRate: large.rate };
    },
  };
}

const kept = [];

/** Opens connections, a hundred at a time; each makes one call and is left alone. */
async function crowd(open, count) {
  for (let opened = 0; opened < count; opened += 100) {
    const some = await Promise.all(Array.from({ length: 100 }, open));
    await Promise.all(some.map((client) => client.sum && check(sum(client), 40, equal(42))));
    kept.push(...some);
  }
  return { count };
}

/** One call has the result that it should. */
async function check(call, index, expected) {
  expected(await new Promise((resolve, reject) => call(index, resolve)?.then(resolve, reject)));
}

const equal = (expected) => (got) => assert.equal(got, expected);
const has = (expected) => (got) => assertHas(got, expected);
const sameBytes = (expected) => (got) => assert(Buffer.from(got).equals(expected));

/** All of a value is there; a codec may add fields of its own. */
function assertHas(got, expected) {
  if (typeof expected !== "object") return assert.equal(got, expected);
  for (const [key, value] of Object.entries(expected)) assertHas(got[key], value);
}

/** A stream has every number once, in order. */
async function checkEach(count, read) {
  const got = [];
  await read((message) => got.push(message));
  assert.deepEqual(
    got,
    Array.from({ length: count }, (_, index) => index),
  );
}

/** Reads a stream; costs an addition per message. */
async function checkSum(count, read) {
  let total = 0;
  await read((message) => {
    total += message;
  });
  assert.equal(total, (count * (count - 1)) / 2);
}

module.exports = { prepare };
