import { createHash } from "node:crypto";

/** An argument that says whose it is: caller, number, and bytes that follow from both. */
export function token(caller, n, size = 16) {
  return { caller, n, pad: Buffer.alloc(size, n & 0xff) };
}

/** What a function gives for it, and for no other. */
export function answerTo({ caller, n, pad }) {
  return { caller, n, sha: createHash("sha1").update(pad).digest("hex") };
}

/** Whether an answer is that to this token. */
export function isAnswer(answer, asked) {
  const expected = answerTo(asked);
  return answer?.caller === expected.caller && answer.n === expected.n && answer.sha === expected.sha;
}

/** What an error never says: a path, or a line of a stack. */
export const LEAK = /node_modules|\/packages\/|\.mjs|at .*:\d+:\d+/;

/** Makes calls and keeps the books: each settles once, with its own answer, in time. */
export class Ledger {
  calls = 0;
  ok = 0;
  wrong = 0;
  late = 0;
  open = 0;
  twice = 0;
  /** Errors with what they never say. */
  leaks = 0;
  errors = new Map();
  /** Numbers of calls that succeeded, and of those that provably never ran. */
  succeeded = new Set();
  neverRan = new Set();
  latencies = [];

  /** One call of `fn` with a token; never throws. */
  async call(fn, asked, deadline) {
    const started = performance.now();
    let settled = false;
    const settle = () => {
      if (settled) this.twice++;
      settled = true;
      this.open--;
      const took = performance.now() - started;
      this.latencies.push(took);
      if (took > deadline + 1_000) this.late++;
    };
    this.calls++;
    this.open++;
    try {
      const answer = await fn(asked);
      settle();
      if (isAnswer(answer, asked)) {
        this.ok++;
        this.succeeded.add(asked.n);
      } else this.wrong++;
    } catch (error) {
      settle();
      const { code = String(error), maybeExecuted } = error;
      if (LEAK.test(error.message)) this.leaks++;
      if (maybeExecuted === false) this.neverRan.add(asked.n);
      this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    }
  }

  get failed() {
    return [...this.errors.values()].reduce((sum, count) => sum + count, 0);
  }

  get errorText() {
    return this.errors.size === 0
      ? "no errors"
      : [...this.errors].map(([code, count]) => `${count} ${code}`).join(", ");
  }

  /** Against what the servers executed: `[n, times]`. */
  audit(executions) {
    const times = new Map();
    for (const [n, count] of executions) times.set(n, (times.get(n) ?? 0) + count);
    return {
      repeated: [...times.values()].filter((count) => count > 1).length,
      ranThoughNever: [...this.neverRan].filter((n) => times.has(n)).length,
      succeededUnrun: [...this.succeeded].filter((n) => !times.has(n)).length,
    };
  }
}

/** The value below which so many percent are. */
export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0;
}

export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Waits until `condition` holds; false when that takes longer than `time`. */
export async function until(condition, time = 10_000) {
  const end = performance.now() + time;
  while (!(await condition())) {
    if (performance.now() > end) return false;
    await pause(10);
  }
  return true;
}

/** Calls again and again, with a short pause, until `stop`; the latencies of those that were answered. */
export class Probe {
  latencies = [];
  failed = 0;
  #running = true;
  #loop;

  constructor(client, gap = 5) {
    this.#loop = this.#run(client, gap);
  }

  async stop() {
    this.#running = false;
    await this.#loop;
    return this;
  }

  p99() {
    return percentile(this.latencies, 99);
  }

  async #run(client, gap) {
    while (this.#running) {
      const started = performance.now();
      try {
        if ((await client.invokeByName("add", [1, 2], { timeout: 5_000 })) !== 3) this.failed++;
      } catch {
        this.failed++;
      }
      this.latencies.push(performance.now() - started);
      await pause(gap);
    }
  }
}
