import { createServer } from "node:net";
import { Client } from "@rap/client";
import { certificates } from "./certificates.mjs";
import { Child } from "./child.mjs";
import { MiB, mib, ms } from "./report.mjs";
import { Probe, until } from "./token.mjs";

const RSS = 64 * MiB;
const BUSY = "attacker, server and neighbour share two cores that are busy anyway";

/** Attacks the server of `world` while a good client calls it, and looks at what they left. */
async function attack(report, { server, attacker, client }, id, what, job, { rss = RSS, p99 = 50, known } = {}) {
  await server.ask("forget");
  const fds = server.fds;
  const before = server.resetPeak();
  const probe = new Probe(client);
  const result = await job(attacker);
  await until(() => probe.latencies.length >= 200);
  await probe.stop();
  const peak = server.peakRss - before;
  const quiet = await until(async () => {
    const { connections, handshakes, inFlight } = await server.ask("stats");
    return connections === 1 && handshakes === 0 && inFlight === 0 && server.fds === fds;
  }, 8_000);
  report.atMost(id, `${what}: memory at its peak more than before`, Math.max(0, peak), rss, mib);
  const { failed } = probe;
  report.atMost(
    id,
    `${what}: another client's p99 (of ${probe.latencies.length} calls, ${failed} failed)`,
    failed > 0 ? Infinity : probe.p99(),
    p99,
    ms,
    known,
  );
  report.row(
    id,
    `${what}: connections, calls and fds afterwards`,
    "as before",
    quiet ? "as before" : JSON.stringify(await server.ask("stats")).slice(0, 200),
    quiet,
  );
  return result;
}

/** How often a server has stopped to read from a peer. */
const pauses = ({ paused }) => Object.values(paused).reduce((sum, count) => sum + count, 0);

/** What a client says of servers that speak something else. */
async function foreign(report) {
  for (const [name, bytes, expected] of [
    ["HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", /HTTP/],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n", /SSH/],
    ["noise", "\x01\x02\x03\x04\x05\x06\x07\x08", /rap/],
  ]) {
    const server = createServer((socket) => socket.on("error", () => {}).end(bytes)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const client = new Client({ target: `tcp://127.0.0.1:${server.address().port}` });
    const error = await client.start().catch((caught) => caught);
    report.row(
      "F15",
      `a client's error at a server that speaks ${name}`,
      `UNAVAILABLE, names it`,
      `${error.code}: ${error.message}`.slice(0, 120),
      error.code === "UNAVAILABLE" && expected.test(error.message),
    );
    await client.stop();
    server.close();
  }
}

/** F1–F7 and F15: hostile peers at the port of a server that goes on serving. */
export async function attacks(report) {
  // The limits of an address hold for this machine's where they are changed.
  const server = await Child.start("./server.mjs", { limits: { maxInFlightPerIp: 4_000 } });
  const { server: identity } = await certificates();
  const secure = await Child.start("./server.mjs", { tls: identity });
  const attacker = await Child.start("./attacker.mjs", { port: server.hello.port, tlsPort: secure.hello.port });
  const client = await new Client({ target: server.hello.address }).start();
  // Warm.
  for (let i = 0; i < 2_000; i++) await client.invokeByName("add", [1, 2]);
  const world = { server, attacker, client };

  const lengths = await attack(report, world, "F1", "lengths", (a) => a.ask("lengths"));
  const closed = lengths.map(({ took }) => took ?? Infinity);
  report.atMost("F1", `the slowest close of ${closed.length}`, Math.max(...closed), 100, ms);

  const fds = secure.fds;
  const share = await attack(report, world, "F2", "500 slow sockets", (a) => a.ask("slow", 500, 6_500), { p99: 200 });
  report.atLeast("F2", "closed within the handshake's 5 s + 1 s", Math.round(share * 100), 95, (n) => `${n} %`);
  let left;
  await until(async () => {
    const { connections, handshakes } = await secure.ask("stats");
    left = [connections, handshakes, secure.fds - fds].join(", ");
    return left === "0, 0, 0";
  }, 8_000);
  report.equal("F2", "connections and handshakes of the TLS server afterwards, fds more than before", left, "0, 0, 0");

  const { slowest, accepted } = await attack(report, world, "F3", "bombs and 5 000 mutants", (a) =>
    a.ask("bombs", 5_000, 3),
  );
  // Infinity does not come through as JSON.
  report.atMost("F3", "the slowest refusal of a bomb, as a hello or as arguments", slowest ?? Infinity, 50, ms, {
    to: 100,
    why: BUSY,
  });
  report.equal("F3", "bombs that were executed", accepted, 0);

  for (const what of ["pings", "cancels", "empty frames", "tiny calls", "odd optional frames"]) {
    const before = pauses(await server.ask("stats"));
    const { sent, stuck, open, goaway } = await attack(report, world, "F4", `1e6 ${what}, nothing read`, (a) =>
      a.ask("flood", what, 1_000_000),
    );
    const paused = pauses(await server.ask("stats")) - before;
    const taken = stuck ? "and for a second no more" : "and went on";
    report.row(
      "F4",
      `1e6 ${what}: the server`,
      "closes, or reads no more for a second",
      open ? `took ${sent} ${taken}, ${paused} pauses` : `closed, ${goaway ?? "without a word"}`,
      !open || (stuck && paused > 0),
    );
  }

  const {
    slowest: slow,
    connections,
    goaways,
  } = await attack(report, world, "F5", "200 000 calls opened and cancelled", (a) => a.ask("rapidCancel", 200_000), {
    known: { to: 100, why: `${BUSY}: the server waits for a processor` },
  });
  const { maxAliveOfOne } = await server.ask("stats");
  report.atMost("F5", "functions of one connection alive at once, the most of any", maxAliveOfOne, 256);
  report.atMost("F5", `the slowest goaway (${goaways}) of ${connections} connections`, slow, 2_000, ms);

  for (const kind of ["items of 64 KiB", "items of 15 KiB", "250 results"]) {
    const ends = await attack(
      report,
      world,
      "F6",
      `8 readers of 1 GB, in ${kind}, that read nothing, or 1 KiB/s`,
      (a) => a.ask("slowReaders", 8, 14_000, kind),
      { rss: 200 * MiB },
    );
    const still = ends.filter((open) => open).length;
    report.row("F6", "they are closed within 14 s", "all", `${8 - still} closed, ${still} wait`, still === 0);
  }

  const rate = await attack(report, world, "F7", "20 000 connections come and go", (a) => a.ask("churn", 20_000), {
    p99: 200,
  });
  report.atLeast("F7", "connections a second", Math.round(rate), 2_000, String, { to: 1_000, why: BUSY });

  const most = await attack(report, world, "F15", "20 000 connections with garbage", (a) =>
    a.ask("garbage", 20_000, 15),
  );
  report.atMost("F15", "bytes of an answer to garbage before, in or after the handshake", most, 512);
  await foreign(report);

  const { warnings, loopP99 } = await server.ask("stats");
  report.row(
    "F1-7",
    "the server after all of it",
    "same process, no warnings",
    `pid ${server.pid}, ${warnings.length} warnings ${warnings[0] ?? ""}`,
    server.running && warnings.length === 0,
  );
  report.row("F1-7", "its event loop's delay at p99 since the last attack", "≤ 100 ms", ms(loopP99), loopP99 <= 100);
  await client.stop();
  await Promise.all([server, secure, attacker].map((child) => child.end()));
}
