import { getEventListeners } from "node:events";
import { threadId } from "node:worker_threads";
import { contractOf, defaultLogger, rpc } from "@rap/core";
import { type AnyFn, RapError } from "@rap/protocol";
import { createTestPair } from "@rap/testing";
import { Registry } from "../src/registry";
import { Server } from "../src/server";
import { WorkerPool, type WorkerTask, worker, workerTask } from "../src/worker";

const pools: WorkerPool[] = [];
const newPool = (...options: ConstructorParameters<typeof WorkerPool>) => {
  const pool = new WorkerPool(...options);
  pools.push(pool);
  return pool;
};
afterAll(() => Promise.all(pools.map((pool) => pool.close())));

const esm = `${__dirname}/modules/heavy.mjs`;
const cjs = `${__dirname}/modules/heavy.cjs`;
const url = (path: string) => new URL(`file://${path}`);
const text = (fn: AnyFn) => workerTask(fn, "function", true);
const outside = 1;

// What runs there has nothing of this file, and its arrays and objects are of no realm that Jest knows.
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;

describe("a worker pool", () => {
  const pool = newPool({ maxThreads: 2 });
  const run = (fn: AnyFn, ...args: unknown[]) => pool.run(text(fn), args);

  test("runs a function from its own text, in another thread", async () => {
    const square = (n: number) => n * n;
    expect(await run(square, 7)).toBe(49);
    expect(
      await run(function named(a: number, b = 2) {
        return a + b;
      }, 1),
    ).toBe(3);
    expect(await run(async (n: number) => n + 1, 1)).toBe(2);
    const where = async () => (await import("node:worker_threads")).threadId;
    expect(await run(where)).not.toBe(threadId);
  });

  test("clones arguments and results", async () => {
    const value = { at: new Date(0), big: 2n, map: new Map([["a", [1]]]), bytes: Uint8Array.of(1, 2), u: undefined };
    const result = (await run((v) => v, value)) as typeof value;
    expect(result.at.getTime()).toBe(0);
    expect(result.big).toBe(2n);
    expect([...result.map.get("a")!]).toEqual([1]);
    expect([...result.bytes]).toEqual([1, 2]);
    expect("u" in result).toBe(true);
  });

  test.each<[string, string, string | undefined, unknown, unknown]>([
    ["a named export of an ES module", esm, "square", 3, 9],
    ["the default export of an ES module", esm, undefined, 3, 27],
    ["an export of a CommonJS module", cjs, "square", 3, 9],
    ["the default export of a CommonJS module", cjs, undefined, 3, 27],
  ])("runs %s", async (_, path, name, arg, expected) => {
    for (const module of [path, url(path), url(path).href]) {
      const task = workerTask(worker(module, name), "function", contractOf(worker(module, name))!.worker!);
      expect(await pool.run(task, [arg])).toBe(expected);
    }
  });

  test("says which export a module does not have, and which module is not there", async () => {
    const run = (module: string, name: string) => pool.run({ url: url(module).href, name }, []);
    await expect(run(esm, "missing")).rejects.toThrow(/heavy\.mjs does not export a function missing/);
    await expect(run(esm, "constructor")).rejects.toThrow(/does not export/);
    await expect(run("/nowhere.mjs", "x")).rejects.toThrow(/nowhere\.mjs/);
  });

  test("keeps all of a RapError that is thrown there, whichever copy of the package made it", async () => {
    const error = await pool.run({ url: url(cjs).href, name: "refuse" }, []).catch((thrown: unknown) => thrown);
    expect(RapError.is(error, "FAILED_PRECONDITION")).toBe(true);
    const { message, reason, data, details, retryAfterMs, metadata, stack } = error as RapError<any, any>;
    expect({ message, reason, retryAfterMs }).toEqual({ message: "too heavy", reason: "TOO_HEAVY", retryAfterMs: 250 });
    expect([data.limit, data.at.getTime()]).toEqual([5n, 0]);
    expect((details[0] as { more: Map<string, number> }).more.get("a")).toBe(1);
    expect([metadata.get("x-a"), [...metadata.get("x-b-bin")!]]).toEqual(["1", [7]]);
    expect(stack).toContain("heavy.cjs");
  });

  test("keeps name, message and stack of other errors, and values that are none", async () => {
    const fail = () => {
      throw new RangeError("too far");
    };
    const error = (await run(fail).catch((thrown: unknown) => thrown)) as Error;
    expect(error).toMatchObject({ name: "RangeError", message: "too far" });
    expect(error.stack).toContain("thread.js");
    expect(RapError.is(error)).toBe(false);
    await expect(run(() => Promise.reject("no error"))).rejects.toBe("no error");
  });

  test("explains a name that the text alone does not have", async () => {
    const uses = (n: number) => n + outside;
    const error = await run(uses, 1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: "ReferenceError",
      message: expect.stringMatching(
        /outside is not defined: uses was sent .* as text.*worker: \{ module \}/,
      ) as unknown,
    });
  });

  test("fails for a result that has no clone, and goes on with the same thread", async () => {
    const where = async () => (await import("node:worker_threads")).threadId;
    const single = newPool({ maxThreads: 1 });
    const before = await single.run(text(where), []);
    await expect(
      single.run(
        text(() => () => 1),
        [],
      ),
    ).rejects.toThrow(/cannot be sent from its worker thread/);
    expect(await single.run(text(where), [])).toBe(before);
  });

  test("refuses arguments that have no clone", async () => {
    async function* items() {}
    await expect(run((x) => x, items())).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("lets the event loop go on meanwhile, and runs as many tasks at once as it has threads", async () => {
    const spin = (ms: number) => {
      const end = Date.now() + ms;
      while (Date.now() < end);
      return true;
    };
    await Promise.all([run(spin, 1), run(spin, 1)]);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await Promise.all([run(spin, 100), run(spin, 100), run(spin, 1)]);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  test("survives a thread that exits or dies", async () => {
    await expect(pool.run({ url: url(esm).href, name: "exit" }, [])).rejects.toThrow(/exited with code: 3/);
    const late = () => {
      queueMicrotask(() => {
        throw new Error("late");
      });
      return 1;
    };
    await run(late).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await run((n) => n, 1)).toBe(1);
  });
});

test("the library behind the pool is loaded with the first task, not before", async () => {
  const load = jest.fn(() => jest.requireActual<object>("piscina"));
  jest.doMock("piscina", load);
  const fresh = jest.requireActual<{ WorkerPool: typeof WorkerPool }>("../src/worker");
  const pool = new fresh.WorkerPool();
  expect(load).not.toHaveBeenCalled();
  expect(
    await pool.run(
      text(() => 1),
      [],
    ),
  ).toBe(1);
  expect(load).toHaveBeenCalledTimes(1);
  await pool.close();
  jest.dontMock("piscina");
});

describe("a signal", () => {
  const forever: WorkerTask = text(() => {
    for (;;);
  });
  const reason = new RapError("DEADLINE_EXCEEDED", "too slow");
  const timely = () => newPool({ maxThreads: 1 });

  test("ends the thread that runs the task, and tasks that wait for it go on", async () => {
    const pool = timely();
    // Its thread has started.
    await pool.run(
      text(() => 1),
      [],
    );
    const controller = new AbortController();
    const endless = pool.run(forever, [], controller.signal);
    const waiting = pool.run(
      text((n) => n + 1),
      [1],
    );
    setTimeout(() => controller.abort(reason), 100);
    await expect(endless).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
      message: "too slow",
      maybeExecuted: true,
    });
    expect(await waiting).toBe(2);
  });

  test("drops a task that waits", async () => {
    const pool = timely();
    const controller = new AbortController();
    const busy = pool.run(
      text((ms) => new Promise((resolve) => setTimeout(resolve, ms, "done"))),
      [100],
    );
    const waiting = pool.run(forever, [], controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "CANCELLED", cause: controller.signal.reason as unknown });
    expect(await busy).toBe("done");
    expect(
      await pool.run(
        text((n) => n),
        [1],
      ),
    ).toBe(1);
  });

  test("that has fired keeps a task from being started", async () => {
    const run = timely().run(forever, [], AbortSignal.abort(reason));
    await expect(run).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", maybeExecuted: false });
  });

  test("keeps no listener of tasks that are done", async () => {
    const pool = timely();
    const { signal } = new AbortController();
    for (let n = 0; n < 5; n++)
      await pool.run(
        text((x) => x),
        [n],
        signal,
      );
    await pool
      .run(
        text(() => {
          throw new Error("x");
        }),
        [],
        signal,
      )
      .catch(() => undefined);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("closing a pool", () => {
  test("fails what runs or waits, and what comes later", async () => {
    const pool = newPool({ maxThreads: 1 });
    await pool.run(
      text(() => 1),
      [],
    );
    const running = pool.run(
      text(() => {
        for (;;);
      }),
      [],
    );
    const waiting = pool.run(
      text(() => 1),
      [],
    );
    const both = Promise.allSettled([running, waiting]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await pool.close();
    for (const result of await both) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE" } });
    }
    await expect(
      pool.run(
        text(() => 1),
        [],
      ),
    ).rejects.toMatchObject({ code: "UNAVAILABLE", maybeExecuted: false });
    await pool.close();
  });

  test("is nothing for a pool that was never used", async () => {
    await expect(newPool().close()).resolves.toBeUndefined();
  });
});

describe("workerTask", () => {
  const method = {
    square(n: number) {
      return n * n;
    },
  }.square;
  async function* stream() {}

  test.each<[string, AnyFn, RegExp]>([
    ["a built-in function", Math.max, /max is native, bound or a method/],
    ["a bound function", ((n: number) => n).bind(null), /is native, bound or a method/],
    ["a method", method, /square is native, bound or a method/],
    ["a stream", stream, /a stream lives in/],
  ])("refuses the text of %s", (_, fn, message) => {
    const error = { code: "ERR_RAP_WORKER", message: expect.stringMatching(message) as unknown };
    expect(() => text(fn)).toThrow(expect.objectContaining(error));
  });

  test("refuses channels and streams of modules too", () => {
    expect(() => workerTask(async () => {}, "channel", { module: esm })).toThrow(/a channel lives in/);
    expect(() => workerTask(stream, "function", { module: esm })).toThrow(/a stream lives in/);
  });

  test.each(["./heavy.js", "heavy", "https://example.com/heavy.js", "data:text/javascript,1"])(
    "refuses the module %s",
    (module) => {
      expect(() => worker(module)).toThrow(expect.objectContaining({ code: "ERR_RAP_WORKER" }));
    },
  );

  test("takes the function's own name as the export, else the default one", () => {
    const heavy = () => {};
    expect(workerTask(heavy, "function", { module: esm })).toEqual({ url: url(esm).href, name: "heavy" });
    expect(workerTask((() => () => {})(), "function", { module: esm })).toMatchObject({ name: "default" });
    expect(workerTask(heavy, "function", { module: url(esm), export: "x" })).toMatchObject({ name: "x" });
  });
});

describe("worker", () => {
  test("is registered like any function", async () => {
    const registry = new Registry(defaultLogger({ level: "silent" }));
    const square = worker<(n: number) => number>(url(esm), "square");
    square satisfies (n: number) => Promise<number>;
    registry.register(square);
    registry.register({ cube: worker(esm), channelled: worker(cjs, "square") });
    registry.register(
      function local() {
        return 1;
      },
      { worker: true },
    );
    const [first, second, third, fourth] = registry.list();
    expect(plain([first!.name, second!.name, third!.name, fourth!.name])).toEqual([
      "square",
      "cube",
      "channelled",
      "local",
    ]);
    const pool = newPool();
    expect(await pool.run(second!.worker!, [2])).toBe(8);
    expect(await pool.run(fourth!.worker!, [])).toBe(1);
  });

  test("needs a name for a default export", () => {
    const registry = new Registry(defaultLogger({ level: "silent" }));
    expect(() => registry.register(worker(esm))).toThrow(expect.objectContaining({ code: "ERR_RAP_REGISTER" }));
    expect(() => registry.registerChannel(worker(esm, "square"))).toThrow(/default\/square cannot run in a worker/);
  });

  test("has as many threads as the server's option says", async () => {
    const where = async () => (await import("node:worker_threads")).threadId;
    const server = new Server({ workers: { maxThreads: 1 } }).register({ where: rpc({ worker: true }, where) });
    await using pair = await createTestPair(server);
    const threads = await Promise.all(Array.from({ length: 4 }, () => pair.client.invokeByName("where")));
    expect(new Set(threads).size).toBe(1);
    expect(threads).not.toContain(threadId);
  });

  test("cannot be called in this thread", () => {
    expect(() => worker(esm, "square")(1)).toThrow(/square of file:.* runs in the worker threads of a server/);
  });
});
