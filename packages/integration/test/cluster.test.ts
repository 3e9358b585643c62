import cluster, { type Address, type Worker } from "node:cluster";
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import { Client } from "@rap/client";

cluster.setupPrimary({
  exec: join(__dirname, "cluster-worker.ts"),
  execArgv: ["--require", join(__dirname, "../scripts/sources.js")],
  args: [],
});

const workers = new Set<Worker>();
const clients: Client[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.stop()));
  await Promise.all([...workers].map((worker) => ended(worker, "SIGKILL")));
});

async function start(): Promise<number> {
  const worker = cluster.fork();
  workers.add(worker);
  worker.once("exit", () => workers.delete(worker));
  const [{ port }] = (await once(worker, "listening")) as [Address];
  return port;
}

/** The exit code of a worker that is told to end, null when a signal ended it. */
async function ended(worker: Worker, signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
  const exit = once(worker, "exit");
  worker.process.kill(signal);
  const [code] = (await exit) as [number | null];
  return code;
}

async function connect(port: number, count: number): Promise<Client[]> {
  const started = await Promise.all(
    Array.from({ length: count }, () => new Client().addConn("127.0.0.1", port).start()),
  );
  clients.push(...started);
  return started;
}

type Whoami = (ms: number, id: number) => Promise<{ pid: number; id: number }>;

test("a rolling restart of all workers, twice, loses and repeats no call and no item of a stream", async () => {
  const [port] = await Promise.all([start(), start()]);
  const first = [...workers].map(({ process }) => process.pid);
  const all = await connect(port, 6);
  let restarting = true;
  let calls = 0;
  const pids = new Set<number>();
  const load = all.flatMap((client) => {
    const whoami = client.register<Whoami>("whoami");
    const count = client.registerGen<(to: number) => AsyncGenerator<number>>("count");
    const caller = async () => {
      while (restarting) {
        const id = ++calls;
        const answer = await whoami(id % 5, id);
        expect(answer.id).toBe(id);
        pids.add(answer.pid);
      }
    };
    const reader = async () => {
      while (restarting) {
        let next = 0;
        for await (const n of count(20)) expect(n).toBe(next++);
        expect(next).toBe(20);
      }
    };
    return [caller(), caller(), caller(), reader()];
  });
  const codes: (number | null)[] = [];
  try {
    for (let round = 0; round < 2; round++) {
      for (const old of [...workers]) {
        await start();
        codes.push(await ended(old, "SIGTERM"));
      }
    }
  } finally {
    restarting = false;
  }
  // Every call of it has its own answer, or this rejects.
  await Promise.all(load);
  expect(codes).toEqual([0, 0, 0, 0]);
  expect(pids.size).toBeGreaterThanOrEqual(3);
  expect([...workers].some(({ process }) => first.includes(process.pid))).toBe(false);
  expect(calls).toBeGreaterThan(100);
}, 60_000);

test("connections are spread over the workers, and a worker that dies takes only its own calls with it", async () => {
  const [port] = await Promise.all([start(), start()]);
  const [victim] = [...workers] as [Worker];
  const all = await connect(port, 6);
  const functions = all.map((client) => client.register<Whoami>("whoami"));
  const answers = await Promise.all(functions.map((whoami) => whoami(0, 1)));
  expect(new Set(answers.map(({ pid }) => pid)).size).toBe(2);

  const running = functions.map((whoami) => whoami(1_000, 2));
  const settled = Promise.allSettled(running);
  await ended(victim, "SIGKILL");
  const outcomes = await settled;
  for (const [index, outcome] of outcomes.entries()) {
    if (answers[index]!.pid === victim.process.pid) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE", maybeExecuted: true } });
    } else {
      expect(outcome).toMatchObject({ status: "fulfilled", value: { id: 2 } });
    }
  }
  // Who was cut off connects to one that lives.
  const again = await Promise.all(functions.map((whoami) => whoami(0, 3)));
  expect(again.every(({ pid }) => pid !== victim.process.pid)).toBe(true);
}, 60_000);
