import { expect, test } from "@jest/globals";
import { CLOCK } from "@rap/client";
import { context, createContainer, RapError, Server } from "@rap/server";
import { createTestPair, ManualClock, type TestPair } from "@rap/testing";
import fc from "fast-check";

/** A client and a server that a sequence of commands is tried on. */
interface Real {
  readonly pair: TestPair;
  readonly clock: ManualClock;
  /** Functions that run, by the number of their call. */
  readonly running: Map<number, { resolve(value: number): void; reject(error: RapError): void }>;
  readonly calls: RealCall[];
  /** How often each function ran. */
  readonly runs: Map<number, number>;
}

interface RealCall {
  readonly abort: AbortController;
  outcome: string | undefined;
  settled: number;
}

/** What a call ought to be: waiting for a connection, running, or over with that outcome. */
interface ModelCall {
  state: "waiting" | "running" | "over";
  outcome: string | undefined;
  readonly due: number;
}

interface Model {
  now: number;
  connected: boolean;
  readonly calls: ModelCall[];
}

type Command = fc.AsyncCommand<Model, Real>;

/** More than the backoff, so that whoever waits that long is connected again. */
const RECONNECT = 20;

class Call implements Command {
  constructor(readonly timeout: number) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    model.calls.push({
      state: model.connected ? "running" : "waiting",
      outcome: undefined,
      due: model.now + this.timeout,
    });
    const call: RealCall = { abort: new AbortController(), outcome: undefined, settled: 0 };
    const number = real.calls.push(call) - 1;
    const settle = (outcome: string) => {
      call.outcome = outcome;
      call.settled++;
    };
    real.pair.client.invokeByName("hold", [number], { timeout: this.timeout, signal: call.abort.signal }).then(
      (value) => settle(`value ${String(value)}`),
      (error: RapError) => settle(error.code),
    );
    await compare(model, real);
  }
  toString = () => `call(${this.timeout})`;
}

/** The function of a running call ends. */
class End implements Command {
  constructor(
    readonly which: number,
    readonly well: boolean,
  ) {}
  check = (model: Readonly<Model>) => model.calls.some(({ state }) => state === "running");
  async run(model: Model, real: Real): Promise<void> {
    const number = pick(model, this.which, ["running"]);
    over(model.calls[number]!, this.well ? `value ${number}` : "ABORTED");
    const function_ = real.running.get(number)!;
    if (this.well) function_.resolve(number);
    else function_.reject(new RapError("ABORTED", "no"));
    await compare(model, real);
  }
  toString = () => `end(${this.which}, ${this.well})`;
}

class Cancel implements Command {
  constructor(readonly which: number) {}
  check = (model: Readonly<Model>) => model.calls.some(({ state }) => state !== "over");
  async run(model: Model, real: Real): Promise<void> {
    const number = pick(model, this.which, ["running", "waiting"]);
    over(model.calls[number]!, "CANCELLED");
    real.calls[number]!.abort.abort();
    await compare(model, real);
  }
  toString = () => `cancel(${this.which})`;
}

/** Time goes by. */
class Pass implements Command {
  constructor(readonly ms: number) {}
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    // In small steps, as what is due meanwhile needs turns of the event loop between them.
    for (let left = this.ms; left > 0; left -= RECONNECT) {
      real.clock.advance(RECONNECT);
      await settle();
      model.now += RECONNECT;
      // A deadline is 4 ms late at most.
      for (const call of model.calls)
        if (call.state !== "over" && call.due + 4 <= model.now) over(call, "DEADLINE_EXCEEDED");
      if (!model.connected) {
        for (const call of model.calls) if (call.state === "waiting") call.state = "running";
        model.connected = true;
      }
    }
    await compare(model, real);
  }
  toString = () => `pass(${this.ms})`;
}

/** The connection is lost. */
class Cut implements Command {
  check = (model: Readonly<Model>) => model.connected;
  async run(model: Model, real: Real): Promise<void> {
    model.connected = false;
    for (const call of model.calls) if (call.state === "running") over(call, "UNAVAILABLE");
    real.pair.cut();
    await compare(model, real);
  }
  toString = () => "cut";
}

function over(call: ModelCall, outcome: string): void {
  call.state = "over";
  call.outcome = outcome;
}

function pick(model: Readonly<Model>, which: number, states: readonly ModelCall["state"][]): number {
  const numbers = model.calls.flatMap(({ state }, number) => (states.includes(state) ? [number] : []));
  return numbers[which % numbers.length]!;
}

/** I1, I3, I5 and I7: all calls are what the model says, and so many functions run. */
async function compare(model: Model, { pair, calls, running, runs }: Real): Promise<void> {
  await settle();
  expect(calls.map(({ outcome }) => outcome)).toEqual(model.calls.map(({ outcome }) => outcome));
  expect(calls.every(({ settled, outcome }) => settled === (outcome === undefined ? 0 : 1))).toBe(true);
  const numbers = model.calls.flatMap(({ state }, number) => (state === "running" ? [number] : []));
  expect([...running.keys()]).toEqual(numbers);
  expect([...runs.values()].every((count) => count === 1)).toBe(true);
  expect(pair.server.stats().inFlight).toBe(numbers.length);
  const { inFlight, waiting } = pair.client.stats();
  expect([inFlight, waiting]).toEqual([numbers.length, model.calls.filter(({ state }) => state === "waiting").length]);
}

/** Lets everything that is on its way arrive. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function begin(): Promise<Real> {
  const clock = new ManualClock();
  const running: Real["running"] = new Map();
  const runs = new Map<number, number>();
  const container = () => createContainer().register(CLOCK, { useValue: clock });
  const server = new Server({ container: container() }).register({
    hold: (number: number) =>
      new Promise<number>((resolve, reject) => {
        runs.set(number, (runs.get(number) ?? 0) + 1);
        running.set(number, { resolve, reject });
        context().signal.addEventListener("abort", () => reject(new RapError("CANCELLED", "heard")));
      }).finally(() => running.delete(number)),
  });
  const reconnect = { initial: 10, max: 10 };
  const pair = await createTestPair(server, { client: { container: container(), reconnect, keepalive: false } });
  return { pair, clock, running, runs, calls: [] };
}

const seed = Date.now() % 2 ** 31;

test(`calls are what a model of them says, whatever is called, ended, cancelled, cut and waited for (seed ${seed})`, async () => {
  const commands = fc.commands(
    [
      fc.constantFrom(30, 100, 1_000, 20_000).map((timeout) => new Call(timeout)),
      fc.constantFrom(30, 100, 1_000, 20_000).map((timeout) => new Call(timeout)),
      fc.tuple(fc.nat(9), fc.boolean()).map(([which, well]) => new End(which, well)),
      fc.nat(9).map((which) => new Cancel(which)),
      fc.constantFrom(20, 40, 100, 1_000).map((ms) => new Pass(ms)),
      fc.constant(new Cut()),
    ],
    { maxCommands: 25, size: "max" },
  );
  await fc.assert(
    fc.asyncProperty(commands, async (list) => {
      const real = await begin();
      try {
        await fc.asyncModelRun(() => ({ model: { now: 0, connected: true, calls: [] }, real }), list);
      } finally {
        for (const { reject } of real.running.values()) reject(new RapError("ABORTED", "the test is over"));
        const stopped = Promise.all([real.pair.client.stop({ graceMs: 0 }), real.pair.server.shutdown({ graceMs: 0 })]);
        await settle();
        real.clock.advance(60_000);
        await stopped;
      }
    }),
    { seed, numRuns: 250 },
  );
});
