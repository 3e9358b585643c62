import assert from "node:assert/strict";
import { Client, RapError } from "@rap/client";
import { type ConnLimitInfo, ConnLimitMiddleware, IpMaxConnMiddleware } from "@rap/plugin-conn-limit";
import { Server } from "@rap/server";

/** The private functions of the limit, as a caller on the same machine sees them. */
interface Admin {
  getConnLimitInfo(): ConnLimitInfo;
  modifyMaxConn(maxConn: number): void;
  modifyBlockedFor(ms: number): void;
}

export async function main() {
  await using server = new Server();
  server.loadMiddleware([
    // Two connections in all. When one more has come, nobody is let in for a minute.
    new ConnLimitMiddleware({ maxConn: 2, blockTime: 60_000 }),
    // Ten connections from one address; what is known of one that is gone is forgotten after a minute.
    new IpMaxConnMiddleware({ ipMaxConn: 10, timeout: 60_000 }),
  ]);
  const { port } = await server.listen({ port: 0 });
  const come = () => new Client().addConn("127.0.0.1", port).start();

  await using first = await come();
  const second = await come();

  const refused = await come().catch((error: unknown) => error);
  assert.ok(RapError.is(refused, "UNAVAILABLE"));
  console.log(refused.message);

  // Changed at run time, from the same machine.
  const admin = first.service<Admin>("ConnLimitMiddleware");
  assert.equal((await admin.getConnLimitInfo()).connections, 2);
  await admin.modifyMaxConn(3);
  await admin.modifyBlockedFor(0); // ends the block
  await using third = await come();
  assert.equal((await third.service<Admin>("ConnLimitMiddleware").getConnLimitInfo()).connections, 3);

  // Who leaves makes room.
  await second.stop();
  while ((await admin.getConnLimitInfo()).connections > 2) await new Promise(setImmediate);
  await using _fourth = await come();
  assert.equal(server.stats().connections, 3);
}
