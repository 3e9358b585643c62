import { expect, test } from "@jest/globals";
import { Shape } from "@rap/protocol";
import { Server } from "@rap/server";
import { memory } from "@rap/transport";
import fc from "fast-check";
import { leastInFlight } from "../src/balancer";
import { Client } from "../src/client";
import type { Endpoint } from "../src/endpoint";

/** Endpoints with so many calls in flight each, and with room for calls of these shapes. */
function endpoints(...list: ({ streams: number; holds?: number; room?: Shape[] } | undefined)[]): Endpoint[] {
  const all = Object.values(Shape);
  return list.map((each) => ({
    connection: each && { holds: 0, ...each, hasRoom: (shape: Shape) => (each.room ?? all).includes(shape) },
  })) as unknown as Endpoint[];
}

test("a call goes to the connection with the fewest in flight, the first of equals", () => {
  const list = endpoints({ streams: 3 }, { streams: 1 }, { streams: 1 }, { streams: 2 });
  expect(leastInFlight(list, Shape.UNARY)).toBe(list[1]!.connection);
});

test("an open session counts like a call, so that sessions are spread", () => {
  const list = endpoints({ streams: 0, holds: 2 }, { streams: 1 }, { streams: 0, holds: 1 });
  expect(leastInFlight(list, Shape.UNARY)).toBe(list[1]!.connection);
});

test("addresses without a connection, or without room for that shape, are passed over", () => {
  const list = endpoints(undefined, { streams: 0, room: [Shape.UNARY] }, { streams: 9 });
  expect(leastInFlight(list, Shape.UNARY)).toBe(list[1]!.connection);
  expect(leastInFlight(list, Shape.CHANNEL)).toBe(list[2]!.connection);
  expect(leastInFlight(endpoints(undefined), Shape.UNARY)).toBeUndefined();
  expect(leastInFlight([], Shape.UNARY)).toBeUndefined();
});

const seed = Date.now() % 2 ** 31;

test(`whatever is called and ends, only who has room is picked, and of those the least busy (seed ${seed})`, () => {
  const step = fc.record({ what: fc.constantFrom("call", "call", "end", "lose", "gain"), which: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      const up = [true, true, true, true, true];
      const streams = [0, 0, 0, 0, 0];
      for (const { what, which } of steps) {
        if (what === "lose" || what === "gain") {
          up[which] = what === "gain";
          streams[which] = 0;
        } else if (what === "end") streams[which] = Math.max(0, streams[which]! - 1);
        else {
          const list = endpoints(...streams.map((count, i) => (up[i] ? { streams: count } : undefined)));
          const picked = list.findIndex(({ connection }) => connection === leastInFlight(list, Shape.UNARY));
          const open = streams.filter((_, i) => up[i]);
          if (open.length === 0) expect(leastInFlight(list, Shape.UNARY)).toBeUndefined();
          else expect([up[picked], streams[picked]]).toEqual([true, Math.min(...open)]);
          if (up[picked]) streams[picked]!++;
        }
      }
    }),
    { seed, numRuns: 500 },
  );
});

test("calls that are open at the same time are spread over all servers alike", async () => {
  const world = memory();
  const seen = new Map<string, number>();
  const finish: (() => void)[] = [];
  const addresses = ["memory://a", "memory://b", "memory://c"];
  await using stack = new AsyncStack();
  for (const address of addresses) {
    const server = new Server();
    server.register({
      hold: () => {
        seen.set(address, (seen.get(address) ?? 0) + 1);
        return new Promise<void>((resolve) => finish.push(resolve));
      },
    });
    await server.listen({ transport: world, address });
    stack.add(server);
  }
  const client = new Client({ target: addresses, transports: [world] });
  stack.add(client);
  await client.start();
  const calls = Array.from({ length: 60 }, () => client.invokeByName("hold"));
  while (finish.length < 60) await new Promise((resolve) => setImmediate(resolve));
  expect(Object.fromEntries(seen)).toEqual({ "memory://a": 20, "memory://b": 20, "memory://c": 20 });
  for (const resolve of finish) resolve();
  await Promise.all(calls);
});

/** Ends what was begun, the last first. */
class AsyncStack implements AsyncDisposable {
  readonly #all: AsyncDisposable[] = [];

  add(each: AsyncDisposable): void {
    this.#all.unshift(each);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#all) await each[Symbol.asyncDispose]();
  }
}
