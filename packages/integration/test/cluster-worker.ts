import cluster from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "@rap/server";

/** One of the server processes of `cluster.test.ts`. */
async function serve(): Promise<void> {
  const server = new Server({ port: 0, limits: { acceptBurst: 1_000 } });
  server.register({
    async whoami(ms: number, id: number) {
      await sleep(ms);
      return { pid: process.pid, id };
    },
    async *count(to: number) {
      for (let n = 0; n < to; n++) {
        await sleep(2);
        yield n;
      }
    },
  });
  await server.runForever();
  cluster.worker?.disconnect();
}

void serve();
