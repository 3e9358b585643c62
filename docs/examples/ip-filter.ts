import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, RapError } from "@rap/client";
import { IpFilterMiddleware } from "@rap/plugin-ip-filter";
import { context, Server } from "@rap/server";

/** The private functions of the filter, as a caller on the same machine sees them. */
interface Admin {
  getBlockIp(): string[];
  addBlockIp(entry: string): boolean;
  addAllowIp(entry: string): boolean;
}

const wait = async () => void (await once(context().signal, "abort"));

export async function main() {
  const folder = await mkdtemp(join(tmpdir(), "rap-filter-"));
  await using server = new Server().register({ wait, ping: () => "pong" });
  server.loadMiddleware([new IpFilterMiddleware({ blockIpList: ["192.168.0.0/31", "2001:db8::/32"] })]);
  const { port } = await server.listen({ port: 0 });

  // This machine may come: it is on no list.
  await using client = await new Client().addConn("127.0.0.1", port).start();
  const waiting = client.invokeByName("wait").catch((error: unknown) => error);

  // The administrator comes over a Unix socket, which has no address that could be blocked.
  const path = join(folder, "admin.sock");
  await server.listen({ path });
  await using administrator = await new Client({ target: `unix:${path}` }).start();
  const admin = administrator.service<Admin>("IpFilterMiddleware");
  await admin.addBlockIp("127.0.0.0/8");
  assert.deepEqual(await admin.getBlockIp(), ["192.168.0.0/31", "2001:db8::/32", "127.0.0.0/8"]);

  // A connection that is blocked now is closed, and a new one is refused.
  const lost = await waiting;
  assert.ok(RapError.is(lost, "UNAVAILABLE"));
  console.log(lost.message);
  const refused = await new Client()
    .addConn("127.0.0.1", port)
    .start()
    .catch((error: unknown) => error);
  assert.ok(RapError.is(refused, "UNAVAILABLE"));
  console.log(refused.message);

  // With an allow list nobody else may come, and the block list is not asked.
  await admin.addAllowIp("127.0.0.1");
  await using again = await new Client().addConn("127.0.0.1", port).start();
  assert.equal(await again.invokeByName("ping"), "pong");
  await rm(folder, { recursive: true });
}
