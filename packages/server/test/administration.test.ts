import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@rap/client";
import { messageMiddleware } from "@rap/core";
import { createTestPair, type TestPair } from "@rap/testing";
import { memory } from "@rap/transport";
import * as v from "valibot";
import * as z from "zod";
import {
  type Channel,
  type LoadedOptions,
  type MethodDescription,
  rpc,
  Server,
  type ServerOptions,
  worker,
} from "../src";

interface Administration {
  list(): MethodDescription[];
  load(module: string, name: string, options?: LoadedOptions): MethodDescription;
  reload(module: string, name: string, options?: LoadedOptions): MethodDescription;
}

let folder = "";
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rap-load-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function start(options: ServerOptions = {}): Promise<TestPair & { registry: ReturnType<typeof registryOf> }> {
  const server = new Server({ load: { folders: [folder] }, ...options });
  const pair = await createTestPair(server);
  return Object.assign(pair, { registry: registryOf(pair.client) });
}

const registryOf = (client: Client) => client.service<Administration>("registry");
const code = (wanted: string, message?: RegExp) => ({
  code: wanted,
  ...(message && { message: expect.stringMatching(message) }),
});

describe("the list", () => {
  test("has everything: group, name, shape, private, doc, parameters and their JSON Schemas", async () => {
    await using pair = await start({ load: undefined as never });
    pair.server.register({ plain: (a: number) => a }, { group: "g" });
    pair.server.register(
      rpc(
        { input: [z.int(), v.string()], output: z.object({ a: z.boolean() }), params: ["n", "text"], doc: "Long." },
        (n: number, _text: string) => ({ a: n > 0 }),
      ),
      { name: "typed", group: "g", private: true, summary: "short", idempotent: true, deprecated: "use plain" },
    );
    pair.server.register({
      async *count() {
        yield 1;
      },
    });
    pair.server.registerChannel(async function talk(_channel: Channel) {});
    const list = await pair.registry.list();
    const of = (name: string) => list.find((each) => each.name === name);
    expect(of("plain")).toEqual({
      group: "g",
      name: "plain",
      shape: "unary",
      private: false,
      idempotent: false,
      deprecated: false,
      doc: undefined,
      summary: undefined,
      params: undefined,
      result: undefined,
    });
    expect(of("typed")).toEqual({
      group: "g",
      name: "typed",
      shape: "unary",
      private: true,
      idempotent: true,
      deprecated: "use plain",
      doc: "Long.",
      summary: "short",
      params: [
        { name: "n", schema: expect.objectContaining({ type: "integer" }) },
        // This library gives none.
        { name: "text", schema: undefined },
      ],
      result: expect.objectContaining({ type: "object", required: ["a"] }),
    });
    expect([of("count")?.shape, of("talk")?.shape]).toEqual(["stream", "channel"]);
    expect(of("list")).toMatchObject({ group: "registry", private: true });
  });

  test("leaves out a JSON Schema that is none, or that cannot be made", async () => {
    await using pair = await start();
    const schema = (input: () => object) => ({
      "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }), jsonSchema: { input } },
    });
    const bad = [
      schema(() => {
        throw new Error("a date has none");
      }),
      schema(() => ({ type: "string", default: () => 1 })),
    ];
    pair.server.register({ odd: (_a: unknown, _b: unknown) => 1 }, { input: bad } as object);
    const odd = (await pair.registry.list()).find(({ name }) => name === "odd");
    expect(odd?.params?.map((param) => param.schema)).toEqual([undefined, { type: "string" }]);
  });

  test("is for local callers only, as is loading: for others the functions do not exist", async () => {
    const transport = memory({ peer: { local: false } });
    const server = new Server({ load: { folders: [folder] } });
    await server.listen({ transport, address: "memory://far" });
    const client = new Client({ target: "memory://far", transports: [transport] });
    await client.start();
    const registry = registryOf(client);
    const unknown = await client.invokeByName("lisp", [], { group: "registry" }).catch((error: Error) => error.message);
    for (const call of [registry.list(), registry.load("a.js", "f"), registry.reload("a.js", "f")]) {
      const message = await call.catch((error: Error) => error.message);
      expect(String(message).replace(/(list|load|reload)/, "lisp")).toBe(unknown);
    }
    await client.stop();
    await server.shutdown();
  });
});

test("without folders nothing can be loaded", async () => {
  await using pair = await createTestPair(new Server());
  const registry = registryOf(pair.client);
  await expect(registry.load("a.js", "f")).rejects.toMatchObject(code("NOT_FOUND"));
  await expect(registry.reload("a.js", "f")).rejects.toMatchObject(code("NOT_FOUND"));
  expect(() => new Server({ load: { folders: [join(folder, "missing")] } })).toThrow("missing");
});

describe("loading", () => {
  test("registers a function, a generator and a channel of a module, which are then called as any other", async () => {
    await using pair = await start();
    write(
      "all.mjs",
      `export const sum = (a, b) => a + b;
       export async function* count(to) { for (let n = 0; n < to; n++) yield n; }
       export async function echo(channel) { for await (const body of channel) await channel.write(body); }`,
    );
    expect(await pair.registry.load("all.mjs", "sum")).toMatchObject({ name: "sum", group: "default", shape: "unary" });
    expect(await pair.registry.load("all.mjs", "count", { group: "g", name: "upTo", doc: "Counts." })).toMatchObject({
      name: "upTo",
      group: "g",
      shape: "stream",
      doc: "Counts.",
    });
    expect(await pair.registry.load("all.mjs", "echo", { channel: true, private: true })).toMatchObject({
      shape: "channel",
      private: true,
    });
    const { client } = pair;
    expect(await client.invokeByName("sum", [1, 2])).toBe(3);
    const upTo = client.registerGen<(to: number) => AsyncIterable<number>>("upTo", { group: "g" });
    const got: number[] = [];
    for await (const n of upTo(3)) got.push(n);
    expect(got).toEqual([0, 1, 2]);
    await client.registerChannel<(channel: Channel<string, string>) => Promise<void>>("echo")(async (channel) => {
      await channel.write("hello");
      expect(await channel.readBody()).toBe("hello");
    });
  });

  test("takes what the function says of itself", async () => {
    await using pair = await start();
    write(
      "marked.cjs",
      `const mark = (fn, key, value) => Object.defineProperty(fn, Symbol.for(key), { value });
       exports.talk = mark(async () => {}, "rap.channel", true);
       exports.f = mark(() => 1, "rap.contract", { name: "one", group: "numbers", doc: "Gives one.", params: [] });`,
    );
    expect(await pair.registry.load("marked.cjs", "talk")).toMatchObject({ shape: "channel", name: "talk" });
    expect(await pair.registry.load("marked.cjs", "f")).toMatchObject({
      name: "one",
      group: "numbers",
      doc: "Gives one.",
    });
    expect(await pair.registry.load("marked.cjs", "f", { name: "uno" })).toMatchObject({
      name: "uno",
      group: "numbers",
    });
  });

  test("says what is wrong", async () => {
    await using pair = await start();
    write("a.mjs", "export const f = () => 1; export class C {} export function* g() {} export const n = 1;");
    write("bad.mjs", "export const f = ;");
    const { load } = pair.registry;
    await load("a.mjs", "f");
    await expect(load("a.mjs", "f")).rejects.toMatchObject(code("ALREADY_EXISTS", /"f" in group "default" already/));
    await expect(load("a.mjs", "C")).rejects.toMatchObject(code("INVALID_ARGUMENT", /is a class/));
    await expect(load("a.mjs", "g")).rejects.toMatchObject(code("INVALID_ARGUMENT", /synchronous generator/));
    await expect(load("a.mjs", "n")).rejects.toMatchObject(code("NOT_FOUND", /exports no function "n"/));
    await expect(load("b.mjs", "f")).rejects.toMatchObject(code("NOT_FOUND", /no file "b.mjs"/));
    await expect(load("../a.mjs", "f")).rejects.toMatchObject(code("PERMISSION_DENIED"));
    await expect(load("a.txt", "f")).rejects.toMatchObject(code("INVALID_ARGUMENT"));
    await expect(load("bad.mjs", "f")).rejects.toMatchObject(
      code("FAILED_PRECONDITION", /"bad.mjs" cannot be loaded: Unex/),
    );
    await expect(load("a.mjs", "f", { name: "no good" })).rejects.toMatchObject(code("INVALID_ARGUMENT", /a name is/));
    for (const options of [7, [], { folder: "/" }, { private: "yes" }, { name: 7 }, { toString: true }]) {
      await expect(load("a.mjs", "f", options as never)).rejects.toMatchObject(code("INVALID_ARGUMENT", /option/));
    }
    for (const group of ["registry", "rap.session.v1", "rap.x"]) {
      await expect(load("a.mjs", "f", { group })).rejects.toMatchObject(code("PERMISSION_DENIED", /server's own/));
    }
  });

  test("leaves a line in the log", async () => {
    const lines: { method: string }[] = [];
    const info = (line: { method: string }) => void lines.push(line);
    await using pair = await start({ logger: { debug() {}, info, warn() {}, error() {} } as never });
    write("a.mjs", "export const f = () => 1;");
    await pair.registry.load("a.mjs", "f");
    await pair.registry.reload("a.mjs", "f");
    expect(lines.map(({ method }) => method)).toEqual(["default/f", "default/f"]);
  });
});

describe("reloading", () => {
  test.each([
    ["mjs", "export const f ="],
    ["cjs", "exports.f ="],
  ])("a .%s file sees what changed, and keeps name, group, privacy and doc", async (extension, start_) => {
    await using pair = await start();
    const file = `f.${extension}`;
    write(file, `${start_} () => "old";`);
    await pair.registry.load(file, "f", { name: "g", group: "x", private: true, doc: "Of old." });
    const call = () => pair.client.invokeByName("g", [], { group: "x" });
    expect(await call()).toBe("old");
    write(file, `${start_} () => "new";`);
    expect(await call()).toBe("old");
    expect(await pair.registry.reload(file, "f", { name: "g", group: "x" })).toMatchObject({
      name: "g",
      group: "x",
      private: true,
      doc: "Of old.",
    });
    expect(await call()).toBe("new");
    expect(
      await pair.registry.reload(file, "f", { name: "g", group: "x", doc: "Of late.", private: false }),
    ).toMatchObject({
      private: true,
      doc: "Of late.",
    });
  });

  test("lets running calls, generators and channels finish on the old function; new ones get the new", async () => {
    await using pair = await start();
    const { client, registry } = pair;
    const text = (version: string) => `
      export const slow = async (stream) => { for await (const _ of stream); return "${version}"; };
      export async function* count() { for (let n = 0; n < 4; n++) yield "${version}" + n; }
      export async function talk(channel) { for await (const body of channel) await channel.write("${version}" + body); }`;
    write("all.mjs", text("old"));
    await registry.load("all.mjs", "slow");
    await registry.load("all.mjs", "count");
    await registry.load("all.mjs", "talk", { channel: true });
    const slow = client.register<(source: AsyncIterable<number>) => Promise<string>>("slow");
    const count = client.registerGen<() => AsyncIterable<string>>("count");
    const talk = client.registerChannel<(channel: Channel<number, string>) => Promise<void>>("talk");

    let finish!: () => void;
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let began!: () => void;
    const running = new Promise<void>((resolve) => {
      began = resolve;
    });
    const oldCall = slow(
      (async function* () {
        yield 1;
        began();
        await gate;
      })(),
    );
    await running;
    const oldStream = count();
    expect((await oldStream.next()).value).toBe("old0");
    const oldChannel = await talk.open();
    await oldChannel.write(0);
    expect(await oldChannel.readBody()).toBe("old0");

    write("all.mjs", text("new"));
    for (const name of ["slow", "count", "talk"]) await registry.reload("all.mjs", name);

    finish();
    expect(await oldCall).toBe("old");
    const rest: string[] = [];
    for await (const item of oldStream) rest.push(item);
    expect(rest).toEqual(["old1", "old2", "old3"]);
    await oldChannel.write(1);
    expect(await oldChannel.readBody()).toBe("old1");
    await oldChannel.close();

    expect(await slow([1].values())).toBe("new");
    expect((await count().next()).value).toBe("new0");
    await talk(async (channel) => {
      await channel.write(2);
      expect(await channel.readBody()).toBe("new2");
    });
  });

  test("that fails leaves the old function in its place", async () => {
    await using pair = await start();
    const { client, registry } = pair;
    write("f.mjs", "export const f = () => 'old';");
    await registry.load("f.mjs", "f");
    for (const [text, wanted] of [
      ["this is no code", code("FAILED_PRECONDITION")],
      ["throw new Error('not today')", code("FAILED_PRECONDITION", /not today/)],
      ["export const g = 1;", code("NOT_FOUND")],
      ["export class f {}", code("INVALID_ARGUMENT")],
      [
        "export const f = Object.defineProperty(() => 1, Symbol.for('rap.channel'), { value: true })",
        code("INVALID_ARGUMENT"),
      ],
    ] as const) {
      write("f.mjs", text);
      await expect(registry.reload("f.mjs", "f")).rejects.toMatchObject(wanted);
      expect(await client.invokeByName("f")).toBe("old");
    }
    write("f.mjs", "export const f = () => 'mended';");
    await registry.reload("f.mjs", "f");
    expect(await client.invokeByName("f")).toBe("mended");
  });

  test("replaces what the program registered itself, which keeps its contract unless the new one has its own", async () => {
    await using pair = await start();
    const { client, server, registry } = pair;
    const seen: string[] = [];
    server.loadMiddleware([
      messageMiddleware(async (ctx, _args, next) => {
        seen.push(ctx.name);
        return next();
      }),
    ]);
    server.register(
      rpc({ input: [z.int()], params: ["n"] }, (n: number) => n + 1),
      { name: "next" },
    );
    write("f.mjs", "export const next = (n) => n + 10;");
    await registry.reload("f.mjs", "next");
    expect(await client.invokeByName("next", { n: 1 })).toBe(11);
    await expect(client.invokeByName("next", ["1"])).rejects.toMatchObject(code("INVALID_ARGUMENT"));
    write("f.mjs", "export const next = (n) => n + 20;");
    await registry.reload("f.mjs", "next");
    await expect(client.invokeByName("next", ["1"])).rejects.toMatchObject(code("INVALID_ARGUMENT"));
    write(
      "f.mjs",
      `export const next = (m) => m + 30;
       Object.defineProperty(next, Symbol.for("rap.contract"), { value: { params: ["m"] } });`,
    );
    await registry.reload("f.mjs", "next");
    expect(await client.invokeByName("next", { m: 1 })).toBe(31);
    expect(await client.invokeByName("next", ["1"])).toBe("130");
    expect(seen.filter((name) => name === "next")).toHaveLength(3);
  });

  test("finds a channel of the same name as a function when it is told to", async () => {
    await using pair = await start();
    const { client, server, registry } = pair;
    server.register({ both: () => "function" });
    server.registerChannel(async function both(channel: Channel) {
      await channel.write("channel");
    });
    write("f.mjs", "export const both = async (channel) => channel ? channel.write('new') : 'new function';");
    await registry.reload("f.mjs", "both", { channel: true });
    expect(await client.invokeByName("both")).toBe("function");
    await client.registerChannel<(c: Channel<never, string>) => Promise<void>>("both")(async (channel) => {
      expect(await channel.readBody()).toBe("new");
    });
    await registry.reload("f.mjs", "both");
    expect(await client.invokeByName("both")).toBe("new function");
  });

  test("leaves alone what is not there, what is private or the server's own, and what runs in threads", async () => {
    await using pair = await start();
    const { server, registry } = pair;
    write(
      "f.mjs",
      "globalThis.rapTestReloaded = true; export const f = () => 1; export const list = f; export const Check = f;",
    );
    server.register({ f: () => 1 }, { group: "secret", private: true });
    server.register({ f: worker(join(folder, "f.mjs"), "f") }, { group: "threads" });
    const { reload } = registry;
    await expect(reload("f.mjs", "f")).rejects.toMatchObject(code("NOT_FOUND", /no function default\/f to reload/));
    await expect(reload("f.mjs", "f", { group: "secret" })).rejects.toMatchObject(code("PERMISSION_DENIED", /private/));
    await expect(reload("f.mjs", "f", { group: "threads" })).rejects.toMatchObject(
      code("FAILED_PRECONDITION", /threads/),
    );
    await expect(reload("f.mjs", "list", { group: "registry" })).rejects.toMatchObject(code("PERMISSION_DENIED"));
    await expect(reload("f.mjs", "Check", { group: "rap.health.v1" })).rejects.toMatchObject(code("PERMISSION_DENIED"));
    // Nothing of it was evaluated for that.
    expect((globalThis as { rapTestReloaded?: true }).rapTestReloaded).toBeUndefined();
  });
});
