import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Bytes of the heap that are in use: the least of three looks, each after a collection of garbage. */
export async function heap() {
  const samples = [];
  for (let i = 0; i < 3; i++) {
    await sleep(50);
    globalThis.gc();
    samples.push(process.memoryUsage().heapUsed);
  }
  return Math.min(...samples);
}

export const fds = () => readdirSync("/proc/self/fd").length;

/** Timers of Node that keep the process alive. */
export const timers = () => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;

/** What the process holds of the system and of Node. */
export async function snapshot() {
  return {
    heap: await heap(),
    rss: process.memoryUsage().rss,
    fds: fds(),
    resources: process.getActiveResourcesInfo().filter((each) => each !== "Timeout").length,
    timers: timers(),
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
}

/** Runs `job` so many times, so many at a time. */
export async function run(total, atOnce, job) {
  let next = 0;
  const lane = async () => {
    while (next < total) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
