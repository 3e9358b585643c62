import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@rap/client";
import { Server } from "@rap/server";

export async function main() {
  const folder = mkdtempSync(join(tmpdir(), "rap-"));
  const path = join(folder, "rap.sock");
  const server = new Server({ path }).register({ stop: () => "stopping" }, { group: "admin", private: true });
  await server.listen();
  console.log("permissions", (statSync(path).mode & 0o777).toString(8)); // who may write the file may connect

  // Peers on a Unix socket are on this machine, so private functions are there for them.
  await using client = new Client({ target: `unix:${path}` });
  await client.start();
  console.log(await client.invokeByName("stop", [], { group: "admin" }));

  // A server can listen on a port as well.
  const { port } = await server.listen({ port: 0 });
  await using remote = new Client().addConn("127.0.0.1", port);
  await remote.start();

  await server.shutdown();
  assert(!existsSync(path));
  rmSync(folder, { recursive: true });
}
