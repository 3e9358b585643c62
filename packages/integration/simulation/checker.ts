import { RapError } from "@rap/client";
import {
  type CallRecord,
  clientOf,
  type History,
  isItem,
  type RunRecord,
  type SessionRecord,
  type Violation,
} from "./history";
import { DEFAULT_TIMEOUT, type ScenarioPlan, type Weather } from "./plan";

/** Milliseconds after its deadline by which a call has settled. */
const LATE = 1_000;
/** Milliseconds by which a server knows that a caller has left: where all is well, and through any fault. */
const HEARD: Record<Weather, number> = { calm: 500, rolling: 500, storm: 12_000 };
/** What no error may tell another machine: a stack, a path, or what a function threw that is no RapError. */
const LEAK = /\n\s+at |[\\/](packages|node_modules)[\\/]|\.[jt]s:\d|something private/;

/** Bytes of a message beside its body, at most. */
const OVERHEAD = 300;
/** What becomes of an error that a processor throws. */
const REFUSALS: ReadonlySet<string> = new Set(["FAILED_PRECONDITION", "UNKNOWN", "INTERNAL"]);

/** Tells from a whole history which promises were not kept. */
export function check(scenario: ScenarioPlan, history: History, isAlive: (client: string) => boolean): Violation[] {
  const { weather } = scenario;
  const runs = new Map<string, RunRecord[]>();
  for (const run of history.runs) runs.set(run.id, [...(runs.get(run.id) ?? []), run]);
  const found: Violation[] = [...history.violations];
  const known = new Set(history.calls.map((call) => call.plan.id));
  for (const run of history.runs)
    if (!known.has(run.id)) found.push({ invariant: "I2", what: `${run.id} was not called` });
  for (const call of history.calls) {
    const { plan } = call;
    const say = (invariant: string, what: string) =>
      found.push({ invariant, what: `${plan.id} (${plan.kind}): ${what}` });
    const mine = runs.get(plan.id) ?? [];
    if (isAlive(clientOf(plan))) {
      checkSettling(call, say);
      const refused = history.refused.has(plan.id);
      checkValues(call, mine, refused, say);
      checkError(call, mine, scenario, refused, say);
    }
    checkRuns(call, mine, weather, say);
    checkCallOfSession(call, mine, history.refused.has(plan.id), say);
  }
  for (const session of history.sessions) {
    const say = (what: string) => found.push({ invariant: "I15", what: `session ${session.plan.id}: ${what}` });
    const mine = history.calls
      .filter((call) => call.session === session)
      .flatMap(({ plan }) => runs.get(plan.id) ?? []);
    checkSession(session, mine, history, weather, say);
  }
  return found;
}

type Say = (invariant: string, what: string) => void;

/** I1: once, and in time. */
function checkSettling({ plan, settled, settledAt, startedAt }: CallRecord, say: Say): void {
  if (settled !== 1) return say("I1", `settled ${settled} times`);
  const single = plan.kind === "unary" || plan.kind === "collect";
  const timeout = plan.timeout ?? (single ? DEFAULT_TIMEOUT : undefined);
  if (timeout === undefined) return;
  // A slow reader still gets what had come.
  const most = startedAt + timeout + LATE + (single ? 0 : (plan.items + 1) * plan.pace);
  if (settledAt! > most) say("I1", `settled at ${settledAt}, after ${most}`);
}

/** I2 and I4: the caller's own values, in order, without a gap, and all of them where the end was clean. */
function checkValues(
  { plan, received, error, givenUpAt }: CallRecord,
  runs: readonly RunRecord[],
  refused: boolean,
  say: Say,
): void {
  const single = plan.kind === "unary" || plan.kind === "collect";
  const first = plan.kind === "collect" ? plan.items : 0;
  received.forEach((item, n) => {
    if (!isItem(item, plan.id, first + n, plan.bytes)) say(single ? "I2" : "I4", `item ${n} is ${idOf(item)}`);
  });
  const given = Math.max(0, ...runs.map((run) => run.given));
  if (received.length > given) say("I4", `got ${received.length} items of ${given}`);
  if (error !== undefined || (givenUpAt !== undefined && !single)) return;
  const all = single ? 1 : plan.items;
  if (received.length !== all) say("I4", `ended cleanly after ${received.length} of ${all}`);
  if (plan.failAfter !== undefined) say("I4", "ended cleanly though the function failed");
  if (refused) say("I14", "ended cleanly though a processor refused a message");
  if (runs.length !== 1 || runs[0]?.completed !== true) say("I3", `succeeded with ${runs.length} runs`);
}

/** I3, I8 and I10: an error says what is true, tells no secrets, and where nothing is broken there is none. */
function checkError(
  { plan, session, error, givenUpAt, settledAt }: CallRecord,
  runs: readonly RunRecord[],
  { weather, limits, rarities }: ScenarioPlan,
  refused: boolean,
  say: Say,
): void {
  if (error === undefined) return;
  if (!RapError.is(error)) return say("I8", `failed with ${String((error as Error)?.stack ?? error)}`);
  if (LEAK.test(JSON.stringify(error))) say("I8", `an error tells too much: ${error.message}`);
  if (!error.maybeExecuted && runs.length > 0) say("I3", `ran, though ${error.code}: ${error.message}`);
  if (weather === "storm" || givenUpAt !== undefined) return;
  if (refused && REFUSALS.has(error.code)) return;
  // A session that its client closes takes no calls any more, nor one whose server is about to go.
  if (session?.closedAt !== undefined && session.closedAt <= settledAt! && error.code === "FAILED_PRECONDITION") return;
  const mayLeave = weather === "rolling" || rarities.shortLived;
  if (session !== undefined && mayLeave && error.code === "UNAVAILABLE" && !error.maybeExecuted) return;
  // What is over a limit fails, and alone.
  const large = plan.bytes + OVERHEAD > limits.maxMessageBytes;
  if (error.code === "RESOURCE_EXHAUSTED" && (large || /^\d+ calls wait already$/.test(error.message))) return;
  const ordered = plan.failAfter !== undefined && (error.code === "FAILED_PRECONDITION" || error.origin === "remote");
  if (!ordered) say("I12", `failed in ${weather} weather: ${error.code}: ${error.message}`);
}

/** I3, I4 and I7: a function runs once at most, gets what was sent, and ends when nobody waits for it. */
function checkRuns(call: CallRecord, runs: readonly RunRecord[], weather: Weather, say: Say): void {
  const { plan, givenUpAt, sent, sentEnd } = call;
  if (runs.length > 1) say("I3", `ran ${runs.length} times`);
  for (const run of runs) {
    run.taken.forEach((item, n) => {
      if (!isItem(item, plan.id, n, plan.bytes)) say("I4", `the function got ${idOf(item)} as item ${n}`);
    });
    if (plan.kind !== "unary" && run.taken.length > sent) say("I4", `the function got ${run.taken.length} of ${sent}`);
    if (!run.alive()) continue;
    const all = run.taken.length === plan.items && sentEnd;
    if (run.sawEnd && !all && givenUpAt === undefined) say("I4", `the function saw an end after ${run.taken.length}`);
    if (run.endedAt === undefined) say("I7", `the function has not ended`);
    else if (givenUpAt !== undefined && run.abortedAt === undefined && run.endedAt > givenUpAt + HEARD[weather]) {
      say("I7", `was given up at ${givenUpAt}, and its function ran on to ${run.endedAt} without a signal`);
    }
  }
}

/** I15: a call of a session is the session's on the server, too, and no other is; none is made after its end. */
function checkCallOfSession(
  { plan, session, error, settledAt }: CallRecord,
  runs: readonly RunRecord[],
  refused: boolean,
  say: Say,
): void {
  for (const run of runs) {
    const own = session === undefined && plan.kind !== "unary";
    if (!own && run.session !== session?.id) say("I15", `ran in session ${run.session}, not in ${session?.id}`);
  }
  if (session === undefined || settledAt === undefined) return;
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  if (message?.includes("no such session")) say("I15", `reached a server that does not know its session`);
  const late = plan.id === `${session.plan.id}.late`;
  const failed = (code === "FAILED_PRECONDITION" && runs.length === 0) || refused;
  if (late && !failed) say("I15", `was made after the session's end: ${String(error ?? "it succeeded")}`);
}

/** I15: all of a session's calls run on one connection; its server is told of its end once at most. */
function checkSession(
  { id, error, plan, givenUp }: SessionRecord,
  runs: readonly RunRecord[],
  { ended }: History,
  weather: Weather,
  say: (what: string) => void,
): void {
  const places = new Set(runs.map(({ server, connection }) => `${server} ${connection}`));
  if (places.size > 1) say(`its calls ran on ${[...places].join(" and ")}`);
  const ends = ended.filter((each) => each === id).length;
  if (id !== undefined && ends > 1) say(`its server was told of its end ${ends} times`);
  if (error === undefined || weather === "storm" || givenUp) return;
  if (!RapError.is(error) || error.code !== "RESOURCE_EXHAUSTED") say(`${plan.id} failed: ${String(error)}`);
}

function idOf(item: unknown): string {
  const { id, n } = (item ?? {}) as { id?: unknown; n?: unknown };
  return id === undefined ? String(item) : `item ${String(n)} of ${String(id)}`;
}
