import assert from "node:assert/strict";
import { type Host, PrivateFunctions, type ProcessedCall, type Processor } from "@rap/core";
import { type Clock, RapError, systemClock } from "@rap/protocol";
import { Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

export interface CallCounterOptions {
  /** Milliseconds from which on a call is slow, and a server's log has a warning. Default 1 000. */
  slow?: number;
}

/** What has been counted of one function. */
export interface CallCount {
  calls: number;
  running: number;
  failed: number;
  slow: number;
}

/**
 * Counts calls by function, on a server those that come, on a client those that leave. A server has `counts` and
 * `setSlow` in the private group `CallCounter`.
 */
export class CallCounter implements Processor {
  readonly kind = "processor";
  readonly #counts = new Map<string, CallCount>();
  readonly #begins = new Map<ProcessedCall, number>();
  readonly #functions = new PrivateFunctions("CallCounter", {
    counts: () => this.counts(),
    setSlow: (ms: unknown) => {
      this.#slow = milliseconds(ms);
    },
  });
  #slow: number;
  #clock: Clock = systemClock;
  #host: Host | undefined;

  /** Throws INVALID_ARGUMENT for a `slow` that is no positive number. */
  constructor({ slow = 1_000 }: CallCounterOptions = {}) {
    this.#slow = milliseconds(slow);
  }

  /** The counts until now, by `group/name`. */
  counts(): Record<string, CallCount> {
    return Object.fromEntries(this.#counts);
  }

  /** A client has no host. */
  onStart(host?: Host): void {
    if (host === undefined) return;
    this.#host = host;
    this.#clock = host.clock;
    this.#functions.register(host);
  }

  onContextEnter(call: ProcessedCall): void {
    const count = this.#countOf(call);
    count.calls++;
    count.running++;
    this.#begins.set(call, this.#clock.now());
  }

  onContextExit(call: ProcessedCall, error?: unknown): void {
    const count = this.#countOf(call);
    const ms = Math.round(this.#clock.now() - (this.#begins.get(call) ?? 0));
    this.#begins.delete(call);
    count.running--;
    if (error !== undefined) count.failed++;
    if (ms < this.#slow) return;
    count.slow++;
    this.#host?.logger.warn({ method: targetOf(call), ms }, "a slow call");
  }

  #countOf(call: ProcessedCall): CallCount {
    const target = targetOf(call);
    const count = this.#counts.get(target) ?? { calls: 0, running: 0, failed: 0, slow: 0 };
    this.#counts.set(target, count);
    return count;
  }
}

function targetOf({ group, method }: ProcessedCall): string {
  return `${group}/${method}`;
}

function milliseconds(value: unknown): number {
  if (typeof value === "number" && value > 0) return value;
  throw new RapError("INVALID_ARGUMENT", `slow must be a positive number of milliseconds, not ${String(value)}`);
}

const double = (n: number): number => 2 * n;
async function* count(n: number): AsyncGenerator<number> {
  for (let i = 0; i < n; i++) yield i;
}

export async function main(): Promise<void> {
  const server = new Server().loadProcessor([new CallCounter({ slow: 500 })]).register({ double, count });
  await using pair = await createTestPair(server);
  const { client } = pair;
  assert.equal(await client.register<typeof double>("double")(21), 42);
  for await (const item of client.registerGen<typeof count>("count")(1_000_000)) if (item === 3) break;

  // The test pair is on this machine, so the private functions are there for it.
  type Counter = { setSlow(ms: number): void; counts(): Record<string, CallCount> };
  const counter = client.service<Counter>("CallCounter");
  await counter.setSlow(250);
  const counts = await counter.counts();
  assert.deepEqual(counts["default/double"], { calls: 1, running: 0, failed: 0, slow: 0 });
  assert.deepEqual(counts["default/count"], { calls: 1, running: 0, failed: 1, slow: 0 });
  await assert.rejects(async () => counter.setSlow(-1), { code: "INVALID_ARGUMENT" });
}
