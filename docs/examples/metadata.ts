import assert from "node:assert/strict";
import { Client, type Metadata, withCallOptions } from "@rap/client";
import { context, Server } from "@rap/server";

/** Reads what came beside the arguments; answers with headers (before the result) and trailers (after it). */
function whoami(): string {
  const { metadata, responseHeaders, responseTrailers, conn } = context();
  responseHeaders.set("x-version", "7");
  responseTrailers.set("x-cost", "12").set("x-digest-bin", Uint8Array.of(1, 2, 3)); // bytes: the key ends in -bin
  return `${metadata.get("tenant")} of ${conn.metadata?.get("app")}, tags ${metadata.getAll("tag").join("+")}`;
}

async function* count(to: number) {
  context().responseTrailers.set("x-items", String(to));
  for (let n = 1; n <= to; n++) yield n;
}

export async function main() {
  await using server = new Server().register({ whoami, count });
  const { port } = await server.listen({ port: 0 });

  // With the handshake, once for the connection.
  await using client = new Client({ metadata: { app: "shop" } }).addConn("localhost", port);
  await client.start();

  // For a function, for one call, or for all calls made inside: they add up, and what is nearer to the call wins.
  const remote = client.register<typeof whoami>("whoami", { metadata: { tenant: "nobody" } });
  console.log(await remote.with({ metadata: { tenant: "t1", tag: ["a", "b"] } })());
  console.log(await withCallOptions({ metadata: { tenant: "t2", tag: "c" } }, () => client.invokeByName("whoami")));

  // What the server sent beside its result.
  const received: Metadata[] = [];
  const keep = (metadata: Metadata) => received.push(metadata);
  await remote.with({ onHeaders: keep, onTrailers: keep })();
  const [headers, trailers] = received;
  assert.equal(headers?.get("X-Version"), "7"); // the case of a key does not matter
  assert.deepEqual(trailers?.get("x-digest-bin"), Uint8Array.of(1, 2, 3));

  const stream = client.registerGen<typeof count>("count")(3);
  for await (const _ of stream);
  console.log("items:", (await stream.trailers).get("x-items"));
}
