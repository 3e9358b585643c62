import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { type HealthStatus, Server } from "@rap/server";

/** What every server has in the group rap.health.v1, unless `health: false`. */
interface Health {
  Check(service?: string): { status: HealthStatus };
  Watch(service?: string): AsyncIterable<{ status: HealthStatus }>;
  List(): { statuses: Record<string, HealthStatus> };
}

export async function main() {
  const server = new Server();
  server.setHealth("database", "NOT_SERVING"); // whatever names the application likes
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();
  const health = client.service<Health>("rap.health.v1", { Watch: "stream" });

  console.log("the server:", (await health.Check()).status);
  console.log("all:", JSON.stringify((await health.List()).statuses));
  await assert.rejects(health.Check("mailer"), { code: "NOT_FOUND" });

  // A watch gives the status at once and whenever it changes. A server that stops tells its watchers first.
  const seen: HealthStatus[] = [];
  for await (const { status } of health.Watch("database")) {
    seen.push(status);
    if (seen.length === 1) server.setHealth("database", "SERVING");
    if (seen.length === 2) server.drain();
  }
  console.log("database:", seen.join(", "));
  await server.shutdown();
}
