// A million calls and a hundred thousand streams, ended in every way there is, and then a look at what is left of them:
// no timer, listener, stream or pending entry, and no memory.
//   npm run soak [-- calls streams seed]
import { getEventListeners } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { Client } from "@rap/client";
import { context, Server } from "@rap/server";

const [calls = 1_000_000, streams = 100_000, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
if (globalThis.gc === undefined) throw new Error("run it with --expose-gc");
const MiB = 1024 * 1024;
const HEAP_GROWTH = 2 * MiB;
const IN_FLIGHT = 200;
const STREAMS_IN_FLIGHT = 50;
console.log(`${calls} calls, ${streams} streams, seed ${seed}, Node ${process.version}`);

/** Mulberry32: the same seed makes the same choices. */
function random(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const chance = random(seed);
const upTo = (most) => Math.floor(chance() * most);

/** Generators that have begun and not come to their `finally`, on both sides. */
let open = 0;
async function* numbers(count) {
  open++;
  try {
    for (let i = 0; i < count; i++) yield i;
  } finally {
    open--;
  }
}

const server = new Server({ limits: { generatorReturnTimeout: 60_000 } });
server.register({
  add: (a, b) => a + b,
  numbers,
  async sum(items) {
    let sum = 0;
    for await (const item of items) sum += item;
    return sum;
  },
  async first(items) {
    for await (const item of items) return item;
    return undefined;
  },
  async *doubled(items) {
    for await (const item of items) yield 2 * item;
  },
  async *failing(count) {
    yield* numbers(count);
    throw new TypeError("on purpose");
  },
  hang: () => new Promise((resolve) => context().signal.addEventListener("abort", resolve, { once: true })),
});
server.registerChannel(async function echo(channel) {
  for await (const message of channel) await channel.write(message);
});
server.registerChannel(async function brief(channel) {
  await channel.write("bye");
});
server.logger.error = () => {};
await server.listen({ port: 0 });
const client = await new Client({ target: server.address }).start();
const remote = client.service("default", { numbers: "stream", doubled: "stream", failing: "stream" });
const echo = client.registerChannel("echo");
const brief = client.registerChannel("brief");

/** One signal for many calls, none of which may leave a listener on it. */
const forever = new AbortController();
const outcomes = new Map();
const count = (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);

async function read(stream, most = Infinity) {
  let seen = 0;
  for await (const _ of stream) if (++seen >= most) break;
}

/** All ways for a stream to come to its end. */
const WAYS = {
  "read to its end": () => read(remote.numbers.with({ signal: forever.signal })(upTo(20))),
  "left by its reader": () => read(remote.numbers(1_000), 1 + upTo(5)),
  "left before its first item": () => read(remote.numbers(1_000), 1),
  "left after its end": async () => {
    const stream = remote.numbers(5);
    await stream.next();
    for (let i = 0; i < 3; i++) await turn();
    await stream.return();
  },
  "never read": async () => void (await remote.numbers(5).next()),
  cancelled: () => {
    const caller = new AbortController();
    const reading = read(remote.numbers.with({ signal: caller.signal })(100_000));
    setImmediate(() => caller.abort());
    return reading;
  },
  "cancelled before its start": () => read(remote.numbers.with({ signal: AbortSignal.abort() })(10)),
  "over its time": () => read(remote.numbers.with({ timeout: 1 + upTo(5) })(100_000)),
  failed: () => read(remote.failing(upTo(5))),
  "a plain call over its time": () => remote.hang.with({ timeout: 1 + upTo(5) })(),
  "a plain call cancelled": () => {
    const caller = new AbortController();
    const hanging = remote.hang.with({ signal: caller.signal })();
    setImmediate(() => caller.abort());
    return hanging;
  },
  "streamed up": () => remote.sum.with({ signal: forever.signal })(numbers(upTo(20))),
  "streamed up and not read": () => remote.first(numbers(1_000)),
  "streamed up and cancelled": () => remote.sum.with({ timeout: 1 + upTo(5) })(numbers(1_000_000)),
  "streamed both ways": () => read(remote.doubled(numbers(upTo(20)))),
  "streamed both ways and left": () => read(remote.doubled(numbers(1_000)), 1 + upTo(5)),
  "a channel closed by its caller": () =>
    echo(async (channel) => {
      for (let i = 0; i < upTo(5); i++) {
        await channel.write(i);
        await channel.read();
      }
    }),
  "a channel closed by its function": () => brief((channel) => channel.read()),
  "a channel aborted": () =>
    echo(async (channel) => {
      await channel.write(1);
      throw new Error("on purpose");
    }),
};
const ways = Object.keys(WAYS);

async function oneStream() {
  const way = ways[upTo(ways.length)];
  try {
    await WAYS[way]();
    count(`${way}: done`);
  } catch (error) {
    count(`${way}: ${error.code ?? error.message}`);
  }
}

async function oneCall(i) {
  if ((await remote.add(i, 1)) !== i + 1) throw new Error("a wrong result");
}

/** Runs `job` so many times, so many at a time. */
async function run(total, atOnce, job) {
  let next = 0;
  const lane = async () => {
    while (next < total) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** Waits until nothing is under way, or ten seconds are over. */
async function quiet() {
  const until = Date.now() + 10_000;
  while (Date.now() < until) {
    const { inFlight, waiting } = client.stats();
    if (inFlight + waiting + server.stats().inFlight + open === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function heap() {
  const samples = [];
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    globalThis.gc();
    samples.push(process.memoryUsage().heapUsed);
  }
  return Math.min(...samples);
}

const timersOfNode = () => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;

const table = [];
const check = (what, result, bound, text = String) =>
  table.push({ what, result: text(result), bound: text(bound), met: result <= bound ? "yes" : "NO" });

async function phase(name, total, atOnce, job) {
  const started = performance.now();
  await run(total / 10, atOnce, job);
  await quiet();
  const before = await heap();
  await run(total - total / 10, atOnce, job);
  await quiet();
  const after = await heap();
  const seconds = (performance.now() - started) / 1000;
  console.log(`${name}: ${total} in ${seconds.toFixed(1)} s, heap ${mib(before)} -> ${mib(after)}`);
  check(`heap growth over the last 90 % of ${name}`, after - before, HEAP_GROWTH, mib);
}

const mib = (bytes) => `${(bytes / MiB).toFixed(2)} MiB`;

const timersBefore = timersOfNode();
const resourcesBefore = process.getActiveResourcesInfo().length;
await phase("calls", calls, IN_FLIGHT, oneCall);
await phase("streams", streams, STREAMS_IN_FLIGHT, oneStream);
console.table(Object.fromEntries([...outcomes].sort()));

const wires = server.connections().map(({ wire }) => wire);
const [here, there] = [client.stats(), server.stats()];
check("connections of the server", there.connections, 1);
check("calls in flight, client", here.inFlight, 0);
check("calls that wait, client", here.waiting, 0);
check("calls in flight, server", there.inFlight, 0);
check(
  "streams, server",
  wires.reduce((sum, { streams }) => sum + streams, 0),
  0,
);
check(
  "streams that wait for credit, server",
  wires.reduce((sum, wire) => sum + wire.stats().waitingForCredit, 0),
  0,
);
check(
  "bytes not sent, server",
  wires.reduce((sum, wire) => sum + wire.stats().buffered, 0),
  0,
);
check(
  "odd frames from the client",
  wires.reduce((sum, wire) => sum + wire.stats().glitches, 0),
  0,
);
check("timers beside the connection's, client", here.timers - here.connections, 0);
check("timers beside the connection's, server", there.timers - there.connections, 0);
check("generators that did not come to their finally", open, 0);
check("listeners on a signal of many calls", getEventListeners(forever.signal, "abort").length, 0);
check("timers of Node more than before", timersOfNode() - timersBefore, 0);
check("resources of Node more than before", process.getActiveResourcesInfo().length - resourcesBefore, 0);

// Credit that was lost on the way would be missing here: half a window may wait to be granted.
const { connectionWindowBytes } = server.limits;
const lent = Math.max(...wires.map(({ sendWindow }) => connectionWindowBytes - sendWindow.bytes));
check("bytes of credit that the client has not given back", lent, connectionWindowBytes / 2);

await client.stop();
await server.shutdown();
await turn();
check("timers of Node at the end", timersOfNode(), 0);
console.table(table);
const missed = table.filter(({ met }) => met !== "yes");
console.log(missed.length === 0 ? "all bounds are met" : `${missed.length} bounds are missed`);
process.exitCode = missed.length === 0 ? 0 : 1;
