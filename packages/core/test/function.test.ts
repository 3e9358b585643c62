import { text } from "node:stream/consumers";
import { RapError } from "@rap/protocol";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { type as ArkType } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import { type ArgumentIssue, channel, checkArguments, contractOf, isChannel, rpc } from "../src/function";
import { plainNode } from "./plain-node";

const failure = async (check: () => unknown): Promise<RapError> => {
  try {
    await check();
  } catch (error) {
    if (RapError.is(error)) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("rpc", () => {
  test("attaches a contract to the function itself, which stays directly callable", () => {
    const sum = (a: number, b: number) => a + b;
    const checked = rpc({ name: "sum", input: [z.int(), z.int()], timeout: 5 }, sum);
    expect(checked).toBe(sum);
    expect(checked(1, 2)).toBe(3);
    expect(contractOf(sum)).toMatchObject({ name: "sum", timeout: 5 });
    expect(Object.keys(sum)).toEqual([]);
  });

  test("leaves a function that has a contract alone and returns a copy", () => {
    const first = rpc({ name: "first" }, async function* count(to: number) {
      for (let n = 0; n < to; n++) yield n;
    });
    const second = rpc({ name: "second" }, first);
    expect(second).not.toBe(first);
    expect(contractOf(first)?.name).toBe("first");
    expect(contractOf(second)?.name).toBe("second");
    expect(second.name).toBe("count");
    expect(Object.prototype.toString.call(second)).toBe("[object AsyncGeneratorFunction]");
  });

  test("copies a frozen function", () => {
    const frozen = Object.freeze((a: number) => a + 1);
    const checked = rpc({ idempotent: true }, frozen);
    expect(contractOf(checked)).toEqual({ idempotent: true });
    expect(contractOf(frozen)).toBeUndefined();
    expect(checked(1)).toBe(2);
  });

  test("is not changed by later changes of its options", () => {
    const options = { name: "before" };
    const fn = rpc(options, () => 1);
    options.name = "after";
    expect(contractOf(fn)).toEqual({ name: "before" });
  });

  test("knows nothing of functions without a contract, whatever they inherit", () => {
    class Base {}
    rpc({ name: "base" }, Base as never);
    class Derived extends Base {}
    expect(contractOf(Derived as never)).toBeUndefined();
  });

  test.each([undefined, null, {}, "fn"])("refuses %p", (value) => {
    expect(() => rpc({}, value as never)).toThrow(expect.objectContaining({ code: "ERR_RAP_REGISTER" }));
    expect(() => channel(value as never)).toThrow(expect.objectContaining({ code: "ERR_RAP_REGISTER" }));
  });

  test("gives the parameters the types of their schemas", () => {
    const fn = rpc({ input: [z.int(), v.string(), z.boolean()] }, (a, b, c) => ({ a, b, c }));
    fn(1, "b", true) satisfies { a: number; b: string; c: boolean };
    // @ts-expect-error the second argument is a string
    fn(1, 2, true);
    // @ts-expect-error the parameter does not take what the schema gives
    rpc({ input: [z.int()] }, (a: string) => a);
    // @ts-expect-error the second parameter has no schema
    rpc({ input: [z.int()] }, (a: number, b: number) => a + b);
    rpc({ input: [z.string().transform(Number)] }, (a) => a satisfies number);
    rpc({ input: [z.string()] }, async (name, items: AsyncIterable<number>) => {
      for await (const item of items) name += item;
      return name;
    })("a", (async function* () {})()) satisfies Promise<string>;
    rpc({ params: ["a"] }, (a: number) => a)(1) satisfies number;
    const ofArktype = (type: typeof ArkType) =>
      rpc({ input: [type("string.date.parse"), type("number")] }, (at, n) => at.getTime() + n);
    (() => ofArktype) satisfies () => (type: typeof ArkType) => (at: Date, n: number) => number;
    // @ts-expect-error not an option
    expect(() => rpc({ nmae: "typo" }, () => 1)).toThrow('did you mean "name"?');
    expect(fn(1, "b", true)).toEqual({ a: 1, b: "b", c: true });
  });
});

describe("channel", () => {
  test("marks the function itself", () => {
    const echo = async () => {};
    expect(isChannel(echo)).toBe(false);
    expect(channel(echo)).toBe(echo);
    expect(isChannel(echo)).toBe(true);
    expect(channel(echo)).toBe(echo);
  });

  test("goes together with a contract, in either order, also when copied", () => {
    for (const fn of [
      channel(rpc({ timeout: 5 }, async () => {})),
      rpc(
        { timeout: 5 },
        channel(async () => {}),
      ),
    ]) {
      expect(isChannel(fn)).toBe(true);
      expect(contractOf(fn)).toEqual({ timeout: 5 });
    }
    const copy = rpc(
      { timeout: 2 },
      rpc(
        { timeout: 1 },
        channel(async () => {}),
      ),
    );
    expect(isChannel(copy)).toBe(true);
    expect(contractOf(copy)).toEqual({ timeout: 2 });
  });

  test("sees no channel in what is no function", () => {
    expect(isChannel(undefined as never)).toBe(false);
  });
});

describe("checkArguments", () => {
  const libraries: [string, StandardSchemaV1[]][] = [
    ["zod", [z.int(), z.string()]],
    ["valibot", [v.pipe(v.number(), v.integer()), v.string()]],
  ];

  describe.each(libraries)("with schemas of %s", (_, schemas) => {
    test("passes what matches, without a promise", () => {
      expect(checkArguments(schemas, undefined, [1, "a"])).toEqual([1, "a"]);
    });

    test.each<[string, unknown[], string]>([
      ["a wrong type", ["1", "a"], "args[0]"],
      ["a wrong type further on", [1, 2], "args[1]"],
      ["null", [null, "a"], "args[0]"],
      ["too few", [1], "args[1]"],
      ["none", [], "args[0]"],
      ["too many", [1, "a", 2], "args[2]"],
    ])("refuses %s and names the parameter", async (_case, args, param) => {
      const error = await failure(() => checkArguments(schemas, undefined, args));
      expect(error.code).toBe("INVALID_ARGUMENT");
      expect(error.message).toContain(param);
      expect(error.details[0]).toEqual({ param, path: [], message: expect.any(String) as unknown });
    });
  });

  test("works alike with schemas of arktype", async () => {
    const child = plainNode(`
      const { type } = require("arktype");
      const { checkArguments } = require(SRC + "function.ts");
      const schemas = [type("number.integer"), type({ "name?": "string" })];
      const of = (args) => { try { return checkArguments(schemas, ["id", "who"], args); } catch (error) { return error.message; } };
      console.log(JSON.stringify([of([1, { name: "a" }]), of({ id: 1.5, who: {} }), of([1, { name: 7 }]), of([1])]));`);
    expect(JSON.parse(await text(child.stdout))).toEqual([
      [1, { name: "a" }],
      expect.stringMatching(/^id: must be/),
      expect.stringMatching(/^who\.name: /),
      "who is missing",
    ]);
  }, 20_000);

  test("gives what the schemas give: defaults and transformed values", () => {
    const schemas = [z.string().transform((text) => text.length), z.number().default(7)];
    expect(checkArguments(schemas, undefined, ["four"])).toEqual([4, 7]);
  });

  test("does not touch the arguments it was given", () => {
    const args = Object.freeze(["four"]) as unknown[];
    expect(checkArguments([z.string().transform((text) => text.length)], undefined, args)).toEqual([4]);
    expect(args).toEqual(["four"]);
  });

  test("lets trailing arguments be absent where the schema accepts undefined", () => {
    expect(checkArguments([z.int(), z.int().optional()], undefined, [1])).toEqual([1, undefined]);
  });

  test("names parameter and path of each issue, in the message and in the details", async () => {
    const order = z.object({ items: z.array(z.object({ qty: z.int() })) });
    const args = [1, { items: [{ qty: 1 }, { qty: "2" }] }];
    const error = await failure(() => checkArguments([z.string(), order], ["id", "order"], args));
    expect(error.message).toMatch(/^id: .*; order\.items\[1\]\.qty: /);
    expect(error.details).toEqual([
      { param: "id", path: [], message: expect.any(String) as unknown },
      { param: "order", path: ["items", 1, "qty"], message: expect.any(String) as unknown },
    ]);
  });

  test("bounds what it says of arguments that are wrong in many places", async () => {
    const args = [Array.from({ length: 10_000 }, () => "x".repeat(1_000))];
    const error = await failure(() => checkArguments([z.array(z.int())], ["list"], args));
    expect(error.details).toHaveLength(16);
    expect(error.message).toMatch(/; and 13 more$/);
    expect(error.message.length).toBeLessThan(1_000);
    const named = await failure(() => checkArguments(undefined, ["a"], { ["k".repeat(10_000)]: 1, a: 1 }));
    expect(named.message.length).toBeLessThan(300);
  });

  test("gives a promise only where a schema is asynchronous, and runs the others too", async () => {
    const even = z.int().refine(async (n) => n % 2 === 0, "odd");
    const checked = checkArguments([even, z.string(), even], undefined, [2, "a", 4]);
    expect(checked).toBeInstanceOf(Promise);
    expect(await checked).toEqual([2, "a", 4]);
    const error = await failure(() => checkArguments([even, z.string(), even], undefined, [1, 2, 3]));
    expect(error.details.map((issue) => (issue as ArgumentIssue).param)).toEqual(["args[0]", "args[1]", "args[2]"]);
  });

  test("passes on what a schema throws or rejects with, and leaves no rejection unhandled", async () => {
    // By hand: zod calls a check twice to find out that it is asynchronous, and drops the promise of the first time.
    const schema = (validate: () => Promise<never>): StandardSchemaV1 => ({
      "~standard": { version: 1, vendor: "test", validate },
    });
    const throws = schema(() => {
      throw new Error("broken schema");
    });
    const rejects = schema(() => Promise.reject(new Error("broken schema")));
    expect(() => checkArguments([throws], undefined, [1])).toThrow("broken schema");
    await expect(checkArguments([rejects, throws], undefined, [1, 1])).rejects.toThrow("broken schema");
  });

  describe("with named arguments", () => {
    const schemas = [z.int(), z.int().optional()];

    test("puts them in the order of the parameters", () => {
      expect(checkArguments(undefined, ["a", "b"], { b: 2, a: 1 })).toEqual([1, 2]);
      expect(checkArguments(schemas, ["a", "b"], { b: 2, a: 1 })).toEqual([1, 2]);
      expect(checkArguments(schemas, ["a", "b"], { a: 1 })).toEqual([1, undefined]);
      expect(checkArguments(undefined, ["a"], Object.assign(Object.create(null), { a: 1 }))).toEqual([1]);
    });

    test("takes a list as well", () => {
      expect(checkArguments(undefined, ["a", "b"], [1, 2, 3])).toEqual([1, 2, 3]);
    });

    test.each<[string, StandardSchemaV1[] | undefined, unknown, RegExp]>([
      ["an unknown name", undefined, { a: 1, b: 2, c: 3 }, /^c is not the name of a parameter$/],
      ["a missing one", undefined, { a: 1 }, /^b is missing$/],
      ["a missing one with schemas", schemas, { b: 1 }, /^a is missing$/],
      ["a wrong one", schemas, { a: "1" }, /^a: /],
      ["what objects inherit", undefined, { a: 1, b: 2, constructor: 3 }, /^constructor is not/],
      ["a Map", undefined, new Map([["a", 1]]), /list of values/],
      ["a number", undefined, 7, /list of values/],
      ["null", undefined, null, /list of values/],
    ])("refuses %s", async (_, given, args, message) => {
      const error = await failure(() => checkArguments(given, ["a", "b"], args));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) as unknown });
    });

    test("reads own properties only", async () => {
      const error = await failure(() => checkArguments(undefined, ["toString", "constructor"], {}));
      expect(error.message).toBe("toString is missing; constructor is missing");
    });

    test("refuses them where no names are declared", async () => {
      const error = await failure(() => checkArguments(schemas, undefined, { a: 1 }));
      expect(error).toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringContaining("by position") as unknown,
      });
    });
  });

  describe("with a streamed argument", () => {
    test("takes it right after the arguments that have schemas, sent with a placeholder or without", () => {
      expect(checkArguments([z.int()], undefined, [1], 1)).toEqual([1]);
      expect(checkArguments([z.int()], undefined, [1, null], 1)).toEqual([1, null]);
      expect(checkArguments([z.int()], ["a", "items"], { a: 1 }, 1)).toEqual([1, undefined]);
      expect(checkArguments(undefined, ["a", "items"], { a: 1 }, 1)).toEqual([1, undefined]);
    });

    test.each<[string, unknown[], number, RegExp]>([
      ["where a value is due", [null, 2], 0, /^args\[0\] is a stream where a value is due$/],
      ["further on", [1, 2], 3, /^args\[3\] is a stream that nothing expects$/],
      ["with more arguments after it", [1, 2, null, 3], 2, /^args\[3\] is one too many/],
    ])("refuses it %s", async (_, args, streamIndex, message) => {
      const error = await failure(() => checkArguments([z.int(), z.int()], undefined, args, streamIndex));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) as unknown });
    });
  });
});
