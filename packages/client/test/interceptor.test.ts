import { describe, expect, test } from "@jest/globals";
import { Metadata, RapError } from "@rap/protocol";
import { type Channel, context, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import type { Interceptor, OutgoingCall } from "../src";

function newServer(): Server {
  return new Server()
    .register({
      add: (a: number, b: number) => a + b,
      async *count(to: number) {
        for (let n = 1; n <= to; n++) yield n;
      },
      seen: () => Object.fromEntries(context().metadata),
      fail: () => {
        throw new RapError("UNAVAILABLE", "busy");
      },
    })
    .registerChannel(async function echo(channel: Channel<string, string>) {
      for await (const body of channel) await channel.write(body);
    });
}

async function pairWith(...interceptors: Interceptor[]) {
  const pair = await createTestPair(newServer());
  pair.client.use(...interceptors);
  return pair;
}

describe("an interceptor", () => {
  test("wraps every call, the first loaded outermost", async () => {
    const log: string[] = [];
    const named =
      (name: string): Interceptor =>
      async (call, next) => {
        log.push(`${name} in`);
        const result = await next(call);
        log.push(`${name} out`);
        return result;
      };
    await using pair = await pairWith(named("a"), named("b"));
    pair.client.use(named("c"));
    expect(await pair.client.invokeByName("add", [1, 2])).toBe(3);
    expect(log).toEqual(["a in", "b in", "c in", "c out", "b out", "a out"]);
  });

  test("sees what is called, and may change arguments and result", async () => {
    const calls: OutgoingCall[] = [];
    await using pair = await pairWith(async (call, next) => {
      calls.push({ ...call });
      call.args = [10, ...call.args.slice(1)];
      return `${String(await next(call))}!`;
    });
    const add = pair.client.register<(a: number, b: number) => number>("add", { timeout: 5_000 });
    expect(await add(1, 2)).toBe("12!");
    expect(calls).toEqual([{ method: "add", group: "default", args: [1, 2], options: { timeout: 5_000 }, attempt: 1 }]);
  });

  test("sees arguments by name apart, and may change them, or give others by position", async () => {
    const calls: OutgoingCall[] = [];
    await using pair = await pairWith(async (call, next) => {
      calls.push({ ...call });
      if (call.named?.a === 1) call.named = { ...call.named, a: 10 };
      else call.args = [20, 2];
      return next(call);
    });
    expect(await pair.client.invokeByName("add", { a: 1, b: 2 })).toBe(12);
    expect(await pair.client.invokeByName("add", { a: 2, b: 2 })).toBe(22);
    expect(calls).toMatchObject([
      { args: [], named: { a: 1, b: 2 } },
      { args: [], named: { a: 2, b: 2 } },
    ]);
  });

  test("may add metadata by spreading what is there, be it a record or Metadata", async () => {
    await using pair = await pairWith(async (call, next) => {
      call.options.metadata = { ...(call.options.metadata as object), "x-request-id": "r1" };
      return next(call);
    });
    for (const metadata of [undefined, { a: "1" }, new Metadata({ a: "1" })]) {
      const found = await pair.client.invokeByName("seen", [], { metadata });
      expect(found).toEqual({ ...(metadata !== undefined && { a: "1" }), "x-request-id": "r1" });
    }
  });

  test("changes one call only, not the function's own options", async () => {
    let first = true;
    await using pair = await pairWith(async (call, next) => {
      if (first) call.options.metadata = { once: "1" };
      first = false;
      return next(call);
    });
    const seen = pair.client.register<() => object>("seen", { metadata: { own: "1" } });
    expect([await seen(), await seen()]).toEqual([{ once: "1" }, { own: "1" }]);
  });

  test("may answer itself, or fail, without anything being sent", async () => {
    await using pair = await pairWith(async ({ method }) => {
      if (method === "add") return 42;
      throw new RapError("PERMISSION_DENIED", "not today");
    });
    expect(await pair.client.invokeByName("add", [1, 2])).toBe(42);
    await expect(pair.client.invokeByName("seen")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    expect(pair.client.stats().inFlight).toBe(0);
  });

  test("may try again, and gives on what it throws", async () => {
    let tries = 0;
    await using pair = await pairWith(async (call, next) => {
      for (;;) {
        try {
          return await next(call);
        } catch (error) {
          if (!RapError.is(error, "UNAVAILABLE") || ++tries === 3) throw error;
        }
      }
    });
    await expect(pair.client.invokeByName("fail")).rejects.toMatchObject({ code: "UNAVAILABLE", message: "busy" });
    expect(tries).toBe(3);
  });

  test("gets the stream of a call that streams, and the caller has its own at once", async () => {
    const kinds: string[] = [];
    await using pair = await pairWith(async (call, next) => {
      await new Promise((resolve) => setImmediate(resolve));
      call.args = [3];
      const result = await next(call);
      kinds.push(Symbol.asyncIterator in (result as object) ? "stream" : "value");
      return result;
    });
    const stream = pair.client.registerGen<(to: number) => AsyncGenerator<number>>("count")(1);
    const items: number[] = [];
    for await (const item of stream) items.push(item);
    expect([items, kinds]).toEqual([[1, 2, 3], ["stream"]]);
  });

  test("that fails before a stream has begun fails its first item", async () => {
    await using pair = await pairWith(async () => {
      throw new RapError("ABORTED", "no");
    });
    const stream = pair.client.registerGen<(to: number) => AsyncGenerator<number>>("count")(1);
    await expect(stream.next()).rejects.toMatchObject({ code: "ABORTED", message: "no" });
  });

  test("wraps the opening of a channel", async () => {
    const log: string[] = [];
    await using pair = await pairWith(async (call, next) => {
      log.push(call.method);
      return next(call);
    });
    const echo = pair.client.registerChannel<(c: Channel<string, string>) => Promise<void>>("echo");
    const found: string[] = [];
    await echo(async (channel) => {
      await channel.write("hi");
      found.push(await channel.readBody());
    });
    expect([log, found]).toEqual([["echo"], ["hi"]]);
  });

  test("sees no call of another client", async () => {
    const log: string[] = [];
    await using pair = await pairWith(async (call, next) => {
      log.push(call.method);
      return next(call);
    });
    await using other = await createTestPair(newServer());
    await other.client.invokeByName("add", [1, 2]);
    await pair.client.invokeByName("seen");
    expect(log).toEqual(["seen"]);
  });
});
