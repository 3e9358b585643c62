import { types } from "node:util";
import { type MessageMiddleware, messageMiddleware, type RequestContext, runMessageMiddleware } from "../src";

const context = {} as RequestContext;

/** What a middleware makes of a function, called with `args`. */
function run(dispatch: MessageMiddleware["dispatch"], call: (args: unknown[]) => unknown, args: unknown[] = [1]) {
  return runMessageMiddleware([messageMiddleware(dispatch)], context, args, call);
}

describe("what next() gives a middleware", () => {
  const one = () => "one";
  const failing = () => {
    throw new Error("failed");
  };

  it("is the value itself where a function that is not async passes it on", () => {
    let given: unknown;
    const result = run((_ctx, args, next) => {
      given = next(args);
      return given as Promise<unknown>;
    }, one);
    expect(result).toBe("one");
    // Nobody asked for a promise, so none was made.
    expect([types.isPromise(given), given instanceof Promise]).toEqual([false, true]);
  });

  it("is not the result where it is not returned", async () => {
    const withheld: MessageMiddleware["dispatch"] = (_ctx, args, next) => void next(args) as never;
    expect(run(withheld, one)).toBeUndefined();
    expect(await run(async (...given) => void withheld(...given), one)).toBeUndefined();
    const replaced: MessageMiddleware["dispatch"] = (_ctx, args, next) => {
      void next(args);
      return "another" as never;
    };
    expect(run(replaced, one)).toBe("another");
  });

  it("is that of its own call, also when the next one returns it", async () => {
    const kept: Promise<unknown>[] = [];
    const late: MessageMiddleware["dispatch"] = (_ctx, args, next) => {
      kept.push(next(args));
      return kept[0]!;
    };
    expect(run(late, one)).toBe("one");
    expect(await run(late, () => "two")).toBe("one");
  });

  it("goes through async functions and others in any order", async () => {
    const pass = messageMiddleware((_ctx, args, next) => next(args));
    const awaits = messageMiddleware(async (_ctx, args, next) => `${await next(args)}!`);
    for (const call of [one, async () => one()]) {
      expect(await runMessageMiddleware([pass, awaits, pass], context, [], call)).toBe("one!");
      expect(await runMessageMiddleware([awaits, pass, awaits], context, [], call)).toBe("one!!");
    }
  });

  it("takes what a thenable gives, and what one throws", async () => {
    // biome-ignore lint/suspicious/noThenProperty: this is what is tested
    const thenable = () => ({ then: (resolve: (value: unknown) => void) => resolve("later") });
    const trap = () =>
      // biome-ignore lint/suspicious/noThenProperty: so is this
      Object.defineProperty({}, "then", {
        get: () => {
          throw new Error("do not look");
        },
      });
    for (const pass of [
      (_ctx, args, next) => next(args),
      async (_ctx, args, next) => next(args),
    ] satisfies MessageMiddleware["dispatch"][]) {
      expect(await run(pass, thenable)).toBe("later");
      await expect(run(pass, trap)).rejects.toThrow("do not look");
    }
  });

  it("may be asked for once", async () => {
    const twice: MessageMiddleware["dispatch"] = (_ctx, args, next) => {
      void next(args);
      return next(args);
    };
    await expect(run(twice, one)).rejects.toMatchObject({ code: "ERR_RAP_MIDDLEWARE" });
  });

  it("passes through several of them without a promise", () => {
    const pass = messageMiddleware((_ctx, args, next) => next(args));
    expect(runMessageMiddleware([pass, pass, pass], context, [], one)).toBe("one");
  });

  it("is a promise of Node's for an async function, which is fastest to await", async () => {
    let given: unknown;
    const result = run(async (_ctx, args, next) => {
      given = next(args);
      return given;
    }, one);
    expect(types.isPromise(given)).toBe(true);
    expect(await result).toBe("one");
  });

  it.each<[string, MessageMiddleware["dispatch"]]>([
    ["then", (_ctx, args, next) => next(args).then((value) => `${value}!`)],
    [
      "catch",
      (_ctx, args, next) =>
        next(args)
          .catch(() => "never")
          .then((value) => `${value}!`),
    ],
    [
      "finally",
      (_ctx, args, next) =>
        next(args)
          .finally(() => "ignored")
          .then((value) => `${value}!`),
    ],
    ["Promise.all", (_ctx, args, next) => Promise.all([next(args)]).then(([value]) => `${value}!`)],
    ["Promise.resolve", (_ctx, args, next) => Promise.resolve(next(args)).then((value) => `${value}!`)],
    ["await in a function of its own", (_ctx, args, next) => (async () => `${await next(args)}!`)()],
  ])("works as a promise: %s", async (_name, dispatch) => {
    expect(await run(dispatch, one)).toBe("one!");
    expect(await run(dispatch, async () => "one")).toBe("one!");
  });

  it("calls back later, as every promise does", async () => {
    const order: string[] = [];
    const result = run((_ctx, args, next) => {
      const rest = next(args).then(() => order.push("then"));
      order.push("after then");
      return rest;
    }, one);
    await result;
    expect(order).toEqual(["after then", "then"]);
  });

  it("is rejected with what the function threw", async () => {
    await expect(run((_ctx, args, next) => next(args), failing)).rejects.toThrow("failed");
    expect(await run((_ctx, args, next) => next(args).catch((error) => error.message), failing)).toBe("failed");
    expect(
      await run(
        (_ctx, args, next) => next(args).then(undefined, (error) => error.message),
        async () => failing(),
      ),
    ).toBe("failed");
  });

  it("can be asked again", async () => {
    const result = run(async (_ctx, args, next) => {
      const rest = next(args);
      return [await rest, await rest];
    }, one);
    expect(await result).toEqual(["one", "one"]);
    const later = run((_ctx, args, next) => {
      const rest = next(args);
      return Promise.all([rest.then((value) => value), rest.then((value) => value)]);
    }, one);
    expect(await later).toEqual(["one", "one"]);
  });
});
