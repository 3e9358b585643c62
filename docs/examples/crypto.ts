import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Client } from "@rap/client";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "@rap/plugin-crypto";
import { Server } from "@rap/server";

const sum = (a: number, b: number) => a + b;

export async function main() {
  const key = randomBytes(32); // both sides have it; in hex or base64 it is a text for a configuration
  await using server = new Server().register({ sum });
  const crypto = new ServerCryptoProcessor({ demo_id: key }, { timeout: 60_000, nonceTimeout: 120_000 });
  const { port } = await server.loadProcessor([crypto]).listen({ port: 0 });

  await using client = new Client().addConn("localhost", port);
  client.loadProcessor([new ClientCryptoProcessor("demo_id", key, { timeout: 60_000, interval: 120_000 })]);
  await client.start();
  assert.equal(await client.register<typeof sum>("sum")(1, 2), 3);

  // Whoever has no key, or another, is refused before the server reads anything else of it.
  await using stranger = new Client().addConn("localhost", port);
  stranger.loadProcessor([new ClientCryptoProcessor("demo_id", "xxxxxxxxxxxxxxxx")]);
  await assert.rejects(stranger.start(), { code: "UNAVAILABLE" });
}
