import { Client } from "@rap/client";
import { Child } from "../faults/child.mjs";
import { FaultyProxy } from "../faults/proxy.mjs";
import { random } from "../faults/random.mjs";
import { mib, ms } from "../faults/report.mjs";
import { LEAK, Ledger, pause, token, until } from "../faults/token.mjs";
import { snapshot } from "./memory.mjs";

const SERVERS = 3;
const CLIENTS = 20;
/** Of each client: 100 000 a minute of all of them, and a tenth more. */
const CALLS_PER_SECOND = 92;
const DEADLINE = 2_000;
/** After a fault is over its clients have so long to find their way back. */
const RECOVERY = 500;

/** One server behind its proxy; whatever is done to it, it comes back at the same place. */
class Place {
  executions = [];

  static async make() {
    const place = new Place();
    place.server = await Child.start("./server.mjs", { forever: true, drainTimeout: 5_000 });
    place.port = place.server.hello.port;
    place.proxy = await FaultyProxy.to(place.port);
    return place;
  }

  async kill() {
    this.executions.push(...(await this.server.ask("executions")));
    await this.server.end();
    await this.#restart();
  }

  async restart() {
    this.server.kill("SIGTERM");
    await this.server.exit;
    this.executions.push(...(this.server.last?.executions ?? []));
    await this.#restart();
  }

  async stop(time) {
    this.server.kill("SIGSTOP");
    await pause(time);
    this.server.kill("SIGCONT");
  }

  cut() {
    this.proxy.cut();
  }

  async refuse(time) {
    this.proxy.refusing = true;
    this.proxy.cut();
    await pause(time);
    this.proxy.refusing = false;
  }

  async #restart() {
    this.server = await Child.start("./server.mjs", { forever: true, drainTimeout: 5_000, port: this.port });
  }
}

/** A client that calls all the time, and reads one stream after the other. */
class Caller {
  ledger = new Ledger();
  /** Start, end and success of each call. */
  history = [];
  brokenStreams = 0;
  wholeStreams = 0;
  oddStreams = 0;
  #running = true;

  constructor(client, id, numbers) {
    this.client = client;
    this.id = id;
    this.numbers = numbers;
    this.echo = client.register("echo", { timeout: DEADLINE });
    this.items = client.registerGen("items");
    this.loops = [this.#calls(), this.#streams()];
  }

  stop() {
    this.#running = false;
  }

  async #calls() {
    const open = new Set();
    const step = 1_000 / CALLS_PER_SECOND;
    // However late the pauses are, so many calls are due.
    for (let due = performance.now(); this.#running; await pause(step)) {
      for (; due < performance.now(); due += step) {
        const call = this.#call(performance.now()).then(() => open.delete(call));
        open.add(call);
      }
    }
    await Promise.all(open);
  }

  async #call(began) {
    const ok = this.ledger.ok;
    const asked = token(this.id, this.numbers.next++);
    let succeeded = false;
    await this.ledger.call(
      (value) =>
        this.echo(value).then((result) => {
          succeeded = true;
          return result;
        }),
      asked,
      DEADLINE,
    );
    this.history.push({ began, ended: performance.now(), ok: succeeded && this.ledger.ok > ok });
  }

  async #streams() {
    while (this.#running) {
      let next = 0;
      try {
        for await (const { caller, i } of this.items.with({ timeout: 10_000 })(this.id, 50, 10)) {
          if (caller !== this.id || i !== next++) this.oddStreams++;
        }
        if (next !== 50) this.oddStreams++;
        this.wholeStreams++;
      } catch (error) {
        this.brokenStreams++;
        if (LEAK.test(error.message)) this.ledger.leaks++;
        await pause(20);
      }
    }
  }
}

/** What the callers noted, against what the servers did. */
async function books(report, name, seconds, { callers, places, faults, counts }) {
  const sum = (pick) => callers.reduce((total, caller) => total + pick(caller), 0);
  const executions = places.flatMap((place) => place.executions);
  for (const { server } of places) executions.push(...(await server.ask("executions")));
  const times = new Map();
  for (const [n, count] of executions) times.set(n, (times.get(n) ?? 0) + count);
  const repeated = [...times.values()].filter((count) => count > 1).length;
  const ranThoughNever = sum(({ ledger }) => [...ledger.neverRan].filter((n) => times.has(n)).length);
  const calls = sum(({ ledger }) => ledger.calls);
  const outside = callers
    .flatMap(({ history }) => history)
    .filter(({ began, ended }) => !faults.some((f) => began < f.ended + RECOVERY && ended > f.began));
  const all = callers.flatMap(({ history }) => history);
  const share = (list) => (100 * list.filter(({ ok }) => ok).length) / Math.max(1, list.length);
  const errors = new Map();
  for (const { ledger } of callers)
    for (const [code, count] of ledger.errors) errors.set(code, (errors.get(code) ?? 0) + count);
  report.row(
    "",
    `${name}: faults`,
    "",
    [...counts].map(([kind, count]) => `${count} ${kind}`).join(", "),
    faults.length > 0,
  );
  report.atLeast("", `${name}: calls`, calls, Math.round((100_000 * seconds) / 60));
  report.row(
    "",
    `${name}: errors`,
    "",
    [...errors].map(([code, count]) => `${count} ${code}`).join(", ") || "none",
    true,
  );
  report.equal(
    "I1",
    `${name}: calls that never settled, settled twice, or late`,
    [sum(({ ledger }) => ledger.open), sum(({ ledger }) => ledger.twice), sum(({ ledger }) => ledger.late)].join(", "),
    "0, 0, 0",
  );
  report.equal(
    "I2",
    `${name}: answers of another call`,
    sum(({ ledger }) => ledger.wrong),
    0,
  );
  report.equal(
    "I3",
    `${name}: calls executed twice; executed though said not to`,
    `${repeated}, ${ranThoughNever}`,
    "0, 0",
  );
  report.equal(
    "I4",
    `${name}: streams with a gap, a repetition or a false end (${sum((c) => c.wholeStreams)} whole, ${sum((c) => c.brokenStreams)} broken with an error)`,
    sum((c) => c.oddStreams),
    0,
  );
  report.equal(
    "I8",
    `${name}: errors with a path or a stack`,
    sum(({ ledger }) => ledger.leaks),
    0,
  );
  report.atLeast(
    "",
    `${name}: answered of the ${outside.length} calls outside faults`,
    Number(share(outside).toFixed(3)),
    99.9,
    (n) => `${n} %`,
  );
  report.row("", `${name}: answered of all calls`, "", `${share(all).toFixed(2)} %`, true);
}

/** Three servers, twenty clients, and a fault every half to two seconds; then a look at the books. */
export async function chaos(report, seconds, seed) {
  const { chance, upTo } = random(seed);
  const name = `seed ${seed}`;
  const places = await Promise.all(Array.from({ length: SERVERS }, () => Place.make()));
  const target = places.map(({ proxy }) => proxy.address);
  const options = {
    target,
    reconnect: { initial: 50, max: 500 },
    keepalive: { interval: 500, timeout: 500 },
    limits: { reconnectResetAfter: 1_000 },
  };
  const before = await snapshot();
  const numbers = { next: 0 };
  const callers = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, i) => new Caller(await new Client(options).start(), `c${i}`, numbers)),
  );
  const faults = [];
  const counts = new Map();
  const busy = new Set();
  const end = performance.now() + seconds * 1_000;
  const inject = async (place) => {
    const kinds = {
      kill: () => place.kill(),
      restart: () => place.restart(),
      stop: () => place.stop(200 + upTo(1_000)),
      cut: () => place.cut(),
      refuse: () => place.refuse(200 + upTo(500)),
    };
    const kind = Object.keys(kinds)[upTo(5)];
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const fault = { began: performance.now(), ended: Infinity };
    faults.push(fault);
    busy.add(place);
    await kinds[kind]();
    busy.delete(place);
    fault.ended = performance.now();
  };
  while (performance.now() < end) {
    await pause(500 + chance() * 1_500);
    // One server at a time: with all of them down there is nobody to be available.
    if (busy.size === 0) void inject(places[upTo(SERVERS)]);
  }
  await until(() => busy.size === 0, 10_000);
  const last = performance.now();
  const recovered = await until(() => callers.every(({ client }) => client.stats().connections === SERVERS), 10_000);
  const recovery = performance.now() - last;
  await pause(500);
  for (const caller of callers) caller.stop();
  let ended = false;
  const loops = Promise.all(callers.flatMap((caller) => caller.loops));
  void loops.then(() => {
    ended = true;
  });
  await until(() => ended, 15_000);
  await books(report, name, seconds, { callers, places, faults, counts });
  report.row(
    "",
    `${name}: all connections are back after the last fault`,
    "≤ 3 s",
    recovered ? ms(recovery) : "no",
    recovered && recovery <= 3_000,
  );
  const idle = await until(
    () => callers.every(({ client }) => client.stats().inFlight + client.stats().waiting === 0),
    2_000,
  );
  const served = await Promise.all(
    places.map(({ server }) =>
      until(async () => {
        const { inFlight, generators } = await server.ask("stats");
        return inFlight + generators === 0;
      }, 2_000),
    ),
  );
  const stats = await Promise.all(places.map(({ server }) => server.ask("stats")));
  const warnings = stats.flatMap((each) => each.warnings);
  report.equal(
    "I5",
    `${name}: clients and servers without a call after 2 s; warnings`,
    `${idle}, ${served.every(Boolean)}, ${warnings.length}`,
    "true, true, 0",
  );
  report.equal(
    "I7",
    `${name}: generators of streams that were cut or left, not at their finally`,
    stats.reduce((total, { generators }) => total + generators, 0),
    0,
  );
  report.skipped(
    "I9",
    `${name}: limits hold`,
    "the storm is far below every limit: limits*.test.ts and F4 to F6 go to each of them",
  );
  await Promise.all(callers.map(({ client }) => client.stop()));
  for (const { proxy } of places) proxy.cut();
  await pause(200);
  callers.length = 0;
  const after = await snapshot();
  report.atMost(
    "I5",
    `${name}: fds, handles, timers, listeners more than before`,
    Math.max(
      after.fds - before.fds,
      after.resources - before.resources,
      after.timers - before.timers,
      after.listeners - before.listeners,
    ),
    0,
  );
  report.atMost(
    "I6",
    `${name}: heap of the clients' process more than before`,
    Math.max(0, after.heap - before.heap),
    20 * 1024 * 1024,
    mib,
  );
  const loop = Math.max(
    ...(await Promise.all(places.map(({ server }) => server.ask("stats")))).map(({ loopP99 }) => loopP99),
  );
  report.atMost("I10", `${name}: the servers' event loop delay, p99`, loop, 100, ms);
  await Promise.all(
    places.map(async ({ server, proxy }) => {
      await server.end();
      await proxy.close();
    }),
  );
}
