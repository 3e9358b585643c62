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

/**
 * A fast client beside a hostile one, and beside a stream of 64 MB on the same connection. The attacker's own process
 * takes processor time, too: what it takes while it attacks something else is the control.
 */
export async function neighbours(report) {
  const server = await Child.start("./server.mjs");
  const client = await new Client({ target: server.hello.address }).start();
  const nothing = await Child.start("./sink.mjs");
  await pace(client, 2_000);
  for (const [what, ask] of [
    ["a flood of calls that are not read", (attacker) => attacker.ask("flood", "tiny calls", 1_000_000)],
    ["calls cancelled at once", (attacker) => attacker.ask("rapidCancel", 100_000)],
    ["readers that do not read", (attacker) => attacker.ask("slowReaders", 8, 3_000)],
  ]) {
    const beside = async (port) => {
      const attacker = await Child.start("./attacker.mjs", { port });
      const hostile = ask(attacker);
      await pause(100);
      const result = await pace(client, 3_000);
      await hostile;
      await attacker.end();
      return result;
    };
    const alone = await pace(client, 3_000);
    const control = await beside(nothing.hello.port);
    const attacked = await beside(server.hello.port);
    const share = ({ rate }) => Math.round((100 * rate) / alone.rate);
    report.atLeast(
      "",
      `beside ${what}: throughput of that alone (${Math.round(alone.rate)} calls/s; ${share(control)} % while another process is attacked)`,
      share(attacked),
      70,
      (n) => `${n} %`,
    );
    report.atMost("", `beside ${what}: p99`, attacked.p99, Math.max(5 * alone.p99, 1), ms);
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
  await nothing.end();
  await server.end();
}
