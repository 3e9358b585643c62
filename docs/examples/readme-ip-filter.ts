import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { IpFilterMiddleware } from "@rap/plugin-ip-filter";
import { Server } from "@rap/server";

export async function main(): Promise<void> {
  await using server = new Server().loadMiddleware([
    new IpFilterMiddleware({ allowIpList: ["192.168.0.0/31"], blockIpList: ["192.168.0.2"] }), // the allow list wins
  ]);
  const { port } = await server.listen({ port: 0 });
  await assert.rejects(new Client().addConn("127.0.0.1", port).start(), /127.0.0.1 is not allowed to connect/);
}
