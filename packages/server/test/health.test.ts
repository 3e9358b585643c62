import { createTestPair } from "@rap/testing";
import * as z from "zod";
import { rpc, Server } from "../src";

interface Health {
  Check(service?: string): { status: string };
  List(): { statuses: Record<string, string> };
  Watch(service?: string): AsyncIterable<{ status: string }>;
}

test("a server serves, and so do the services that its application names", async () => {
  const server = new Server();
  server.setHealth("db", "NOT_SERVING");
  await using pair = await createTestPair(server);
  const health = pair.client.service<Health>("rap.health.v1", { Watch: "stream" });
  expect(await health.Check()).toEqual({ status: "SERVING" });
  expect(await health.Check("db")).toEqual({ status: "NOT_SERVING" });
  expect(await health.List()).toEqual({ statuses: { "": "SERVING", db: "NOT_SERVING" } });
  await expect(health.Check("nobody")).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("a watch gives the status at once and every change, and ends when the server drains", async () => {
  const server = new Server();
  await using pair = await createTestPair(server);
  const seen: string[] = [];
  const watch = pair.client.service<Health>("rap.health.v1", { Watch: "stream" }).Watch("db");
  const first = await watch.next();
  seen.push((first.value as { status: string }).status);
  server.setHealth("db", "SERVING");
  seen.push(((await watch.next()).value as { status: string }).status);
  void server.shutdown();
  for await (const { status } of watch) seen.push(status);
  expect(seen).toEqual(["SERVICE_UNKNOWN", "SERVING", "NOT_SERVING"]);
});

test("leaving a watch ends it on the server", async () => {
  const server = new Server();
  await using pair = await createTestPair(server);
  for await (const _ of pair.client.service<Health>("rap.health.v1", { Watch: "stream" }).Watch()) break;
  while (server.stats().inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
});

test("health can be off, reflection on, and the private list shows everything", async () => {
  const server = new Server({ health: false, reflection: true });
  const sum = rpc({ input: [z.int(), z.int()], params: ["a", "b"], summary: "adds" }, (a, b) => a + b);
  server.register({ sum }, { group: "math" });
  await using pair = await createTestPair(server);
  await expect(pair.client.invokeByName("Check", [], { group: "rap.health.v1" })).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  const describe = await pair.client.invokeByName<{ methods: object[] }>("Describe", ["math"], {
    group: "rap.reflection.v1",
  });
  expect(describe.methods).toEqual([
    expect.objectContaining({
      name: "sum",
      group: "math",
      shape: "unary",
      summary: "adds",
      params: [
        { name: "a", schema: expect.objectContaining({ type: "integer" }) },
        { name: "b", schema: expect.objectContaining({ type: "integer" }) },
      ],
    }),
  ]);
  const list = await pair.client.invokeByName<{ name: string }[]>("list", [], { group: "registry" });
  expect(list.map(({ name }) => name)).toEqual(expect.arrayContaining(["sum", "list", "Describe"]));
});
