import { Client } from "@rap/client";
import { certificates } from "../faults/certificates.mjs";
import { Child } from "../faults/child.mjs";
import { mib, ms } from "../faults/report.mjs";
import { percentile, until } from "../faults/token.mjs";
import { heap, run, slope, snapshot } from "./memory.mjs";

const KiB = 1024;
const kib = (bytes) => `${(bytes / KiB).toFixed(1)} KiB`;

/** Connect, one call, close, again and again. */
export async function comeAndGo(report, total) {
  const server = await Child.start("./server.mjs");
  const visit = async () => {
    const client = await new Client({ target: server.hello.address }).start();
    if ((await client.invokeByName("add", [1, 2])) !== 3) throw new Error("a wrong result");
    await client.stop();
  };
  await run(0.1 * total, 20, visit);
  const before = await snapshot();
  const [rss, fds] = [server.rss, server.fds];
  const began = performance.now();
  await run(0.45 * total, 20, visit);
  const half = await heap();
  await run(0.45 * total, 20, visit);
  const seconds = (performance.now() - began) / 1_000;
  await until(async () => (await server.ask("stats")).connections === 0);
  const after = await snapshot();
  report.row("", `connect, call, close: ${total}`, "", `${Math.round((0.9 * total) / seconds)} a second`, true);
  report.atMost("", "heap of the client's process, over the last 90 %", after.heap - before.heap, 2 * KiB * KiB, mib);
  slope(report, "connections", [before.heap, half, after.heap], 0.45 * total);
  report.atMost(
    "",
    "RSS of the server's process, over the last 90 %",
    Math.max(0, server.rss - rss),
    50 * KiB * KiB,
    mib,
  );
  report.equal(
    "",
    "fds of the client, of the server, handles, listeners more than before",
    [
      after.fds - before.fds,
      server.fds - fds,
      after.resources - before.resources,
      after.listeners - before.listeners,
    ].join(", "),
    "0, 0, 0, 0",
  );
  await server.end();
}

/** Many connections of which nobody uses any, and one that is used. */
export async function idle(report, total, secure) {
  const name = secure ? "TLS" : "plain";
  const why = secure ? " (no more: a handshake takes 1 ms of CPU at the server and 2 at the client)" : "";
  const pki = secure ? await certificates() : undefined;
  const limits = { maxConnections: total + 10 };
  const server = await Child.start("./server.mjs", { limits, ...(secure && { tls: pki.server }) });
  const active = await new Client({ target: server.hello.address, ...(secure && { tls: { ca: pki.ca } }) }).start();
  for (let i = 0; i < 2_000; i++) await active.invokeByName("add", [1, 2]);
  const holder = await Child.start("../soak/holder.mjs", {
    target: server.hello.address,
    ...(secure && { tls: { ca: pki.ca } }),
  });
  const rss = server.rss;
  const took = await holder.ask("open", total);
  const { connections } = await server.ask("stats");
  report.equal("", `${name}: idle connections open${why}`, connections - 1, total);
  report.atMost("", `${name}: opened in`, took, 10_000, ms, {
    to: 20_000,
    why: "both ends of each share two cores that are busy anyway",
  });
  report.atMost(
    "",
    `${name}: memory of the server for each`,
    (server.rss - rss) / total,
    (secure ? 60 : 25) * KiB,
    kib,
  );
  const cpu = server.cpu;
  const began = performance.now();
  await until(() => false, 5_000);
  report.atMost(
    "",
    `${name}: CPU of the server while all are idle`,
    Number(((100 * (server.cpu - cpu)) / (performance.now() - began)).toFixed(1)),
    5,
    (n) => `${n} %`,
  );
  const latencies = [];
  await run(5_000, 1, async () => {
    const sent = performance.now();
    await active.invokeByName("add", [1, 2]);
    latencies.push(performance.now() - sent);
  });
  report.atMost("", `${name}: one that calls, p99 of 5 000`, percentile(latencies, 99), 5, ms);
  await holder.end();
  await until(async () => (await server.ask("stats")).connections === 1, 20_000);
  report.equal("", `${name}: connections after they are gone`, (await server.ask("stats")).connections, 1);
  await active.stop();
  await server.end();
}
