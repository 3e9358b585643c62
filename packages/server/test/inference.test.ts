import { describe, expect, test } from "@jest/globals";
import * as v from "valibot";
import * as z from "zod";
import { type Channel, channel, connMiddleware, messageMiddleware, rpc, type Server } from "../src";

// What the compiler makes of a registration: `npm run typecheck` is the judge of the functions that nobody calls.

describe("a function with schemas", () => {
  test("has the arguments that its schemas give, and stays a plain function", () => {
    const zodSum = rpc({ name: "zodSum", input: [z.int(), z.int()], output: z.int() }, (a, b) => a + b);
    const valibotSum = rpc({ input: [v.number(), v.number()], idempotent: true, timeout: 500 }, (a, b) => a + b);
    zodSum(1, 2) satisfies number;
    expect([zodSum(1, 2), valibotSum(3, 4)]).toEqual([3, 7]);
  });

  test("gets what a schema makes of an argument, not what came in", () => {
    const at = rpc({ input: [z.string().transform((text) => new Date(text)), z.number().default(5)] }, (date, n) => {
      date satisfies Date;
      n satisfies number;
      return date.getTime() + n;
    });
    expect(at(new Date(1), 2)).toBe(3);
  });

  test("may be asynchronous, a generator, or take a stream after its checked arguments", async () => {
    const later = rpc({ input: [z.string()] }, async (text) => text.length);
    (await later("abc")) satisfies number;
    const gen = rpc({ input: [z.number()] }, async function* (to) {
      for (let n = 0; n < to; n++) yield n;
    });
    for await (const n of gen(1)) n satisfies number;
    const total = rpc({ input: [z.string()] }, async (name, items: AsyncIterable<number>) => {
      let sum = 0;
      for await (const item of items) sum += item;
      return `${name} ${sum}`;
    });
    expect(await total("a", gen(4))).toBe("a 6");
  });

  test("is held to them by the compiler", () => {
    const compiled = () => {
      const sum = rpc({ input: [z.number(), z.string()] }, (a, b) => `${a}${b}`);
      // @ts-expect-error the second argument is a string
      sum(1, 2);
      // @ts-expect-error the first parameter is a number
      rpc({ input: [z.number()] }, (a: string) => a);
      // @ts-expect-error there is no schema for the second one
      rpc({ input: [z.number()] }, (a, b: number) => a + b);
      // @ts-expect-error no option of that name
      rpc({ inputs: [z.number()] }, (a: number) => a);
    };
    expect(compiled).toBeInstanceOf(Function);
  });
});

describe("a registration", () => {
  test("takes functions, records and channels, each with its options, and gives the server back", () => {
    const compiled = (server: Server) => {
      const demo = (a: number, b: number) => a + b;
      async function echo(chat: Channel<string, string>): Promise<void> {
        for await (const body of chat.iterBody()) await chat.write(body);
      }
      server
        .register(demo, { name: "alias", group: "root", private: true, params: ["a", "b"] })
        .register({ demo, echo: channel(echo) }, { group: "checked" })
        .registerChannel(echo)
        .loadMiddleware([
          connMiddleware(async (conn, next) => (conn.local ? next() : conn.close("closed"))),
          messageMiddleware(async (ctx, args, next) => (ctx.method === "x" ? next(args) : next())),
        ]) satisfies Server;
      // @ts-expect-error a function of a Channel and nothing else
      server.registerChannel((a: number) => a);
      // @ts-expect-error no function
      server.register(5);
      // @ts-expect-error names are those of parameters
      server.register(demo, { params: "a" });
      // @ts-expect-error no option of that name
      server.register(demo, { prvate: true });
      // @ts-expect-error a middleware has a kind
      server.loadMiddleware([async () => {}]);
    };
    expect(compiled).toBeInstanceOf(Function);
  });
});
