import { describe, expect, test } from "@jest/globals";
import type { Connection } from "./context";
import { type ConnMiddleware, type MessageMiddleware, runConnMiddleware, runMessageMiddleware } from "./middleware";
import { callContext, connection, testHost } from "./stand-in";
import { nextTurn } from "./turn";

/** What the suite needs to know of a middleware to test it. */
export interface MiddlewareSetup {
  /** A connection that it lets pass, where it does not let pass all: `{ remoteAddress: "192.0.2.1" }`. */
  passes?: Partial<Connection>;
  /** Connections that it refuses, if it does that. */
  refuses?: readonly Partial<Connection>[];
  /** Arguments of a call that it lets pass. Default: `["argument"]`. */
  args?: readonly unknown[];
}

/**
 * The laws of connection and message middleware as a Jest suite. The tests of one begin with a few lines:
 *
 * ```ts
 * import { middlewareCompliance } from "@rap/core/compliance";
 * middlewareCompliance("my door", () => new Door(), { refuses: [{ remoteAddress: "192.0.2.9" }] });
 * ```
 */
export function middlewareCompliance(
  name: string,
  create: () => ConnMiddleware | MessageMiddleware,
  setup: MiddlewareSetup = {},
): void {
  describe(`the middleware ${name}`, () => {
    test("starts and stops, twice on one host and beside another of its kind", async () => {
      const host = testHost();
      const [one, other] = [create(), create()];
      for (let round = 0; round < 2; round++) {
        await one.onStart?.(host);
        await other.onStart?.(host);
        await other.onStop?.(host);
        await one.onStop?.(host);
      }
    });

    const { kind } = create();
    if (kind === "conn") connLaws(create as () => ConnMiddleware, setup);
    else messageLaws(create as () => MessageMiddleware, setup);
  });
}

function connLaws(create: () => ConnMiddleware, { passes = {}, refuses = [] }: MiddlewareSetup): void {
  async function started(): Promise<ConnMiddleware> {
    const middleware = create();
    await middleware.onStart?.(testHost());
    return middleware;
  }

  test("wraps the whole life of a connection that it lets pass", async () => {
    const middleware = await started();
    const visit = new Visit(passes);
    const over = Promise.resolve(middleware.dispatch(visit.conn, visit.next)).then(() => "over");
    await visit.admitted;
    expect(await Promise.race([over, pause("still there")])).toBe("still there");
    visit.leave();
    expect(await over).toBe("over");
    expect([visit.admissions, visit.reasons]).toEqual([1, []]);
  });

  test("passes on an error of what it wraps, and works on", async () => {
    const middleware = await started();
    const error = new Error("of what it wraps");
    await expect((async () => middleware.dispatch(new Visit(passes).conn, () => Promise.reject(error)))()).rejects.toBe(
      error,
    );
    const visit = new Visit(passes);
    visit.leave();
    await middleware.dispatch(visit.conn, visit.next);
    expect(visit.admissions).toBe(1);
  });

  test("keeps connections apart that come and go at the same time", async () => {
    const middleware = await started();
    const visits = Array.from({ length: 9 }, () => new Visit(passes));
    const left: Visit[] = [];
    const ends = visits.map(async (visit) => {
      await middleware.dispatch(visit.conn, visit.next);
      left.push(visit);
    });
    await Promise.all(visits.map(({ admitted }) => admitted));
    const order = [4, 0, 8, 2, 6, 1, 7, 3, 5].map((index) => visits[index]!);
    for (const [index, visit] of order.entries()) {
      visit.leave();
      await ends[visits.indexOf(visit)];
      expect(left).toEqual(order.slice(0, index + 1));
    }
  });

  test("works beside another of its kind", async () => {
    const host = testHost();
    const list = [create(), create()];
    for (const middleware of list) await middleware.onStart?.(host);
    for (let round = 0; round < 3; round++) {
      const visit = new Visit(passes);
      const over = runConnMiddleware(list, visit.conn, visit.next);
      await visit.admitted;
      visit.leave();
      await over;
      expect([visit.admissions, visit.reasons]).toEqual([1, []]);
    }
    for (const middleware of list.reverse()) await middleware.onStop?.(host);
  });

  test("its filter, if it has one, says at once that what it lets pass may come, with TLS and without", async () => {
    const middleware = await started();
    const { remoteAddress, remotePort, local } = new Visit(passes).conn;
    for (const tls of [false, true]) {
      expect(middleware.filter?.({ remoteAddress, remotePort, local, tls }) ?? true).toBe(true);
    }
  });

  if (refuses.length === 0) return;

  test.each(refuses)("refuses %j: closes it with a reason, and does not go on", async (refused) => {
    const middleware = await started();
    const visit = new Visit(refused);
    await middleware.dispatch(visit.conn, visit.next);
    expect(visit.admissions).toBe(0);
    expect(visit.reasons).toEqual([expect.stringMatching(/\S/)]);
  });
}

function messageLaws(create: () => MessageMiddleware, { args = ["argument"] }: MiddlewareSetup): void {
  async function started(): Promise<MessageMiddleware> {
    const middleware = create();
    await middleware.onStart?.(testHost());
    return middleware;
  }

  async function* count(from: number, left: () => void): AsyncGenerator<number> {
    try {
      for (let i = from; i < from + 100; i++) yield i;
    } finally {
      left();
    }
  }

  test("goes on once with a list of arguments, and gives the result of a call that it lets pass", async () => {
    const middleware = await started();
    const calls: unknown[] = [];
    const call = async (given: unknown[]) => calls.push(given) && { result: [1, "two"] };
    expect(await runMessageMiddleware([middleware], callContext("unary"), [...args], call)).toEqual({
      result: [1, "two"],
    });
    expect(calls).toEqual([expect.any(Array)]);
  });

  test("leaves a failed call failed", async () => {
    const middleware = await started();
    const call = () => Promise.reject(new Error("of the call"));
    const run = async () => runMessageMiddleware([middleware], callContext("unary"), [...args], call);
    await expect(run()).rejects.toThrow();
  });

  test("hands on a stream item by item, in order, and ends it when it is left", async () => {
    const middleware = await started();
    for (const wanted of [100, 3]) {
      let left = 0;
      const call = async () => count(0, () => left++);
      const items = await runMessageMiddleware([middleware], callContext("server_stream"), [...args], call);
      const seen: number[] = [];
      for await (const item of items as AsyncIterable<number>) if (seen.push(item) === wanted) break;
      expect(seen).toEqual(Array.from({ length: wanted }, (_, index) => index));
      expect(left).toBe(1);
    }
  });

  test("wraps a channel, which gives nothing", async () => {
    const middleware = await started();
    let ran = 0;
    const call = async () => void ran++;
    expect(await runMessageMiddleware([middleware], callContext("channel"), [...args], call)).toBeUndefined();
    expect(ran).toBe(1);
  });

  test("keeps calls apart that run at the same time, beside another of its kind", async () => {
    const list = [await started(), await started()];
    const results = Array.from({ length: 20 }, async (_, index) => {
      const call = () => pause(`result ${index}`, (index * 7) % 5);
      return runMessageMiddleware(list, callContext("unary"), [...args], call);
    });
    expect(await Promise.all(results)).toEqual(Array.from({ length: 20 }, (_, index) => `result ${index}`));
  });
}

/** One connection that asks to come in. */
class Visit {
  readonly conn: Connection;
  readonly reasons: (string | undefined)[] = [];
  readonly admitted: Promise<void>;
  readonly next: () => Promise<void>;
  admissions = 0;
  leave!: () => void;

  constructor(changes: Partial<Connection>) {
    let admit: () => void;
    this.admitted = new Promise((resolve) => {
      admit = resolve;
    });
    const over = new Promise<void>((resolve) => {
      this.leave = resolve;
    });
    this.next = () => {
      this.admissions++;
      admit();
      return over;
    };
    this.conn = connection({
      ...changes,
      close: async (reason) => void this.reasons.push(reason),
    });
  }
}

/** Resolves with `value` after so many turns of the event loop. */
async function pause<T>(value: T, turns = 3): Promise<T> {
  for (let turn = 0; turn < turns; turn++) await nextTurn();
  return value;
}
