import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { type MethodDescription, rpc, Server } from "@rap/server";
import * as z from "zod";

interface Reflection {
  ListServices(): { groups: string[] };
  Describe(group: string): { methods: MethodDescription[] };
}

const sum = rpc(
  { params: ["a", "b"], input: [z.int(), z.int()], output: z.int(), summary: "Adds two integers." },
  (a, b) => a + b,
);

export async function main() {
  await using server = new Server({ reflection: true, health: false }).register({ sum }, { group: "math" });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();
  const reflection = client.service<Reflection>("rap.reflection.v1");

  const { groups } = await reflection.ListServices();
  assert(groups.includes("math"));

  const [method] = (await reflection.Describe("math")).methods;
  console.log(`${method?.group}/${method?.name}: ${method?.summary}`);
  for (const { name, schema } of method?.params ?? []) console.log(`  ${name}: ${schema?.type}`);
  console.log(`  result: ${method?.result?.type}`);
}
