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

/** A heap moves by so many bytes by itself. */
const NOISE = 128 * 1_024;

/**
 * Whether the heap grows with what is done: its bytes for each, from what it was before two halves, between them and after.
 * What is made once, such as compiled code, is in one of the halves, what is left behind each time is in both.
 */
export function slope(report, name, heaps, each) {
  const [first, second] = [heaps[1] - heaps[0], heaps[2] - heaps[1]].map((bytes) => Number((bytes / each).toFixed(2)));
  const what = `${name}: bytes of heap for each, in the half with fewer (${first}, ${second})`;
  report.atMost("", what, Math.max(0, Math.min(first, second)), 0.2, String, {
    to: NOISE / each,
    why: `a heap moves by 128 KiB by itself, which is ${(NOISE / each).toFixed(1)} each of so few`,
  });
}

/** Runs `job` so many times, so many at a time. */
export async function run(total, atOnce, job) {
  let next = 0;
  const lane = async () => {
    while (next < total) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
