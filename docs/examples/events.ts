import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { Server } from "@rap/server";

export async function main() {
  const seen: string[] = [];
  const event = (what: string) => async () => {
    console.log(what);
    seen.push(what);
  };

  // As options: before the server listens, and after it has stopped.
  const first = new Server({ startEvents: [event("start event")], stopEvents: [event("stop event")] });
  await first.listen({ port: 0 });
  await first.shutdown();
  assert.deepEqual(seen.splice(0), ["start event", "stop event"]);

  // All four points, on a server and a client alike.
  const server = new Server();
  server.loadBeforeStartEvent([event("server: before start")]).loadAfterStartEvent([event("server: after start")]);
  server.loadBeforeStopEvent([event("server: before stop")]).loadAfterStopEvent([event("server: after stop")]);
  const { port } = await server.listen({ port: 0 });

  const client = new Client().addConn("localhost", port);
  client.loadBeforeStartEvent([event("client: before start")]).loadAfterStartEvent([event("client: after start")]);
  client.loadBeforeStopEvent([event("client: before stop")]).loadAfterStopEvent([event("client: after stop")]);
  await client.start();
  await client.stop();
  await server.shutdown();
  assert.equal(seen.length, 8);

  // One that throws before the start keeps the server from starting. It can be tried again.
  let ready = false;
  const database = () => {
    if (!ready) throw new Error("the database is not there");
  };
  await using third = new Server({ startEvents: [database] });
  await assert.rejects(third.listen({ port: 0 }), /the database is not there/);
  assert.equal(third.state, "idle");
  ready = true;
  await third.listen({ port: 0 });
}
