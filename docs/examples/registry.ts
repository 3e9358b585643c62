import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@rap/client";
import { type LoadedOptions, type MethodDescription, rpc, Server } from "@rap/server";
import * as z from "zod";

/** The server's private functions in the group `registry`, as a caller on the same machine sees them. */
interface Registry {
  list(): MethodDescription[];
  load(module: string, name: string, options?: LoadedOptions): MethodDescription;
  reload(module: string, name: string, options?: LoadedOptions): MethodDescription;
}

const sum = rpc({ input: [z.int(), z.int()], params: ["a", "b"], doc: "Adds two numbers." }, (a, b) => a + b);

export async function main() {
  // The folder that functions may come from. Off unless one is given.
  const folder = await mkdtemp(join(tmpdir(), "rap-functions-"));
  const write = (text: string) => writeFile(join(folder, "prices.mjs"), text);
  await using server = new Server({ load: { folders: [folder] } }).register({ sum }, { group: "math" });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();
  const registry = client.service<Registry>("registry");

  // What is there.
  const listed = (await registry.list()).find(({ name }) => name === "sum");
  console.log(listed?.group, listed?.shape, listed?.private, listed?.doc); // math unary false Adds two numbers.
  assert.deepEqual(
    listed?.params?.map(({ name, schema }) => [name, schema?.type]),
    [
      ["a", "integer"],
      ["b", "integer"],
    ],
  );

  // A new function, while the server runs.
  await write("export const price = (n) => n * 10;");
  await registry.load("prices.mjs", "price", { group: "shop" });
  const price = client.register<(n: number) => number>("price", { group: "shop" });
  assert.equal(await price(2), 20);

  // Its file changes, and so does the function; calls that run end on the old one.
  await write("export const price = (n) => n * 12;");
  await registry.reload("prices.mjs", "price", { group: "shop" });
  assert.equal(await price(2), 24);

  // A reload that fails changes nothing.
  await write("export const price = (n) =>");
  await assert.rejects(registry.reload("prices.mjs", "price", { group: "shop" }), { code: "FAILED_PRECONDITION" });
  assert.equal(await price(2), 24);
  await assert.rejects(registry.load("../elsewhere.mjs", "f"), { code: "PERMISSION_DENIED" });

  await rm(folder, { recursive: true });
}
