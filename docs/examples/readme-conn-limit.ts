import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { ConnLimitMiddleware, IpMaxConnMiddleware } from "@rap/plugin-conn-limit";
import { Server } from "@rap/server";

export async function main(): Promise<void> {
  await using server = new Server().loadMiddleware([
    new ConnLimitMiddleware({ maxConn: 100, blockTime: 60_000 }),
    new IpMaxConnMiddleware({ ipMaxConn: 1, timeout: 60_000 }),
  ]);
  const { port } = await server.listen({ port: 0 });
  await using _client = await new Client().addConn("127.0.0.1", port).start();
  await assert.rejects(new Client().addConn("127.0.0.1", port).start(), /127.0.0.1 is at its limit of 1 connections/);
}
