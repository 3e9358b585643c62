import assert from "node:assert/strict";
import { Client, type Session } from "@rap/client";
import { context, Server } from "@rap/server";
import type * as api from "./functions";
import { asyncGen, asyncSum, syncSum } from "./functions";

/** State of the session: the server keeps it until the session ends. */
function visits(): number {
  const { state } = context().session!;
  const count = Number(state.get("visits") ?? 0) + 1;
  state.set("visits", count);
  return count;
}

const client = new Client();
const remoteSum = client.register<typeof api.syncSum>("syncSum");
const remoteAsyncSum = client.register<typeof api.asyncSum>("asyncSum");
const remoteGen = client.registerGen<typeof api.asyncGen>("asyncGen");
const remoteVisits = client.register<typeof visits>("visits");

/** Implicit: every call inside `withSession` or `session.run` belongs to the session, however deep. */
async function noParamRun() {
  console.log(await remoteSum(1, 2), await remoteAsyncSum(1, 3));
  for await (const item of remoteGen(2)) console.log(item);
}

/** Explicit: the session is an option of the call. */
async function paramRun(session: Session) {
  console.log(await remoteSum.with({ session })(1, 2));
  console.log(await client.invokeByName<number>("syncSum", [1, 2], { session }));
  for await (const item of remoteGen.with({ session })(2)) console.log(item);
}

/** Like a database cursor: a function, a name, or anything that makes calls. */
async function execute(session: Session) {
  console.log(await session.execute(remoteSum, [1, 2]));
  console.log(await session.execute<number>("syncSum", [1, 2]));
  console.log(await session.execute(() => remoteAsyncSum(1, 3)));
  console.log(await session.service<typeof api>("default", { asyncGen: "stream" }).asyncSum(1, 3));
}

export async function main() {
  await using server = new Server();
  server.register(syncSum).register(asyncSum).register(asyncGen).register(visits);
  const { port } = await server.listen({ port: 0 });
  await client.addConn("localhost", port).start();

  await client.withSession(async (session) => {
    await noParamRun();
    await paramRun(session);
    await execute(session);
    assert.deepEqual([await remoteVisits(), await remoteVisits()], [1, 2]);
  });
  {
    await using session = await client.openSession(); // ends with the block
    await session.run(noParamRun);
    assert.equal(await remoteVisits.with({ session })(), 1); // another session, another state
  }
  await client.stop();
}
