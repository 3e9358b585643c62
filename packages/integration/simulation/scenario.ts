import type { Connection } from "@rap/transport";
import { spares } from "../../transport/src/outbox";
import type { Point } from "./buggify";
import { Chance } from "./chance";
import { check } from "./checker";
import { type FaultCounts, Faults } from "./faults";
import { History, type Violation } from "./history";
import { Network } from "./network";
import { ClientParty, ServerParty, type World } from "./parties";
import { CLIENTS, HEALED, NOTICING, PROBING, planOf, RESTING, SERVERS, SETTLING, STOPPING, type Weather } from "./plan";
import { Reconnects } from "./reconnects";
import { Trace } from "./trace";
import { VirtualTime } from "./virtual-time";

/** What became of one seed. */
export interface Report {
  readonly seed: number;
  readonly weather: Weather;
  /** What was common in it that is rare. */
  readonly points: readonly Point[];
  /** The same for the same seed, and for no other. */
  readonly hash: string;
  readonly calls: number;
  readonly failed: number;
  readonly events: number;
  readonly faults: FaultCounts;
  readonly violations: readonly Violation[];
  /** What happened, line by line, if it was asked for. */
  readonly trace: readonly string[] | undefined;
}

/** Lets five clients call three servers for some virtual seconds, in the weather that the seed makes. */
export async function runScenario(seed: number, options: { trace?: boolean } = {}): Promise<Report> {
  const chance = new Chance(seed);
  const plan = planOf(chance);
  const trace = new Trace(options.trace);
  const time = new VirtualTime(trace);
  const history = new History(plan.processing !== "none");
  const network = new Network(time, trace, chance.fork(), plan.rarities.socketBytes);
  const world: World = { time, trace, chance, network, history, ...plan };
  const restore = [time.install(), watchProcess(history)];
  // Where writes are cut must not depend on what others have left of the memory that all connections write into.
  spares.length = 0;
  try {
    const servers = Array.from({ length: SERVERS }, (_, i) => new ServerParty(world, `s${i + 1}`));
    for (const server of servers) await server.start();
    const addresses = servers.map(({ address }) => address);
    const clients = Array.from({ length: CLIENTS }, (_, i) => new ClientParty(world, `c${i + 1}`, addresses));
    const reconnects = new Reconnects(world, clients);
    clients.forEach(({ client, caller }, i) => {
      time.after(0, () => void client.start().catch((error) => history.violation("I1", `no start: ${String(error)}`)));
      caller.plan(plan.clients[i]!.calls, plan.clients[i]!.sessions);
    });
    const faults = new Faults(world, servers, clients);
    if (plan.weather === "storm") faults.storm();
    if (plan.weather === "rolling") faults.rolling();

    const isAlive = (name: string) => clients.some(({ machine }) => machine.name === name && machine.alive);
    const isOver = () => faults.over && history.isOver(isAlive);
    await time.run(HEALED);
    await time.run(SETTLING, isOver);
    probe(clients, time);
    await time.run(PROBING, isOver);
    await time.run(
      plan.weather === "storm" ? NOTICING : RESTING,
      everyTenth(() => checkRest(clients, servers).length === 0),
    );
    const calls = check(plan, history, isAlive);
    const rest = checkRest(clients, servers);
    reconnects.stop();
    const left = await stop(time, clients, servers);
    network.bury();
    return {
      seed,
      weather: plan.weather,
      points: plan.points,
      hash: trace.hash,
      calls: history.calls.length,
      failed: history.calls.filter(({ error }) => error !== undefined).length,
      events: time.events,
      faults: faults.counts,
      violations: [...calls, ...rest, ...left],
      trace: trace.lines,
    };
  } finally {
    for (const undo of restore) undo();
  }
}

/** What takes a while to tell is not asked after every event. */
function everyTenth(condition: () => boolean): () => boolean {
  let asked = 0;
  return () => ++asked % 10 === 0 && condition();
}

/** Once all faults are over, every client can call again. */
function probe(clients: readonly ClientParty[], time: VirtualTime): void {
  for (const { machine, caller } of clients) {
    if (!machine.alive) continue;
    const nothing = { cancelAfter: undefined, leaveAfter: undefined, failAfter: undefined, stubborn: false };
    const plan = { kind: "unary", items: 1, work: 0, pace: 0, bytes: 8, timeout: PROBING, waitForReady: true } as const;
    void caller.call({ ...plan, ...nothing, id: `${machine.name}.probe`, at: time.now() });
  }
}

/** I5: nobody waits for anything any more, and nothing that was begun is left. */
function checkRest(clients: readonly ClientParty[], servers: readonly ServerParty[]): Violation[] {
  const left: string[] = [];
  const expectNone = (whose: string, counts: Record<string, number>) => {
    for (const [what, count] of Object.entries(counts)) if (count !== 0) left.push(`${whose}: ${count} ${what}`);
  };
  for (const { machine, client, caller, wrapping } of clients) {
    if (!machine.alive) continue;
    const entered = wrapping?.entered ?? 0;
    const { sessions } = caller;
    const { inFlight, waiting, timers, connections } = client.stats();
    const unwatched = timers - connections;
    expectNone(machine.name, { inFlight, waiting, unwatched, entered, sessions, sources: caller.sources });
  }
  for (const { machine, server, wrapping } of servers) {
    const entered = wrapping?.entered ?? 0;
    const { inFlight, timers, connections, handshakes } = server.stats();
    const connected = server.connections().map((each) => (each as unknown as { wire: Connection }).wire);
    const wires = connected.map((wire) => wire.stats());
    const sessions = connected.reduce((sum, { holds }) => sum + holds, 0);
    const streams = wires.reduce((sum, wire) => sum + wire.streams, 0);
    const waitingForCredit = wires.reduce((sum, wire) => sum + wire.waitingForCredit, 0);
    expectNone(machine.name, {
      inFlight,
      unwatched: timers - connections,
      handshakes,
      streams,
      entered,
      sessions,
      waitingForCredit,
    });
  }
  return left.map((what) => ({ invariant: "I5", what }));
}

/** Stops everything. What then still has a timer has forgotten something. */
async function stop(
  time: VirtualTime,
  clients: readonly ClientParty[],
  servers: readonly ServerParty[],
): Promise<Violation[]> {
  const found: Violation[] = [];
  const parties = [
    ...clients.map(({ machine, client }) => ({ machine, stop: () => client.stop({ graceMs: 500 }) })),
    ...servers.map(({ machine, server }) => ({ machine, stop: () => server.shutdown({ graceMs: 500 }) })),
  ].filter(({ machine }) => machine.alive);
  const running = new Set(parties.map(({ machine }) => machine.name));
  for (const { machine, stop } of parties) void stop().then(() => running.delete(machine.name));
  await time.run(STOPPING, () => running.size === 0 && parties.every(({ machine }) => machine.clock.timers === 0));
  for (const name of running) found.push({ invariant: "I5", what: `${name} does not stop` });
  for (const { machine } of parties) {
    const { timers } = machine.clock;
    if (timers > 0) found.push({ invariant: "I5", what: `${machine.name} has ${timers} timers after it has stopped` });
  }
  return found;
}

/** I5: no promise is rejected unheard, and nobody is warned. */
function watchProcess(history: History): () => void {
  const onRejection = (error: unknown) =>
    history.violation("I5", `unhandled rejection: ${String((error as Error)?.stack ?? error)}`);
  const onWarning = (warning: Error) => history.violation("I5", `warning: ${warning.message}`);
  process.on("unhandledRejection", onRejection);
  process.on("warning", onWarning);
  return () => {
    process.off("unhandledRejection", onRejection);
    process.off("warning", onWarning);
  };
}
