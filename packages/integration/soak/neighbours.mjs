import { setPriority } from "node:os";
import { Client } from "@rap/client";
import { Child } from "../faults/child.mjs";
import { ms } from "../faults/report.mjs";
import { pause, percentile } from "../faults/token.mjs";

/**
 * Calls for so long, one after the other in ten lanes: how many a second, and the p99. One that is refused since the server
 * is full is no throughput: on this machine nothing limits how often an attacker comes back, and what it has cancelled runs.
 */
async function pace(client, time) {
  const latencies = [];
  const end = performance.now() + time;
  const lane = async () => {
    while (performance.now() < end) {
      const sent = performance.now();
      try {
        await client.invokeByName("add", [1, 2]);
        latencies.push(performance.now() - sent);
      } catch (error) {
        if (error.code !== "RESOURCE_EXHAUSTED") throw error;
        await pause(error.retryAfterMs);
      }
    }
  };
  await Promise.all(Array.from({ length: 10 }, lane));
  return { rate: latencies.length / (time / 1_000), p99: percentile(latencies, 99) };
}

const BUSY = "attacker, server and good client share two busy cores, and a server that is always busy waits longest";

/** Rounds of an attack, and how long its neighbour is watched in each: the kernel takes a flood's answers for longer. */
const ROUNDS = 5;
const WATCHED = 800;

/**
 * A fast client beside a hostile one, and beside a stream of 64 MB on the same connection. Where the attacker is on the
 * same machine it takes processor time from all others, so the measure is a client whose server is left alone while
 * another one is attacked, and the attacker gets the time that nobody else wants.
 */
export async function neighbours(report) {
  // The limits of an address hold for this machine's where they are changed.
  const server = await Child.start("./server.mjs", { limits: { maxInFlightPerIp: 4_000 } });
  const client = await new Client({ target: server.hello.address }).start();
  const another = await Child.start("./server.mjs");
  await pace(client, 2_000);
  for (const [what, ask, known] of [
    [
      "a flood of calls that are not read",
      (attacker) => attacker.ask("flood", "tiny calls", 1_000_000),
      { to: 45, why: BUSY },
    ],
    ["calls cancelled at once", (attacker) => attacker.ask("rapidCancel", 10_000_000), { to: 60, why: BUSY }],
    ["readers that do not read", (attacker) => attacker.ask("slowReaders", 8, 10_000)],
  ]) {
    const beside = async ({ hello }) => {
      const attacker = await Child.start("./attacker.mjs", { port: hello.port });
      setPriority(attacker.pid, 10);
      // It is ended in the midst of it.
      ask(attacker).catch(() => {});
      await pause(200);
      const result = await pace(client, WATCHED);
      await attacker.end();
      await pause(200);
      return result;
    };
    const rounds = [];
    for (let n = 0; n < ROUNDS; n++) {
      const alone = await pace(client, WATCHED);
      const control = await beside(another);
      const attacked = await beside(server);
      rounds.push({ alone, control, attacked });
    }
    const median = (of) => percentile(rounds.map(of), 50);
    const share = (of) => Math.round(median(({ attacked, [of]: { rate } }) => (100 * attacked.rate) / rate));
    report.atLeast(
      "",
      `beside ${what}: throughput of that while another server is attacked (${share("alone")} % of ${Math.round(median(({ alone }) => alone.rate))} calls/s alone)`,
      share("control"),
      70,
      (n) => `${n} %`,
      known,
    );
    report.atMost(
      "",
      `beside ${what}: p99, at most 5 times that while another server is attacked`,
      median(({ attacked }) => attacked.p99),
      Math.max(5 * median(({ control }) => control.p99), 1),
      ms,
    );
  }
  const noisy = client.registerGen("big");
  let bytes = 0;
  const reading = (async () => {
    for await (const chunk of noisy(65_536, 1_024)) bytes += chunk.length;
  })();
  const latencies = [];
  let done = false;
  void reading.then(() => (done = true));
  while (!done) {
    const sent = performance.now();
    await client.invokeByName("add", [1, 2]);
    latencies.push(performance.now() - sent);
  }
  await reading;
  report.atMost(
    "",
    `beside a stream of ${bytes >> 20} MiB on the same connection: p99 of ${latencies.length} calls`,
    percentile(latencies, 99),
    20,
    ms,
  );
  await client.stop({ graceMs: 0 });
  await another.end();
  await server.end();
}
