import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, safe } from "@rap/client";
import { context, Server } from "@rap/server";

async function slow(): Promise<string> {
  await sleep(50);
  return "finished";
}

/** Takes an hour, but gives up when its call is aborted. */
async function hour(): Promise<void> {
  await sleep(3_600_000, undefined, { signal: context().signal });
}

async function start() {
  const server = new Server({ drainTimeout: 5_000 }).register({ slow, hour });
  const { port } = await server.listen({ port: 0 });
  const client = await new Client().addConn("localhost", port).start();
  return { server, client, port };
}

const running = async (server: Server) => {
  while (server.stats().inFlight === 0) await sleep(1);
};

export async function main() {
  // Nothing new comes in, what runs may finish. In a program: `await server.runForever()`, and SIGINT or SIGTERM.
  {
    const { server, client, port } = await start();
    const call = client.invokeByName("slow");
    await running(server);
    const stopped = server.shutdown();
    await assert.rejects(new Client().addConn("localhost", port).start(), { code: "UNAVAILABLE" });
    console.log("the call", await call);
    await stopped;
    console.log("the server is", server.state);
    await client.stop();
  }

  // What takes longer than the grace is aborted: the caller is told, and the function's signal fires.
  const { server, client } = await start();
  const call = safe(client.invokeByName("hour"));
  await running(server);
  await server.shutdown({ graceMs: 20 });
  const result = await call;
  assert(!result.ok);
  console.log(result.error.code, "-", result.error.message);
  const { connections, inFlight, timers } = server.stats();
  assert.deepEqual({ connections, inFlight, timers }, { connections: 0, inFlight: 0, timers: 0 });
  await client.stop();
}
