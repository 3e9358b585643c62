import { Client } from "@rap/client";
import { Child } from "../faults/child.mjs";
import { ms } from "../faults/report.mjs";
import { pause, percentile } from "../faults/token.mjs";

/** Calls for so long, one after the other in ten lanes: how many a second, and the p99. */
async function pace(client, time) {
  const latencies = [];
  const end = performance.now() + time;
  const lane = async () => {
    while (performance.now() < end) {
      const sent = performance.now();
      await client.invokeByName("add", [1, 2]);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: 10 }, lane));
  return { rate: latencies.length / (time / 1_000), p99: percentile(latencies, 99) };
}

/** A fast client beside a hostile one, and beside a stream of 64 MB on the same connection. */
export async function neighbours(report) {
  const server = await Child.start("./server.mjs");
  const client = await new Client({ target: server.hello.address }).start();
  const attacker = await Child.start("./attacker.mjs", { port: server.hello.port });
  await pace(client, 2_000);
  const alone = await pace(client, 4_000);
  for (const [what, ask] of [
    ["a flood of calls that are not read", () => attacker.ask("flood", "tiny calls", 1_000_000)],
    ["calls cancelled at once", () => attacker.ask("rapidCancel", 100_000)],
    ["readers that do not read", () => attacker.ask("slowReaders", 8, 3_000)],
  ]) {
    const hostile = ask();
    await pause(100);
    const beside = await pace(client, 3_000);
    await hostile;
    report.atLeast(
      "",
      `beside ${what}: throughput of that alone (${Math.round(alone.rate)} calls/s)`,
      Math.round((100 * beside.rate) / alone.rate),
      70,
      (n) => `${n} %`,
    );
    report.atMost("", `beside ${what}: p99`, beside.p99, Math.max(5 * alone.p99, 1), ms);
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
  await attacker.end();
  await server.end();
}
