import { Client } from "@rap/client";
import { Child } from "./child.mjs";
import { RawPeer } from "./raw-peer.mjs";
import { ms } from "./report.mjs";
import { Ledger, pause, token, until } from "./token.mjs";

const GRACE = 10_000;
const DEADLINE = 10_000;

/** Calls at a steady rate, whatever becomes of those before. */
class Load {
  ledger = new Ledger();
  #fn;
  #timer;
  #n = 0;

  constructor(client, perSecond) {
    this.#fn = client.register("echo", { timeout: DEADLINE });
    const step = 10;
    let due = performance.now();
    this.#timer = setInterval(() => {
      for (; due < performance.now(); due += step) {
        for (let i = 0; i < (perSecond * step) / 1_000; i++) {
          void this.ledger.call(this.#fn, token("load", this.#n++), DEADLINE);
        }
      }
    }, step);
  }

  async stop() {
    clearInterval(this.#timer);
    await until(() => this.ledger.open === 0, DEADLINE + 2_000);
    return this.ledger;
  }
}

/** A stream of so many items, which is whole or says so. */
export async function wholeStream(items, caller, count, gap) {
  let next = 0;
  for await (const { caller: whose, i } of items(caller, count, gap)) {
    if (whose !== caller || i !== next++) throw new Error("another's item, or a gap");
  }
  if (next !== count) throw new Error(`${next} items of ${count} and a clean end`);
}

const serve = (options) => Child.start("./server.mjs", { forever: true, drainTimeout: GRACE, ...options });

async function underLoad(report) {
  const servers = await Promise.all([serve(), serve()]);
  const client = await new Client({ target: servers.map(({ hello }) => hello.address) }).start();
  const items = client.registerGen("items");
  // 100 at each of the two.
  const streams = Promise.allSettled(Array.from({ length: 200 }, (_, i) => wholeStream(items, i, 120, 25)));
  const load = new Load(client, 5_000);
  await pause(1_000);
  const before = load.ledger.calls;
  const began = performance.now();
  servers[0].kill("SIGTERM");
  const [code] = await servers[0].exit;
  const took = performance.now() - began;
  const during = (load.ledger.calls - before) / (took / 1_000);
  await pause(1_000);
  const ledger = await load.stop();
  const ended = await streams;
  const broken = ended.filter(({ status }) => status === "rejected");
  const audit = ledger.audit([...servers[0].last.executions, ...(await servers[1].ask("executions"))]);
  report.atLeast("F21", "calls a second while a server of two stops", Math.round(during), 4_500);
  report.equal("F21", `calls that failed, of ${ledger.calls} (${ledger.errorText})`, ledger.failed + ledger.wrong, 0);
  report.equal("F21", `streams that broke, of 200 (${broken[0]?.reason ?? "none"})`, broken.length, 0);
  report.equal("F21", "calls executed twice, or not though they succeeded", audit.repeated + audit.succeededUnrun, 0);
  report.equal("F21", "exit code after SIGTERM", code, 0);
  report.atMost("F21", "from SIGTERM to the end of the process", took, GRACE + 2_000, ms);
  await client.stop();
  await servers[1].end();
}

async function secondSignal(report) {
  const server = await serve();
  const client = await new Client({ target: server.hello.address }).start();
  const hanging = client.invokeByName("stubborn", [60_000]).catch((error) => error);
  await until(async () => (await server.ask("stats")).inFlight === 1);
  const goaway = new Promise((resolve) => client.on("goaway", resolve));
  server.kill("SIGTERM");
  await goaway;
  const began = performance.now();
  server.kill("SIGTERM");
  const [, signal] = await server.exit;
  report.row(
    "F21",
    "a second SIGTERM ends the process at once",
    "by the signal, ≤ 500 ms",
    `${signal}, ${ms(performance.now() - began)}`,
    signal === "SIGTERM" && performance.now() - began < 500,
  );
  report.equal("F21", "its caller is told", (await hanging).code, "UNAVAILABLE");
  await client.stop({ graceMs: 0 });
}

/** A peer that wants all and reads nothing. */
async function deafPeer(report) {
  const grace = 2_000;
  // Limits of the server: the end comes after both, whose defaults are 30 s and 2 s.
  const abortGrace = 1_000;
  const server = await serve({ drainTimeout: grace, limits: { abortGrace } });
  const peer = await RawPeer.connect(server.hello.port);
  peer.greet();
  peer.call(1, "big", [65_536, 1e6], { shape: "server_stream" });
  peer.credit(1, 2 ** 30, 2 ** 30);
  peer.pause();
  await until(async () => (await server.ask("stats")).inFlight === 1);
  const began = performance.now();
  server.kill("SIGTERM");
  const [code] = await server.exit;
  const took = performance.now() - began;
  report.atMost(
    "F21",
    "a client that does not read: from SIGTERM to the end, with a grace of 2 s and an abortGrace of 1 s",
    took,
    grace + 2_000,
    ms,
  );
  report.equal("F21", "exit code when calls had to be aborted", code, 1);
  peer.destroy();
}

async function rollingRestart(report) {
  const rounds = 5;
  const servers = await Promise.all([serve(), serve(), serve()]);
  const ports = servers.map(({ hello }) => hello.port);
  const client = new Client({
    target: servers.map(({ hello }) => hello.address),
    reconnect: { initial: 50, max: 400 },
  });
  await client.start();
  const load = new Load(client, 1_000);
  const executions = [];
  const codes = new Set();
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < servers.length; i++) {
      servers[i].kill("SIGTERM");
      const [code] = await servers[i].exit;
      codes.add(code);
      executions.push(...servers[i].last.executions);
      servers[i] = await serve({ port: ports[i] });
      await until(() => client.stats().connections === servers.length, 5_000);
    }
  }
  const ledger = await load.stop();
  for (const server of servers) executions.push(...(await server.ask("executions")));
  const { repeated, succeededUnrun } = ledger.audit(executions);
  report.equal(
    "F21",
    `rolling restart of 3 servers, ${rounds} times: calls that failed, of ${ledger.calls} (${ledger.errorText})`,
    ledger.failed + ledger.wrong,
    0,
  );
  report.equal("F21", "calls executed twice, or not though they succeeded", repeated + succeededUnrun, 0);
  report.equal("F21", "exit codes", [...codes].join(), "0");
  await client.stop();
  await Promise.all(servers.map((server) => server.end()));
}

/** F21: a stop under load, and rolling restarts. */
export async function shutdown(report) {
  await underLoad(report);
  await secondSignal(report);
  await deafPeer(report);
  await rollingRestart(report);
}
