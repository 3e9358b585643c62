import { channel, defaultLogger, type MethodOptions, rpc } from "@rap/core";
import type { AnyFn } from "@rap/protocol";
import fc from "fast-check";
import * as z from "zod";
import { Registry } from "../src/registry";

function setUp() {
  const lines: Record<string, any>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, any>);
  return { registry: new Registry(defaultLogger({ level: "warn", write })), lines };
}

const registered = (fn: AnyFn, options?: MethodOptions) => {
  const { registry } = setUp();
  registry.register(fn, options);
  return registry.list()[0]!;
};

const sum = (a: number, b: number) => a + b;
async function* count(to: number) {
  for (let n = 0; n < to; n++) yield n;
}
const echo = async () => {};

const registerError = (message: RegExp) =>
  expect.objectContaining({
    name: "TypeError",
    code: "ERR_RAP_REGISTER",
    message: expect.stringMatching(message) as unknown,
  });

describe("a registry", () => {
  test("knows a function by group and name", () => {
    const { registry } = setUp();
    registry.register(sum);
    registry.register(sum, { name: "plus", group: "math", private: true, timeout: 5, maxTimeout: 7, idempotent: true });
    expect(registry.find("default/sum")).toMatchObject({
      target: "default/sum",
      group: "default",
      name: "sum",
      kind: "function",
      streams: false,
      private: false,
      idempotent: false,
      checked: false,
      checkResult: undefined,
      worker: undefined,
      call: sum,
    });
    expect(registry.find("math/plus")).toMatchObject({ private: true, timeout: 5, maxTimeout: 7, idempotent: true });
    expect(registry.find("math/plus", "channel")).toBeUndefined();
    expect(registry.list().map(({ target }) => target)).toEqual(["default/sum", "math/plus"]);
  });

  test("registers the functions of a record under their keys, and marked ones as channels", () => {
    const { registry } = setUp();
    const arrow = rpc({ input: [z.int()] }, (a) => a);
    registry.register({ sum, plus: sum, count, echo: channel(echo), arrow }, { group: "g", private: true });
    expect(registry.list().map(({ target, kind, streams }) => [target, kind, streams])).toEqual([
      ["g/sum", "function", false],
      ["g/plus", "function", false],
      ["g/count", "function", true],
      ["g/echo", "channel", false],
      ["g/arrow", "function", false],
    ]);
    expect(registry.list().every((method) => method.private)).toBe(true);
  });

  test("registers a marked function as a channel by itself too", () => {
    expect(registered(channel(async function talk() {})).kind).toBe("channel");
  });

  test.each<[string, MethodOptions, MethodOptions | undefined, string | undefined, string]>([
    ["the option before the contract", { name: "option" }, { name: "contract" }, undefined, "default/option"],
    ["the contract before the key", {}, { name: "contract" }, "key", "default/contract"],
    ["the key before the function's own", {}, {}, "key", "default/key"],
    ["the function's own at last", {}, undefined, undefined, "default/own"],
    ["the contract's group", {}, { group: "g" }, undefined, "g/own"],
    ["the option's group before it", { group: "o" }, { group: "g" }, undefined, "o/own"],
    ["the contract where an option is undefined", { group: undefined } as never, { group: "g" }, undefined, "g/own"],
  ])("takes as name %s", (_, options, contract, key, target) => {
    const own = () => 1;
    const fn = contract === undefined ? own : rpc(contract as object, own);
    const { registry } = setUp();
    registry.register(key === undefined ? fn : { [key]: fn }, options);
    expect(registry.list()[0]!.target).toBe(target);
  });

  test("lets a function and a channel share a name, and one name be in several groups", () => {
    const { registry } = setUp();
    registry.register({ talk: sum });
    registry.registerChannel(echo, { name: "talk" });
    registry.register({ talk: sum }, { group: "other" });
    expect(registry.find("default/talk")?.kind).toBe("function");
    expect(registry.find("default/talk", "channel")?.kind).toBe("channel");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "then"])(
    "treats %s as a name like any other",
    (name) => {
      const { registry } = setUp();
      for (const target of [name, `default/${name}`, `${name}/sum`]) expect(registry.find(target)).toBeUndefined();
      registry.register(sum, { name });
      registry.register(sum, { group: name });
      expect(registry.find(`default/${name}`)).toMatchObject({ name, call: sum });
      expect(registry.find(`${name}/sum`)).toMatchObject({ group: name });
    },
  );

  test.each(["a", "x".repeat(256), "user.get", "v1/user/get", "$new", "a-b", "_"])("accepts the name %s", (name) => {
    expect(registered(sum, { name }).name).toBe(name);
  });

  class Plain {}
  const method = { *items() {} }.items;

  test.each<[string, unknown, MethodOptions, RegExp]>([
    ["an arrow function without a name", () => 1, {}, /without a name.*register\(\{ name: fn \}\)/],
    ["the empty name", sum, { name: "" }, /without a name for group "default"/],
    ["a name of 257 characters", sum, { name: "x".repeat(257) }, /a name is 1 to 256/],
    ["a name with a space", sum, { name: "a b" }, /not "a b"/],
    ["a name with a line feed at its end", sum, { name: "a\n" }, /a name is/],
    ["a name that is not ASCII", sum, { name: "größe" }, /a name is/],
    ["a bound function's own name", sum.bind(null), {}, /not "bound sum"/],
    ["a group with a slash", sum, { group: "a/b" }, /a group is.*"a\/b"/],
    ["the empty group", sum, { group: "" }, /a group is/],
    ["a group of 257 characters", sum, { group: "x".repeat(257) }, /a group is/],
    ["a class", Plain, {}, /default\/Plain is a class.*registerService/],
    ["a built-in class", Map, {}, /is a class/],
    ["a synchronous generator", method, {}, /use async function\*/],
    ["undefined", undefined, {}, /not of type undefined/],
    ["null", null, {}, /not null/],
    ["a string", "sum", {}, /not of type string/],
    ["an array", [sum], {}, /not an array/],
    ["a record with something else", { sum, version: 1 }, {}, /"version" is of type number, not a function/],
    ["an empty record", {}, {}, /registerService/],
    ["an instance", new Plain(), {}, /registerService/],
    ["a name for a record", { sum }, { name: "x" }, /a name is for one function/],
    ["two parameters of one name", sum, { params: ["a", "a"] }, /name twice/],
    ["fewer names than schemas", sum, { params: ["a"], input: [z.int(), z.int()] }, /2 schemas but names for 1/],
    ["a worker that streams", count, { worker: true }, /default\/count cannot run in a worker: a stream/],
  ])("refuses %s", (_, fn, options, message) => {
    const { registry } = setUp();
    expect(() => registry.register(fn as AnyFn, options)).toThrow(registerError(message));
    expect(registry.list()).toEqual([]);
  });

  test.each<[string, object, RegExp]>([
    ["a name that is no string", { name: 7 }, /name of register\(\) is a text, not 7/],
    ["null for a name", { name: null }, /name of register\(\) is a text, not null/],
    ["a group that is no string", { group: 7 }, /group of register\(\) is a text, not 7/],
    [
      "a schema that is not in a list",
      { input: z.object({}) },
      /input of register\(\) is a list with one Standard Schema per argument/,
    ],
    [
      "a schema that is none",
      { input: [z.int(), {}] },
      /entry 1 of the option input of register\(\) is a Standard Schema/,
    ],
    ["an output that is none", { output: "string" }, /output of register\(\) is a Standard Schema .*, not a string/],
    ["parameters without names", { params: ["a", 1] }, /entry 1 of the option params of register\(\) is a text/],
    ["no time at all", { timeout: 0 }, /timeout of register\(\) is a positive number of milliseconds, not 0/],
    ["endless time", { maxTimeout: Infinity }, /maxTimeout of register\(\) is a positive number .*, not Infinity/],
    ["a worker that is neither", { worker: "heavy.js" }, /worker of register\(\) is a boolean or \{ module, export \}/],
    ["a worker's other option", { worker: { modul: "/x.js" } }, /worker has no option "modul": did you mean "module"/],
    ["a worker's module that is none", { worker: { module: 5 } }, /module of worker is a path or a URL, not 5/],
    [
      "a worker's export without a name",
      { worker: { module: "/x.js", export: "" } },
      /export of worker is a text that/,
    ],
    ["a text for errors", { errors: "BROKE" }, /errors of register\(\) is an object, not a string/],
    ["an error without a code", { errors: { BROKE: {} } }, /errors of register\(\): BROKE: undefined is not a code/],
    ["an error that is none", { errors: { BROKE: null } }, /BROKE is defined by a record with a code/],
    ["a number for deprecated", { deprecated: 1 }, /deprecated of register\(\) is a boolean or a text, not 1/],
  ])("refuses %s, wherever it is given", (_, options, message) => {
    const refused = (text: RegExp) =>
      expect.objectContaining({ name: "TypeError", code: "ERR_RAP_OPTION", message: expect.stringMatching(text) });
    const { registry } = setUp();
    expect(() => registry.register(sum, options)).toThrow(refused(message));
    expect(registry.list()).toEqual([]);
    const inContract = new RegExp(message.source.replace("register\\(\\)", "rpc\\(\\)"));
    expect(() => rpc(options as object, () => 1)).toThrow(refused(inContract));
  });

  test("refuses a generator as a channel", () => {
    expect(() => setUp().registry.registerChannel(count)).toThrow(registerError(/cannot be a channel/));
  });

  test("refuses a name that is taken and names function, group and kind", () => {
    const { registry } = setUp();
    registry.register(sum, { group: "g" });
    registry.registerChannel(echo);
    expect(() => registry.register({ sum }, { group: "g" })).toThrow(
      registerError(/a function "sum" in group "g" already/),
    );
    expect(() => registry.registerChannel(echo)).toThrow(registerError(/a channel "echo" in group "default" already/));
  });

  test("registers all functions of a record or none", () => {
    const { registry } = setUp();
    registry.register({ sum });
    const { version } = registry;
    expect(() => registry.register({ other: sum, sum })).toThrow(registerError(/already/));
    const named = rpc({ name: "one" }, () => 1);
    expect(() => registry.register({ a: named, b: named })).toThrow(registerError(/"one".*already/));
    expect(registry.list().map(({ name }) => name)).toEqual(["sum"]);
    expect(registry.version).toBe(version);
    registry.register({ other: sum });
    expect(registry.version).toBeGreaterThan(version);
  });

  test("warns once of names that a minifier may have made", () => {
    const { registry, lines } = setUp();
    const e = () => 1;
    const t = () => 1;
    registry.register(e);
    registry.register(t);
    expect(lines).toMatchObject([{ level: "warn", name: "e", msg: expect.stringContaining("minifier") as unknown }]);
  });

  test("does not warn of short names that were given", () => {
    const { registry, lines } = setUp();
    const e = () => 1;
    registry.register({ e });
    registry.register(e, { name: "f" });
    registry.register(rpc({ name: "g" }, e));
    expect(lines).toEqual([]);
  });
});

describe("a registered method", () => {
  test("is frozen", () => {
    const method = registered(sum, { input: [z.int(), z.int()] });
    expect(Object.isFrozen(method)).toBe(true);
    expect(Object.isFrozen(method.contract)).toBe(true);
  });

  test("keeps its contract for reflection", () => {
    const input = [z.int(), z.int()] as const;
    const output = z.int();
    const errors = { TOO_MUCH: { code: "OUT_OF_RANGE" as const } };
    const documented = { summary: "Adds", doc: "…", deprecated: "plus" };
    const add = rpc({ name: "add", input, output, errors, params: ["a", "b"], ...documented }, (a, b) => a + b);
    expect(registered(add)).toMatchObject({
      contract: { input, output },
      params: ["a", "b"],
      errors,
      ...documented,
    });
  });

  test("binds arguments by its schemas and names", () => {
    const method = registered(sum, { input: [z.int(), z.int()], params: ["a", "b"] });
    expect(method.bind([1, 2], -1)).toEqual([1, 2]);
    expect(method.bind({ b: 2, a: 1 }, -1)).toEqual([1, 2]);
    expect(() => method.bind(["1", 2], -1)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    expect(() => method.bind([1, 2], 1)).toThrow("b is a stream where a value is due");
    expect(registered(sum, { params: ["a", "b"] }).bind!({ b: 2, a: 1 }, -1)).toEqual([1, 2]);
  });

  test("does not change when a function is registered twice with different contracts", () => {
    const { registry } = setUp();
    registry.register(sum, { name: "checked", input: [z.int(), z.int()] });
    registry.register(sum, { name: "free" });
    expect(registry.find("default/checked")!.checked).toBe(true);
    expect(registry.find("default/free")!.checked).toBe(false);
  });

  test.each<[string, z.ZodType, unknown]>([
    ["at once", z.string().transform((text) => text.length), 4],
    ["later, with an asynchronous schema", z.string().transform(async (text) => text.length), 4],
  ])("gives results as its schema does, %s", async (_, output, expected) => {
    expect(await registered(sum, { output }).checkResult!("four")).toBe(expected);
  });

  const wrong = { items: [{ secret: "s3cret" }] };
  const item = z.object({ secret: z.int() });

  test.each<[string, z.ZodType]>([
    ["at once", z.object({ items: z.array(item) })],
    ["later", z.object({ items: z.array(item.refine(async () => true)) })],
  ])("fails with INTERNAL for a wrong result, %s, and says why in the log only", async (_, output) => {
    const { registry, lines } = setUp();
    registry.register(sum, { output });
    const check = async () => registry.list()[0]!.checkResult!(wrong);
    const message = "the result of default/sum does not match its schema";
    await expect(check()).rejects.toMatchObject({ code: "INTERNAL", message, details: [] });
    expect(lines).toMatchObject([{ level: "error", method: "default/sum", issues: [{ path: "items.0.secret" }] }]);
    expect(JSON.stringify(lines)).not.toContain("s3cret");
  });
});

const seed = Date.now() % 2 ** 31;

test(`any text is a name under which a function is found, or is refused in words (seed ${seed})`, () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.stringMatching(/^[\w.$/-]{1,300}$/),
    fc.constantFrom("__proto__", "constructor", "toString", "then", "rap.health.v1", "", "a/b"),
  );
  fc.assert(
    fc.property(text, text, (name, group) => {
      const { registry } = setUp();
      try {
        registry.register(sum, { name, group });
        expect(registry.list().map((method) => [method.group, method.name])).toEqual([[group, name]]);
      } catch (error) {
        expect(error).toEqual(registerError(/./));
        expect(registry.list()).toEqual([]);
      }
    }),
    { seed, numRuns: 2_000 },
  );
});
