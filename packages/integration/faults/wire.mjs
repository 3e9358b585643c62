import { execFileSync } from "node:child_process";
import { Client } from "@rap/client";
import { ClientCryptoProcessor } from "@rap/plugin-crypto";
import { Child } from "./child.mjs";
import { drain, inTurn, outcome } from "./crashes.mjs";
import { MANGLES, mangling } from "./mangle.mjs";
import { FaultyProxy } from "./proxy.mjs";
import { ms } from "./report.mjs";
import { isAnswer, Ledger, token, until } from "./token.mjs";

const KEY = "0123456789abcdef";
const NEVER = { initial: 600_000, max: 600_000 };

/** What puts other bytes into a message: without encryption nobody could tell. */
const ALTERING = new Set(["flip", "trunc", "inject"]);
/** What may make a reader wait for the rest of a frame. */
const SHORTENING = new Set(["flip", "trunc"]);

/** A number for each call of this process. */
let numbers = 0;

async function clientOf(address, crypto, options = {}) {
  const client = new Client({
    target: address,
    reconnect: { initial: 10, max: 50 },
    keepalive: { interval: 300, timeout: 300 },
    ...options,
  });
  if (crypto) client.loadProcessor([new ClientCryptoProcessor("id", KEY)]);
  // Its first connection may be among what is broken.
  await until(() =>
    client.start().then(
      () => true,
      () => false,
    ),
  );
  return client;
}

const DIRECTIONS = ["up", "down"];

/** What part of the frames is mangled: one for each seed. */
const SHARES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05];

/**
 * What is missing is seen by what comes next, and what never comes whole by a limit of time. Both sides must want short
 * ones: the longer of two intervals counts.
 */
const WATCHFUL = { keepaliveInterval: 250, keepaliveTimeout: 250, handshakeTimeout: 700, frameGrace: 500 };
const TIMES = Object.entries(WATCHFUL)
  .map(([name, time]) => `${name} ${time}`)
  .join(", ");

/** F8: frames dropped, doubled, swapped, cut, flipped, taken from another connection, and sent back to who said them. */
async function mangled(report, crypto) {
  const mode = crypto ? "encrypted" : "plain";
  const start = () => Child.start("./server.mjs", { limits: WATCHFUL, ...(crypto && { crypto: { id: KEY } }) });
  // What is altered may become any other call, so it has a server and books of its own.
  const [server, altered] = [await start(), await start()];
  const done = { count: 0 };
  const ledger = new Ledger();
  const flipped = new Ledger();
  const watchful = { keepalive: {}, limits: WATCHFUL };
  const deadline = 1_000;
  let slowest = 0;
  /** The slowest ends of mangled connections. */
  const ends = { whole: 0, short: 0 };
  // An encrypted frame holds all that is written together.
  const [rounds, together] = crypto ? [40, 5] : [10, 20];
  const jobs = [...Object.keys(MANGLES), "reflect"].flatMap((name) =>
    DIRECTIONS.flatMap((direction) => SHARES.map((p, i) => ({ name, direction, seed: i + 1, p }))),
  );
  const run = async ({ name, direction, seed, p }) => {
    const options = { p, seed, done, other: {}, hit: [], after: crypto ? 2 : 1 };
    const { port } = (ALTERING.has(name) ? altered : server).hello;
    // What is injected was said by another connection, in that direction; what is reflected, by this one in the other.
    const listening = {
      mangle: () => (frame) => {
        options.other.frame = Buffer.from(frame);
        return [frame];
      },
    };
    const stranger = await FaultyProxy.to(port, name === "inject" ? { [direction]: listening } : {});
    const proxy = await FaultyProxy.to(port, {
      ...(name === "reflect" && { both: listening }),
      [direction]: { mangle: mangling(name === "reflect" ? "inject" : name, options) },
    });
    const second = await clientOf(stranger.address, crypto, watchful);
    const client = await clientOf(proxy.address, crypto, watchful);
    const books = ALTERING.has(name) ? flipped : ledger;
    const echo = client.register("echo", { timeout: deadline });
    for (let round = 0; round < rounds; round++) {
      const began = performance.now();
      void second.invokeByName("add", [1, 2]).catch(() => {});
      await Promise.all(Array.from({ length: together }, () => books.call(echo, token(name, numbers++), deadline)));
      slowest = Math.max(slowest, performance.now() - began);
    }
    if (crypto) {
      // What is missing is seen by what comes after it.
      const allClosed = async () => {
        await client.invokeByName("add", [1, 2], { timeout: 100 }).catch(() => {});
        return options.hit.every(({ ended }) => ended < Infinity);
      };
      await until(allClosed, 8_000);
      const kind = SHORTENING.has(name) ? "short" : "whole";
      ends[kind] = Math.max(ends[kind], ...options.hit.map(({ began, ended }) => ended - began));
    }
    await client.stop({ graceMs: 0 });
    await second.stop({ graceMs: 0 });
    await proxy.close();
    await stranger.close();
  };
  await inTurn(jobs, 16, run);
  const executions = await server.ask("executions");
  const quiet = await until(async () => (await server.ask("stats")).connections === 0, 8_000);
  const { repeated, ranThoughNever } = ledger.audit(executions);
  const calls = ledger.calls + flipped.calls;
  report.row(
    "F8",
    `${mode}: frames mangled; calls; what they came to`,
    "",
    `${done.count}; ${calls}; ${ledger.ok + flipped.ok} right, ${ledger.errorText}`,
    done.count > 20,
  );
  report.equal(
    "F8",
    `${mode}: calls that never settled, settled twice, or late`,
    [ledger.open + flipped.open, ledger.twice + flipped.twice, ledger.late + flipped.late].join(", "),
    "0, 0, 0",
  );
  report.equal(
    "F8",
    `${mode}: wrong answers${crypto ? "" : " (without the flipped, cut and injected)"}; calls executed twice; that ran though said not to`,
    [ledger.wrong + (crypto ? flipped.wrong : 0), repeated, ranThoughNever].join(", "),
    "0, 0, 0",
  );
  if (crypto) {
    const ran = await altered.ask("executions");
    const foreign = [...executions, ...ran].filter(([n]) => typeof n !== "number" || n >= numbers).length;
    report.equal("F8", "encrypted: executions of what nobody sent, or twice", foreign + flipped.audit(ran).repeated, 0);
    report.atMost("F8", `encrypted: the slowest end of a mangled connection (${TIMES})`, ends.whole, 1_000, ms);
    report.atMost("F8", "encrypted: the same, frames cut or flipped", ends.short, 1_000, ms);
  }
  report.atMost("F8", `${mode}: the slowest call, its deadline 1 s`, slowest, deadline + 1_000, ms);
  report.row(
    "F8",
    `${mode}: the server afterwards`,
    "same process, no connection",
    `${server.running && altered.running ? "same process" : "gone"}, ${quiet ? "none" : "some"}`,
    server.running && altered.running && quiet,
  );
  await altered.end();
  await server.end();
}

/** One small session: a plain call, a stream of five items, a channel; what came of each. */
async function session(client) {
  const asked = token("session", 1);
  const items = client.registerGen("items", { timeout: 400 });
  const talk = client.registerChannel("talk", { timeout: 400 });
  return Promise.all([
    outcome(
      client
        .register("echo", { timeout: 400 })(asked)
        .then((answer) => isAnswer(answer, asked)),
    ),
    outcome(drain(items("session", 5, 0)).then((count) => count === 5)),
    outcome(
      talk(async (channel) => {
        await channel.write("hello");
        if ((await channel.readBody()) !== "hello") throw new Error("another's words");
      }).then(() => true),
    ),
  ]);
}

/** F14: a reset, an end, silence after each byte of a session. */
async function everyByte(report) {
  const server = await Child.start("./server.mjs");
  const recorder = await FaultyProxy.to(server.hello.port);
  const first = await clientOf(recorder.address, false);
  await session(first);
  await first.stop();
  const length = { ...recorder.seen };
  await recorder.close();
  const cases = [];
  for (const direction of ["up", "down"]) {
    for (const fault of ["rst", "fin", "stall"]) {
      for (let at = 1; at <= length[direction]; at++) cases.push({ direction, fault, at });
    }
  }
  let late = 0;
  let wrong = 0;
  let failed = 0;
  const run = async ({ direction, fault, at }) => {
    const proxy = await FaultyProxy.to(server.hello.port, { [direction]: { [fault]: at } });
    const client = new Client({ target: proxy.address, reconnect: NEVER, limits: { handshakeTimeout: 400 } });
    const began = performance.now();
    const started = await outcome(client.start());
    if (started === undefined || started.code === undefined) {
      const began = performance.now();
      const outcomes = await session(client);
      if (performance.now() - began > 1_400) late++;
      for (const each of outcomes) {
        if (each.value === false) wrong++;
        if (each.code !== undefined) failed++;
        else if (each.value === undefined) wrong++;
      }
    } else if (performance.now() - began > 1_400) late++;
    await client.stop({ graceMs: 0 });
    await proxy.close();
  };
  const silent = cases.filter(({ fault }) => fault === "stall");
  const cut = cases.filter(({ fault }) => fault !== "stall");
  await inTurn(cut, 16, run);
  // Silence takes as long as the deadline, and nothing else.
  await inTurn(silent, 64, run);
  report.row(
    "F14",
    `reset, end or silence after each byte (${length.up} up, ${length.down} down): cases; calls that failed`,
    "",
    `${cases.length}; ${failed}`,
    failed > 0,
  );
  report.equal(
    "F14",
    "settled later than deadline + 1 s; wrong, or a cut stream with a clean end",
    `${late}, ${wrong}`,
    "0, 0",
  );
  const quiet = await until(async () => (await server.ask("stats")).connections === 0, 8_000);
  report.row(
    "F14",
    "the server afterwards",
    "no connection, no call",
    quiet ? "none" : JSON.stringify(await server.ask("stats")).slice(0, 150),
    quiet,
  );
  await server.end();
}

/** F13: bytes one by one, in heaps, slowly. */
async function cutting(report) {
  const server = await Child.start("./server.mjs");
  const size = 30_000;
  const timed = async (faults, bytes) => {
    const proxy = await FaultyProxy.to(server.hello.port, { both: faults });
    const client = await clientOf(proxy.address, false, { keepalive: false });
    const began = performance.now();
    const blob = await client.invokeByName("blob", [bytes], { timeout: 20_000 });
    const took = performance.now() - began;
    const before = server.cpu;
    const asked = token("cut", 0, bytes);
    const answer = await client.invokeByName("echo", [asked], { timeout: 20_000 });
    const cpu = server.cpu - before;
    const same = blob.length === bytes && blob.every((byte) => byte === 7) && isAnswer(answer, asked);
    const small = await session(client);
    await client.stop();
    await proxy.close();
    return { took, cpu, same: same && small.every(({ value }) => value === true) };
  };
  // The first one is for warming up.
  await timed({ split: 1 }, size);
  const whole = await timed({ split: 1 }, size);
  const twice = await timed({ split: 1 }, 2 * size);
  // The kernel counts in steps of 10 ms, of which one run on a fast machine takes few.
  for (let again = 0; again < 4; again++) {
    whole.cpu += (await timed({ split: 1 }, size)).cpu;
    twice.cpu += (await timed({ split: 1 }, 2 * size)).cpu;
  }
  report.row(
    "F13",
    "one byte at a time: results",
    "as without",
    whole.same && twice.same ? "as without" : "others",
    whole.same && twice.same,
  );
  report.atLeast("F13", "one byte at a time: KB a second", Math.round(size / whole.took), 20, String, {
    to: 10,
    why: "client, proxy and server share two cores that are busy anyway",
  });
  report.atMost(
    "F13",
    `to it, twice as many: so many times the server's CPU (${whole.cpu} ms)`,
    Number((twice.cpu / whole.cpu).toFixed(2)),
    2.3,
  );
  const merged = await timed({ merge: 30 }, 1_000_000);
  const slow = await timed({ rate: 20_000 }, 20_000);
  const jitter = await timed({ delay: 20, jitter: 15 }, 1_000_000);
  const same = merged.same && slow.same && jitter.same;
  report.row(
    "F13",
    "in heaps of 30 ms, 20 kB/s, 20 ± 15 ms late: results",
    "as without",
    same ? "as without" : "others",
    same,
  );
  report.atMost("F13", "20 kB at 20 kB/s", slow.took, 2_500, ms);
  await server.end();
}

/** Why this machine cannot have a network of its own to break, with these commands in it; undefined if it can. */
function noNetwork(...command) {
  try {
    execFileSync("unshare", ["-n", ...command], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `needs a network namespace, and \`${command[0]}\` in it: ${String(error.message).split("\n")[0]}`;
  }
}

/** F11: the network is gone without a word, in a namespace where it can be taken away. */
async function halfOpen(report) {
  const why = noNetwork("ip", "link", "set", "lo", "up");
  if (why !== undefined) {
    report.skipped("F11", "half-open connections", why);
    return;
  }
  const child = await Child.start("./half-open.mjs", {}, { prefix: ["unshare", "-n"] });
  const result = await child.ask("run");
  report.atMost(
    "F11",
    "a network that is gone: the client's calls have failed (keepalive 1 s + 1 s)",
    result.client,
    3_000,
    ms,
  );
  report.equal("F11", "their errors", result.errors, "20 UNAVAILABLE");
  report.atMost(
    "F11",
    "the server has let the connection go, and its functions' signals fired",
    result.server,
    3_000,
    ms,
  );
  report.equal("F11", "after it is back: calls executed twice, wrong, settled twice", result.twice, "0, 0, 0");
  report.row("F11", "after it is back: the next call", "succeeds", `${result.back}`, result.back === 3);
  await child.end();
}

/** F12: packets lost in one direction or at random, and resets that nobody sent, while four clients call and read. */
async function lossy(report) {
  const why = noNetwork("nft", "add table inet faulty");
  if (why !== undefined) {
    report.skipped("F12", "one-way loss, 20 % loss, injected resets", `${why} (Debian's package nftables)`);
    return;
  }
  await Promise.all(
    ["s2c dropped", "c2s dropped", "20 % lost", "resets injected"].map(async (fault) => {
      const child = await Child.start("./lossy.mjs", { fault }, { prefix: ["unshare", "-n"] });
      const result = await child.ask("run");
      await child.end();
      const { streams } = result;
      if (fault.endsWith("dropped")) {
        report.atMost("F12", `${fault}: the client's calls have failed (keepalive 1 s + 1 s)`, result.here, 3_000, ms);
        report.atMost("F12", `${fault}: the server's functions know`, result.there, 3_000, ms);
      } else
        report.atLeast("F12", `${fault}: calls that succeed meanwhile, a second`, Math.round(result.during / 5), 1);
      report.equal(
        "F12",
        `${fault}, of ${result.calls} calls (${result.errors}): open, settled twice, late, wrong; run twice, though said not to, not though answered; streams with a gap or a false end (${streams.whole} whole, ${streams.cut} cut)`,
        result.broken.join(", "),
        "0, 0, 0, 0, 0, 0, 0, 0",
      );
      report.atMost("F12", `${fault}: every client calls again after it`, result.back, 3_000, ms);
      report.equal("F12", `${fault}: left at the server once they have stopped`, result.rest, "nothing");
    }),
  );
}

/** Faults of the wire: F8, F11 to F14. */
export async function wire(report) {
  await cutting(report);
  await mangled(report, false);
  await mangled(report, true);
  await everyByte(report);
  await halfOpen(report);
  await lossy(report);
}
