import { getEventListeners } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { Client } from "@rap/client";
import { random } from "../faults/random.mjs";
import { MiB, mib } from "../faults/report.mjs";
import { until } from "../faults/token.mjs";
import { heap, run, slope, snapshot, timers } from "./memory.mjs";
import { forever, open, server, waysToEnd } from "./ways.mjs";

/** Seconds that a million calls may take in the short form, and ten in the long one. */
const SHORT = 40;
const LONG = 480;
const HEAP_GROWTH = 2 * MiB;
const RSS_GROWTH = 50 * MiB;
const IN_FLIGHT = 200;
const STREAMS_IN_FLIGHT = 50;

/** Calls, then streams that end in every way there is, in one process; and then a look at what is left of them. */
export async function callsAndStreams(report, calls, streams, seed) {
  await server.listen({ port: 0 });
  const client = await new Client({ target: server.address }).start();
  const { upTo } = random(seed);
  const ways = waysToEnd(client, upTo);
  const names = Object.keys(ways);
  const outcomes = new Map();
  const count = (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const add = client.register("add");

  async function oneCall(i) {
    if ((await add(i, 1)) !== i + 1) throw new Error("a wrong result");
  }

  async function oneStream() {
    const way = names[upTo(names.length)];
    try {
      await ways[way]();
      count(`${way}: done`);
    } catch (error) {
      count(`${way}: ${error.code ?? error.message}`);
    }
  }

  const quiet = () =>
    until(() => {
      const { inFlight, waiting } = client.stats();
      return inFlight + waiting + server.stats().inFlight + open.generators === 0;
    });

  async function phase(name, total, atOnce, job, most = Infinity) {
    const started = performance.now();
    await run(0.1 * total, atOnce, job);
    await quiet();
    const before = await snapshot();
    await run(0.45 * total, atOnce, job);
    await quiet();
    const half = await heap();
    await run(0.45 * total, atOnce, job);
    await quiet();
    const after = await snapshot();
    const seconds = (performance.now() - started) / 1_000;
    const growth = Math.max(0, after.heap - before.heap);
    report.row(
      "",
      `${name}: ${total}, ${Math.round(total / seconds)} a second`,
      most < Infinity ? `≤ ${most} s` : "",
      `${seconds.toFixed(1)} s`,
      seconds <= most,
    );
    report.atMost("", `${name}: heap over the last 90 % (${mib(before.heap)} before)`, growth, HEAP_GROWTH, mib);
    slope(report, name, [before.heap, half, after.heap], 0.45 * total);
    report.atMost("", `${name}: RSS over the last 90 %`, Math.max(0, after.rss - before.rss), RSS_GROWTH, mib);
    report.equal(
      "",
      `${name}: fds, handles, listeners of the process more than at 10 %`,
      [after.fds - before.fds, after.resources - before.resources, after.listeners - before.listeners].join(", "),
      "0, 0, 0",
    );
  }

  await phase("calls", calls, IN_FLIGHT, oneCall, calls > 1e6 ? LONG : SHORT);
  await collected(report, client);
  await phase("streams", streams, STREAMS_IN_FLIGHT, oneStream);
  console.table(Object.fromEntries([...outcomes].sort()));

  left(report, client);
  await client.stop();
  await server.shutdown();
  await turn();
  report.equal("", "timers of Node at the end", timers(), 0);
}

/** Whether finished calls, and what they carried, can be collected. */
async function collected(report, client) {
  const total = 1_000;
  const refs = [];
  await run(total, 50, async () => {
    const argument = { some: "value" };
    refs.push(new WeakRef(argument));
    const call = client.invokeByName("same", [argument]);
    refs.push(new WeakRef(call), new WeakRef(await call));
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  globalThis.gc();
  const gone = refs.filter((ref) => ref.deref() === undefined).length;
  report.atLeast(
    "",
    "finished calls, their arguments and results that could be collected",
    Number(((100 * gone) / refs.length).toFixed(1)),
    99,
    (n) => `${n} %`,
  );
}

/** Nothing may be under way, wait, or be owed. */
function left(report, client) {
  const wires = server.connections().map(({ wire }) => wire);
  const [here, there] = [client.stats(), server.stats()];
  const sum = (pick) => wires.reduce((total, wire) => total + pick(wire), 0);
  report.equal(
    "",
    "calls in flight and waiting, client; in flight, server",
    [here.inFlight, here.waiting, there.inFlight].join(", "),
    "0, 0, 0",
  );
  report.equal(
    "",
    "streams, streams that wait for credit, bytes not sent, odd frames, server",
    [
      sum(({ streams }) => streams),
      sum((wire) => wire.stats().waitingForCredit),
      sum((wire) => wire.stats().buffered),
      sum((wire) => wire.stats().glitches),
    ].join(", "),
    "0, 0, 0, 0",
  );
  report.equal(
    "",
    "entries of the timer wheels beside the connection's, client and server",
    [here.timers - here.connections, there.timers - there.connections].join(", "),
    "0, 0",
  );
  report.equal("", "generators that did not come to their finally", open.generators, 0);
  report.equal("", "listeners on a signal of many calls", getEventListeners(forever.signal, "abort").length, 0);
  // A wheel's timer that was set for a call's deadline sleeps on when the call is over: to set it anew for each would
  // cost more than it is worth, and while there is a connection the process stays anyway. Without one it is stopped.
  report.atMost("", "timers of Node: one for each of the two wheels", timers(), 2);
  // Credit that was lost on the way would be missing here: half a window may wait to be granted.
  const { connectionWindowBytes } = server.limits;
  const lent = Math.max(...wires.map(({ credit }) => connectionWindowBytes - credit.sending.bytes));
  report.atMost("", "bytes of credit that the client has not given back", lent, connectionWindowBytes / 2);
}
