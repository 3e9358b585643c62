import { connect } from "node:net";
import { Client } from "@rap/client";
import { ClientCryptoProcessor } from "@rap/plugin-crypto";
import { tcp } from "@rap/transport";
import { Child } from "./child.mjs";
import { ms } from "./report.mjs";
import { Ledger, Probe, pause, token, until } from "./token.mjs";

/** F9: the server is killed in the midst of calls and streams. */
async function killedServer(report) {
  let server = await Child.start("./server.mjs", { limits: { maxInFlight: 2_000 } });
  const { port, address } = server.hello;
  const client = await new Client({ target: address, reconnect: { initial: 100, max: 500 } }).start();
  const calls = Array.from({ length: 1_000 }, () => outcome(client.invokeByName("patient", [60_000])));
  const items = client.registerGen("items");
  const streams = Array.from({ length: 50 }, (_, i) => outcome(drain(items(i, 1e6, 50))));
  await until(async () => (await server.ask("stats")).inFlight === 1_050);
  await server.end();
  const died = performance.now();
  const outcomes = await Promise.all([...calls, ...streams]);
  const settled = performance.now() - died;
  report.atMost("F9", "kill -9 with 1 000 calls and 50 streams: all have settled", settled, 1_000, ms);
  const wrong = outcomes.filter(({ code, maybeExecuted }) => code !== "UNAVAILABLE" || maybeExecuted !== true).length;
  report.equal("F9", "of them not UNAVAILABLE with maybeExecuted", wrong, 0);
  server = await Child.start("./server.mjs", { port });
  const restarted = performance.now();
  await client.invokeByName("add", [1, 2]);
  report.atMost("F9", "first success after the restart", performance.now() - restarted, 3_000, ms);
  report.equal("F9", "timers left of the calls that died", client.stats().timers, 1);
  await client.stop();
  await server.end();
}

/** F10: a thousand clients come back at once, to a server that lets so many in at once, and then so many a second. */
async function storm(report) {
  const count = 1_000;
  const limits = { acceptBurst: 300, acceptsPerSecond: 250 };
  let server = await Child.start("./server.mjs");
  const { port, address } = server.hello;
  const attempts = [];
  /** When each client was let in, and when the first dial began that found the server. */
  const admitted = [];
  let first;
  const plain = tcp();
  const clients = Array.from({ length: count }, (_, i) => {
    const transport = {
      scheme: "tcp",
      listen: plain.listen.bind(plain),
      async dial(to, signal) {
        const at = performance.now();
        attempts.push({ client: i, at });
        const socket = await plain.dial(to, signal);
        first ??= at;
        return socket;
      },
    };
    const client = new Client({ target: address, transports: [transport] });
    client.on("reconnect", () => admitted.push(performance.now()));
    return client;
  });
  await inTurn(clients, 50, (client) => client.start());
  attempts.length = 0;
  first = undefined;
  await server.end();
  await pause(1_000);
  server = await Child.start("./server.mjs", { port, limits });
  const began = performance.now();
  const back = () => clients.filter((client) => client.stats().connections === 1).length;
  await until(async () => back() === count && (await server.ask("stats")).connections === count, 15_000);
  report.atMost(
    "F10",
    `${count} clients come back after a restart (${back()} did)`,
    performance.now() - began,
    10_000,
    ms,
  );
  const each = new Map();
  for (const { client } of attempts) each.set(client, (each.get(client) ?? 0) + 1);
  report.atMost("F10", "dials of one client", Math.max(...each.values()), 8);
  const bins = new Map();
  for (const { at } of attempts) {
    const bin = Math.floor(at / 100);
    bins.set(bin, (bins.get(bin) ?? 0) + 1);
  }
  const peak = (100 * Math.max(...bins.values())) / attempts.length;
  report.atMost("F10", "share of the dials in one tenth of a second", Math.round(peak), 25, (n) => `${n} %`);
  const { acceptBurst, acceptsPerSecond } = limits;
  const { rejected } = await server.ask("stats");
  const room = (at) => acceptBurst + ((at - first) / 1_000) * acceptsPerSecond;
  const above = Math.ceil(Math.max(...admitted.map((at, i) => i + 1 - room(at))));
  report.row(
    "F10",
    `clients let in beyond ${acceptBurst} and ${acceptsPerSecond} a second (${rejected.acceptsPerSecond} dials were turned away)`,
    "none",
    above <= 0 ? "none" : above,
    above <= 0 && rejected.acceptsPerSecond > 0,
  );
  await inTurn(clients, 100, (client) => client.stop({ graceMs: 0 }));
  await server.end();
}

/** F17: a client is killed with ten thousand calls in flight. */
async function killedClient(report) {
  const count = 10_000;
  const server = await Child.start("./server.mjs", { limits: { maxInFlight: count, maxServerInFlight: 2 * count } });
  const before = await server.ask("stats");
  const fds = server.fds;
  const caller = await Child.start("./caller.mjs", { target: server.hello.address });
  await caller.ask("hold", count);
  const reached = await until(async () => (await server.ask("stats")).alive === count);
  await caller.end();
  const died = performance.now();
  await until(async () => (await server.ask("stats")).alive === 0, 5_000);
  report.atMost(
    "F17",
    `kill -9 of a client with ${count} calls (${reached ? "all" : "not all"} under way): all signals fired`,
    performance.now() - died,
    1_000,
    ms,
  );
  const after = await server.ask("stats");
  report.equal(
    "F17",
    "signals, and functions that came to their finally",
    `${after.aborted}, ${after.finallys}`,
    `${count}, ${count}`,
  );
  report.equal(
    "F17",
    "calls, connections, timers, fds more than before",
    [after.inFlight - before.inFlight, after.connections, after.timers - before.timers, server.fds - fds].join(", "),
    "0, 0, 0, 0",
  );
  await server.end();
}

/** F18: either side stops for five seconds, and goes on. */
async function stopped(report) {
  const server = await Child.start("./server.mjs");
  const client = await new Client({ target: server.hello.address }).start();
  const echo = client.register("echo", { timeout: 2_000 });
  const ledger = new Ledger();
  server.kill("SIGSTOP");
  const began = performance.now();
  await Promise.all(Array.from({ length: 100 }, (_, n) => ledger.call(echo, token("stopped", n), 2_000)));
  const took = performance.now() - began;
  report.atMost("F18", "the server stands still: calls with a deadline of 2 s have failed", took, 2_100, ms);
  report.equal("F18", "their errors", ledger.errorText, "100 DEADLINE_EXCEEDED");
  await pause(Math.max(0, 5_000 - took));
  server.kill("SIGCONT");
  await until(async () => (await server.ask("stats")).inFlight === 0);
  for (let n = 100; n < 200; n++) await ledger.call(echo, token("stopped", n), 2_000);
  report.equal(
    "F18",
    "it goes on: calls that succeed, of 100; settled twice; wrong",
    `${ledger.ok}, ${ledger.twice}, ${ledger.wrong}`,
    "100, 0, 0",
  );
  await client.stop();
  await server.ask("forget");
  const caller = await Child.start("./caller.mjs", { target: server.hello.address });
  const held = 100;
  const running = caller.ask("steady", 6_000, 200, 2_000, held);
  await pause(500);
  caller.kill("SIGSTOP");
  await pause(2_500);
  const { aborted } = await server.ask("stats");
  await pause(2_500);
  caller.kill("SIGCONT");
  const result = await running;
  const executions = await server.ask("executions");
  report.equal(
    "F18",
    "the client stands still for 5 s: calls settled twice, wrong, open, late; executed twice",
    [result.twice, result.wrong, result.open, result.late, executions.filter(([, times]) => times > 1).length].join(
      ", ",
    ),
    "0, 0, 0, 0, 0",
  );
  report.equal("F18", `signals that fired meanwhile, of ${held} calls whose time went by`, aborted, held);
  report.row(
    "F18",
    "its calls",
    "succeed, but for those whose time went by",
    `${result.ok} of ${result.calls} (${result.errors})`,
    /^(no errors|\d+ DEADLINE_EXCEEDED)$/.test(result.errors) && result.ok > 100,
  );
  await caller.end();
  await server.end();
}

/** F20: a function blocks the server's event loop for three seconds. */
async function blockedLoop(report) {
  const server = await Child.start("./server.mjs");
  const client = await new Client({
    target: server.hello.address,
    keepalive: { interval: 1_000, timeout: 4_000 },
  }).start();
  let lost = 0;
  client.on("disconnect", () => lost++);
  const began = performance.now();
  const block = client.invokeByName("block", [3_000]);
  await pause(50);
  const short = await outcome(client.invokeByName("add", [1, 2], { timeout: 1_000 }));
  const fired = performance.now() - began;
  const patient = await outcome(client.invokeByName("add", [1, 2], { timeout: 5_000 }));
  await block;
  report.row(
    "F20",
    "a loop blocked for 3 s: a call with 1 s",
    "DEADLINE_EXCEEDED ≤ 1.3 s",
    `${short.code}, ${ms(fired)}`,
    short.code === "DEADLINE_EXCEEDED" && fired < 1_300,
  );
  report.equal("F20", "one with 5 s; connections lost to keepalive (1 s + 4 s)", `${patient.value}, ${lost}`, "3, 0");
  await client.stop();
  await server.end();
}

/** F22: no file descriptors, a port in use, a name that is not there, all servers down and up again. */
async function accepting(report) {
  const server = await Child.start("./server.mjs", {}, { prefix: ["bash", "-c", 'ulimit -n 64; exec "$0" "$@"'] });
  const sockets = [];
  for (let i = 0; i < 100; i++) sockets.push(connect(server.hello.port, "127.0.0.1").on("error", () => {}));
  await pause(500);
  const cpu = server.cpu;
  await pause(2_000);
  report.atMost(
    "F22",
    "CPU of a server that is out of file descriptors",
    Math.round((server.cpu - cpu) / 20),
    20,
    (n) => `${n} %`,
  );
  for (const socket of sockets) socket.destroy();
  const began = performance.now();
  const client = new Client({ target: server.hello.address, reconnect: { initial: 50, max: 200 } });
  const recovered = await until(
    () =>
      client.start().then(
        () => true,
        () => false,
      ),
    5_000,
  );
  report.row(
    "F22",
    "it takes connections again",
    "≤ 3 s",
    ms(performance.now() - began),
    recovered && performance.now() - began < 3_000,
  );
  await client.stop();
  const second = await Child.start("./server.mjs", { port: server.hello.port }).catch((error) => error);
  report.row(
    "F22",
    "listening on a port in use",
    "an error that says so",
    String(second.message).includes("EADDRINUSE") || /in use/.test(second.message)
      ? "EADDRINUSE"
      : String(second.message).slice(0, 200),
    /EADDRINUSE|in use/.test(second.message),
  );
  const nowhere = await outcome(new Client({ target: "tcp://rap.invalid:9000" }).start());
  report.equal("F22", "a name that is not there", nowhere.code, "UNAVAILABLE");
  await server.end();
  const down = await Promise.all([Child.start("./server.mjs"), Child.start("./server.mjs")]);
  const both = await new Client({
    target: down.map(({ hello }) => hello.address),
    reconnect: { initial: 50, max: 500 },
  }).start();
  await Promise.all(down.map((each) => each.end()));
  const cpuBefore = process.cpuUsage();
  const waiting = both.invokeByName("add", [1, 2], { timeout: 10_000 });
  await pause(2_000);
  const used = process.cpuUsage(cpuBefore);
  report.atMost(
    "F22",
    "CPU of a client whose servers are all down",
    Math.round((used.user + used.system) / 20_000),
    20,
    (n) => `${n} %`,
  );
  const up = await Promise.all(down.map(({ hello }) => Child.start("./server.mjs", { port: hello.port })));
  const back = performance.now();
  report.row(
    "F22",
    "both are up again: the call that waited",
    "3, ≤ 1 s",
    `${await waiting}, ${ms(performance.now() - back)}`,
    performance.now() - back < 1_000,
  );
  await both.stop();
  await Promise.all(up.map((each) => each.end()));
  report.skipped(
    "F22",
    "discovery: empty, flapping",
    "not applicable: a client is given its addresses, nothing discovers them",
  );
}

/** F19: the wall clock jumps; deadlines, keepalive and the window for replays go by others. */
async function clocks(report) {
  const crypto = { id: "0123456789abcdef" };
  const server = await Child.start("./server.mjs", { crypto });
  const client = new Client({ target: server.hello.address, keepalive: { interval: 200, timeout: 300 } });
  client.loadProcessor([new ClientCryptoProcessor("id", crypto.id)]);
  await client.start();
  // With a call that nobody answers and nothing else, so that it lives by keepalive.
  const silent = new Client({ target: server.hello.address, keepalive: { interval: 200, timeout: 300 } });
  silent.loadProcessor([new ClientCryptoProcessor("id", crypto.id)]);
  await silent.start();
  const held = outcome(silent.invokeByName("patient", [60_000], { timeout: 60_000 }));
  let lost = 0;
  for (const each of [client, silent]) each.on("disconnect", () => lost++);
  const items = client.registerGen("items");
  const reading = outcome(drain(items("clock", 120, 50)));
  const probe = new Probe(client);
  const times = [];
  const real = Date.now.bind(Date);
  /** Both sides' clocks jump; how long a call takes then that has 300 ms. */
  const timed = async (jump) => {
    await server.ask("jump", jump);
    const before = Date.now.bind(Date);
    Date.now = () => before() + jump;
    const began = performance.now();
    const late = await outcome(client.invokeByName("patient", [5_000], { timeout: 300 }));
    times.push(late.code === "DEADLINE_EXCEEDED" ? performance.now() - began : Number.NaN);
  };
  for (const jump of [3_600_000, -7_200_000]) {
    await timed(jump);
    await pause(300);
  }
  // A clock that is too fast by 10 ms a second.
  for (let second = 0; second < 5; second++) {
    const next = pause(1_000);
    await timed(10);
    await next;
  }
  await probe.stop();
  const { value: read } = await reading;
  Date.now = real;
  const exact = times.every((time) => time >= 299 && time < 450);
  report.row(
    "F19",
    "deadlines of 300 ms while the wall clock jumps by +1 h, −2 h, and then gains 10 ms a second for 5 s",
    "300 … 450 ms",
    times.map(ms).join(", "),
    exact,
  );
  report.equal(
    "F19",
    `of ${probe.latencies.length} calls meanwhile: failed; connections lost to keepalive; items of a stream of 120`,
    `${probe.failed}, ${lost}, ${read}`,
    "0, 0, 120",
  );
  // The server's clock is now far from the client's: a new connection is out of the window.
  await server.ask("jump", 7_200_000);
  const stranger = new Client({ target: server.hello.address });
  stranger.loadProcessor([new ClientCryptoProcessor("id", crypto.id)]);
  report.equal(
    "F19",
    "a new connection of a clock that is an hour off",
    (await outcome(stranger.start())).code,
    "UNAVAILABLE",
  );
  await stranger.stop();
  await silent.stop({ graceMs: 0 });
  await held;
  await client.stop();
  await server.end();
}

/** Kills, stops, blocks, and what a machine runs out of. */
export async function crashes(report) {
  await killedServer(report);
  await storm(report);
  await killedClient(report);
  await stopped(report);
  await clocks(report);
  await blockedLoop(report);
  await accepting(report);
}

/** What became of a promise, as the error or `{ value }`. */
export function outcome(promise) {
  return promise.then(
    (value) => ({ value }),
    (error) => error,
  );
}

export async function drain(stream) {
  let items = 0;
  for await (const _ of stream) items++;
  return items;
}

export async function inTurn(list, atOnce, job) {
  let next = 0;
  const lane = async () => {
    while (next < list.length) await job(list[next++]);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
