import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { RapError, rpc, Server } from "@rap/server";
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";

const demo1 = (a: number, b: number) => a + b;
const demo2 = async (a: number, b: number) => a + b;
async function* demoGen(a: number) {
  for (let i = 0; i < a; i++) yield i;
}

// Checked at run time: one schema per argument, of any Standard Schema library.
const zodSum = rpc({ input: [z.int(), z.int()], output: z.int() }, (a, b) => a + b);
const valibotSum = rpc({ input: [v.number(), v.number()] }, (a, b) => a + b);
const arkSum = rpc({ input: [type("number"), type("number")], timeout: 500 }, (a, b) => a + b);

export async function main() {
  await using server = new Server();
  server.register(demo1, { params: ["a", "b"] }); // can be called with named arguments too
  server.register(demo2);
  server.register(demoGen);
  server.register(demo2, { name: "demo2-alias" });
  server.register(demo2, { group: "new-correlation_id" });
  server.register(demo2, { group: "root", private: true }); // for callers on this machine only
  server.register({ zodSum, valibotSum, arkSum }, { group: "checked" });
  assert.throws(() => server.register(demo2), /there is a function "demo2" in group "default" already/);
  const { port } = await server.listen({ port: 0 });

  await using client = new Client();
  await client.addConn("localhost", port).start();
  const alias = client.register<typeof demo2>("demo2-alias");
  const grouped = client.register<typeof demo2>("demo2", { group: "new-correlation_id" });
  const root = client.register<typeof demo2>("demo2", { group: "root" });
  assert.deepEqual([await alias(1, 2), await grouped(3, 4), await root(5, 6)], [3, 7, 11]);
  assert.equal(await client.invokeByName("demo1", { b: 2, a: 1 }), 3);

  const items: number[] = [];
  for await (const item of client.registerGen<typeof demoGen>("demoGen")(3)) items.push(item);
  assert.deepEqual(items, [0, 1, 2]);

  // A whole group as one typed object.
  const checked = client.service<{ zodSum: typeof zodSum; arkSum: typeof arkSum }>("checked");
  assert.equal(await checked.zodSum(1, 2), 3);
  assert.equal(zodSum(1, 2), 3); // still the plain function

  const wrong = await checked.zodSum(1, 2.5).catch((error: unknown) => error);
  assert(RapError.is(wrong, "INVALID_ARGUMENT"));
  console.log(wrong.message); // args[1]: Invalid input: expected int, received number
}
