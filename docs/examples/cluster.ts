import assert from "node:assert/strict";
import cluster, { type Address, type Worker } from "node:cluster";
import { once } from "node:events";
import { Client } from "@rap/client";
import { Server } from "@rap/server";

/** Every worker is a server of its own; all of them listen on the same port, whichever 0 was for the first. */
async function serve(): Promise<void> {
  const server = new Server({ port: 0 });
  server.register(function whoami() {
    return process.pid;
  });
  await server.runForever(); // until SIGTERM, then running calls finish
  cluster.worker?.disconnect(); // nothing else keeps this process alive
}

/** Starts a worker; resolves with its port when it takes connections. */
async function start(): Promise<number> {
  const [{ port }] = (await once(cluster.fork(), "listening")) as [Address];
  return port;
}

/** Stops a worker when its running calls have finished. */
async function stop(worker: Worker): Promise<void> {
  worker.process.kill("SIGTERM");
  await once(worker, "exit");
}

/** Replaces all workers, one after the other: its successor serves before one is told to stop. */
async function restart(): Promise<void> {
  for (const worker of Object.values(cluster.workers ?? {})) {
    await start();
    if (worker !== undefined) await stop(worker);
  }
}

export async function main() {
  if (cluster.isWorker) return serve();
  // What runs this file here takes its name as argument; a program of its own needs no setup.
  cluster.setupPrimary({ args: ["cluster"], silent: true });
  const [port] = await Promise.all([start(), start()]); // in a program: one for each of os.availableParallelism()

  // Calls go on while all workers are replaced, and none is lost.
  const client = await new Client().addConn("127.0.0.1", port).start();
  const whoami = client.register<() => number>("whoami");
  const seen = new Set<number>([await whoami()]);
  let restarting = true;
  const restarted = restart().finally(() => {
    restarting = false;
  });
  while (restarting) seen.add(await whoami());
  await restarted;
  seen.add(await whoami());
  assert(seen.size > 1);
  console.log("calls were answered by an old worker, then by a new one");

  await client.stop();
  await Promise.all(Object.values(cluster.workers ?? {}).map((worker) => worker && stop(worker)));
}
