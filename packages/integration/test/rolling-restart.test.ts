import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import type { Client } from "@rap/client";
import { dial, ends } from "./ends";
import { until } from "./links";
import { PlainSources } from "./plain-process";

jest.setTimeout(60_000);

let sources: PlainSources;
beforeAll(() => {
  sources = new PlainSources();
});
afterAll(() => sources.remove());

interface Process {
  readonly address: string;
  /** What it executed, once it has ended. */
  stop(): Promise<{ code: number; executed: number[] }>;
}

/** A server in a process of its own, which runs until SIGTERM and then says which calls it executed. */
async function serverProcess(port = 0): Promise<Process> {
  const child = sources.run(`
    const { Server } = require("@rap/server");
    const executed = [];
    const server = new Server();
    server.register({
      async echo(n) {
        executed.push(n);
        await new Promise((resolve) => setTimeout(resolve, n % 10));
        return n;
      },
      async *items(count) {
        for (let i = 0; i < count; i++) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          yield i;
        }
      },
    });
    server.listen({ port: ${port} }).then(async () => {
      console.log(server.address);
      await server.runForever();
      console.log(JSON.stringify(executed));
    });
  `);
  child.stderr.pipe(process.stderr);
  ends.push(async () => child.kill("SIGKILL"));
  const exit = once(child, "exit");
  const lines = createInterface(child.stdout);
  const [address] = (await once(lines, "line")) as [string];
  return {
    address,
    async stop() {
      const last = once(lines, "line");
      child.kill("SIGTERM");
      const [text] = (await last) as [string];
      const [code] = (await exit) as [number];
      return { code, executed: JSON.parse(text) as number[] };
    },
  };
}

/** Calls without a pause in so many lanes, each with a number of its own. */
class Load {
  readonly answered: number[] = [];
  readonly errors: unknown[] = [];
  #calls = 0;
  #running = true;
  readonly #lanes: Promise<unknown>;

  constructor(client: Client, lanes: number) {
    const lane = async () => {
      while (this.#running) {
        const n = this.#calls++;
        try {
          this.answered.push((await client.invokeByName("echo", [n])) as number);
        } catch (error) {
          this.errors.push(error);
        }
      }
    };
    this.#lanes = Promise.all(Array.from({ length: lanes }, lane));
  }

  /** Goes on until so many more calls were answered. */
  async more(calls: number): Promise<void> {
    const before = this.answered.length;
    await until(() => this.answered.length >= before + calls);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#lanes;
  }
}

const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

test("SIGTERM under load: calls and streams end well, new ones go to the other server, each runs once, and the exit code is 0", async () => {
  const servers = await Promise.all([serverProcess(), serverProcess()]);
  const client = await dial(servers.map(({ address }) => address));
  const items = client.registerGen<(count: number) => AsyncIterable<number>>("items");
  const streams = Promise.all(
    Array.from({ length: 20 }, async () => {
      const got: number[] = [];
      for await (const item of items(50)) got.push(item);
      return got;
    }),
  );
  const load = new Load(client, 50);
  await load.more(200);
  const stopped = await servers[0]!.stop();
  await load.more(200);
  await load.stop();
  const whole = Array.from({ length: 50 }, (_, i) => i);
  expect(await streams).toEqual(new Array(20).fill(whole));
  await client.stop();
  const other = await servers[1]!.stop();
  expect([load.errors, stopped.code, other.code]).toEqual([[], 0, 0]);
  expect(stopped.executed.length).toBeGreaterThan(0);
  expect(sorted([...stopped.executed, ...other.executed])).toEqual(sorted(load.answered));
});

test("three servers that are restarted one after the other under load lose no call and run none twice", async () => {
  const servers = await Promise.all([serverProcess(), serverProcess(), serverProcess()]);
  const target = servers.map(({ address }) => address);
  const client = await dial(target, { reconnect: { initial: 20, max: 100 } });
  let reconnects = 0;
  client.on("reconnect", () => reconnects++);
  const load = new Load(client, 30);
  await load.more(100);
  const executed: number[] = [];
  for (const [i, server] of servers.entries()) {
    const ended = await server.stop();
    expect(ended.code).toBe(0);
    executed.push(...ended.executed);
    servers[i] = await serverProcess(Number(new URL(target[i]!).port));
    await until(() => reconnects === i + 1);
    await load.more(100);
  }
  await load.stop();
  await client.stop();
  for (const server of servers) {
    const ended = await server.stop();
    // Each took its share again.
    expect(ended.executed.length).toBeGreaterThan(0);
    executed.push(...ended.executed);
  }
  expect(load.errors).toEqual([]);
  expect(sorted(executed)).toEqual(sorted(load.answered));
});
