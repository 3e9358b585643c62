// What a unary call takes, client and server together: bytes of the JavaScript heap, and promises. Unlike times, both
// are the same on a busy machine.
//   node --max-semi-space-size=64 packages/bench/hot-path.js
const { PerformanceObserver } = require("node:perf_hooks");
const { promiseHooks } = require("node:v8");
const { load } = require("./contenders");

const BATCH = 100;
const WARM_UP = 300;
const SAMPLES = 15;
/** So many batches that they fit into the young generation: a collection would take away what is counted. */
const BATCHES = 20;

async function main() {
  const contender = load("rap-memory");
  const client = await contender.connect(await contender.serve());
  const sum = (index) => client.sum(index, 2);
  await run(sum, WARM_UP);
  const used = { bytes: await bytes(sum), promises: await promises(sum) };
  await client.close();
  if (process.send === undefined) return void console.log(used);
  process.send(used);
  process.disconnect();
}

/** Calls `batches` times as many at once as a busy connection has in flight. */
async function run(call, batches) {
  const calls = new Array(BATCH);
  for (let batch = 0; batch < batches; batch++) {
    for (let i = 0; i < BATCH; i++) calls[i] = call(i);
    await Promise.all(calls);
  }
}

/** The least over samples without a collection: what the compiler does meanwhile only adds. */
async function bytes(call) {
  let collections = 0;
  new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  }).observe({ entryTypes: ["gc"] });
  const samples = [];
  for (let tries = 0; samples.length < SAMPLES && tries < 10 * SAMPLES; tries++) {
    const before = collections;
    const begin = process.memoryUsage().heapUsed;
    await run(call, BATCHES);
    const used = process.memoryUsage().heapUsed - begin;
    // The observer hears of collections in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    if (collections === before) samples.push(used / (BATCHES * BATCH));
  }
  return Math.min(...samples);
}

async function promises(call) {
  let count = 0;
  const stop = promiseHooks.onInit(() => {
    count++;
  });
  await run(call, BATCHES);
  stop();
  return count / (BATCHES * BATCH);
}

void main();
