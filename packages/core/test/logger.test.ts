import { once } from "node:events";
import { RapError } from "@rap/protocol";
import { defaultLogger, type LoggerOptions, type LogLevel } from "../src/logger";
import { plainNode } from "./plain-node";

function recorder(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const logger = defaultLogger({ now: () => new Date(0), write: (line) => void lines.push(line), ...options });
  return { logger, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, any> };
}

const { RAP_LOG_LEVEL } = process.env;
afterEach(() => {
  if (RAP_LOG_LEVEL === undefined) delete process.env.RAP_LOG_LEVEL;
  else process.env.RAP_LOG_LEVEL = RAP_LOG_LEVEL;
});

describe("the default logger", () => {
  test("writes a line of JSON with time, level, text and details", () => {
    const { logger, lines } = recorder();
    logger.warn({ method: "default/sum", n: 1 }, "slow");
    expect(lines).toEqual([
      '{"time":"1970-01-01T00:00:00.000Z","level":"warn","msg":"slow","method":"default/sum","n":1}\n',
    ]);
  });

  test("is not made with a level that is none, which would write nothing", () => {
    expect(() => defaultLogger({ level: "verbose" as LogLevel })).toThrow(
      'level of defaultLogger() is "silent" or "error" or "warn" or "info" or "debug", not "verbose"',
    );
    expect(() => defaultLogger({ levl: "warn" } as object)).toThrow('did you mean "level"?');
  });

  test.each<[string | undefined, LogLevel[]]>([
    [undefined, ["warn", "error"]],
    ["nonsense", ["warn", "error"]],
    ["silent", []],
    ["error", ["error"]],
    ["info", ["info", "warn", "error"]],
    ["DEBUG", ["debug", "info", "warn", "error"]],
  ])("with RAP_LOG_LEVEL=%s writes %j", (level, expected) => {
    delete process.env.RAP_LOG_LEVEL;
    if (level !== undefined) process.env.RAP_LOG_LEVEL = level;
    const { logger, lines } = recorder();
    for (const method of ["debug", "info", "warn", "error"] as const) logger[method]({}, "x");
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(expected);
  });

  test("takes the level of its options before that of the environment", () => {
    process.env.RAP_LOG_LEVEL = "silent";
    const { logger, lines } = recorder({ level: "error" });
    logger.error({}, "x");
    expect(lines).toHaveLength(1);
  });

  test("adds to each line of a child what the child was made with", () => {
    const { logger, last } = recorder();
    logger.child!({ component: "conn" }).child!({ id: 7 }).warn({ a: 1 }, "x");
    expect(last()).toMatchObject({ component: "conn", id: 7, a: 1, msg: "x" });
  });

  test("does not let details replace time, level and text", () => {
    const { logger, last } = recorder();
    logger.warn({ time: "never", level: "debug", msg: "forged" }, "real");
    expect(last()).toEqual({ time: "1970-01-01T00:00:00.000Z", level: "warn", msg: "real" });
  });

  test("escapes what could forge a line or command a terminal, and reads back unchanged", () => {
    const hostile = "a\r\n\u001b[2J\u0000\u007f\u009b\u2028\u2029\u061c\u200e\u202e\u2066b";
    const { logger, lines, last } = recorder();
    logger.warn({ [hostile]: hostile }, hostile);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the question
    expect(lines[0]!.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u2028-\u202e\u2066-\u2069]/);
    expect(last()).toMatchObject({ msg: hostile, [hostile]: hostile });
  });

  test("cuts strings at 256 characters, and none that are no longer", () => {
    const { logger, last } = recorder();
    for (const length of [255, 256, 257]) {
      logger.warn({ text: "x".repeat(length) }, "");
      expect(last()).toMatchObject({ text: length > 256 ? `${"x".repeat(256)}…` : "x".repeat(length) });
    }
    logger.warn({ long: "x".repeat(10_000), ["k".repeat(10_000)]: 1 }, "y".repeat(10_000));
    expect(last()).toMatchObject({ long: `${"x".repeat(256)}…`, msg: `${"y".repeat(256)}…` });
    expect(JSON.stringify(last()).length).toBeLessThan(1_000);
  });

  test("prints errors with stack, code and cause, and no payload", () => {
    const { logger, last } = recorder();
    const cause = Object.assign(new TypeError("deep"), { code: "ERR_DEEP" });
    const err = new RapError("NOT_FOUND", "top", { cause, data: { secret: "s3cret" }, reason: "NO_SUCH" });
    logger.error({ err }, "x");
    expect(last().err).toMatchObject({
      type: "RapError",
      message: "top",
      code: "NOT_FOUND",
      reason: "NO_SUCH",
      stack: expect.stringContaining("logger.test.ts") as unknown,
      cause: {
        type: "TypeError",
        message: "deep",
        code: "ERR_DEEP",
        stack: expect.stringContaining("deep") as unknown,
      },
    });
    expect(JSON.stringify(last())).not.toContain("s3cret");
    logger.error(new AggregateError([new Error("one")], "several"), "x");
    expect(last().err).toMatchObject({ message: "several", errors: [{ message: "one" }] });
  });

  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const own = new Error("x");
  own.cause = own;
  const nothing = new Proxy(
    {},
    {
      ownKeys: () => {
        throw new Error("no");
      },
      getPrototypeOf: () => {
        throw new Error("no");
      },
    },
  );
  const nested = {
    toString: () => {
      throw new Error("no");
    },
  };

  test.each<[string, unknown]>([
    ["a cycle", cyclic],
    ["an error that is its own cause", { err: own }],
    [
      "an error whose stack throws",
      Object.defineProperty(new Error("x"), "stack", {
        get: () => {
          throw own;
        },
      }),
    ],
    ["an error whose message throws", { err: Object.assign(new Error(), { message: nested, name: nested }) }],
    ["a bigint", { n: 2n ** 200n }],
    [
      "a getter that throws",
      {
        get a() {
          throw new Error("no");
        },
        b: 1,
      },
    ],
    ["a proxy that throws", { nothing }],
    ["only a proxy that throws", nothing],
    [
      "toJSON that throws",
      {
        toJSON: () => {
          throw new Error("no");
        },
      },
    ],
    ["an invalid date", { at: new Date(NaN) }],
    ["symbols, functions, numbers", { s: Symbol("s"), f: () => 1, n: NaN, i: Infinity, u: undefined }],
    ["maps, sets, bytes", { m: new Map([[1, 1]]), s: new Set(), b: new Uint8Array(5) }],
    ["very much", Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [n, "x".repeat(300)]))],
    ["null", null],
    ["undefined", undefined],
    ["text", "text"],
    ["a list", [1, 2]],
    ["a revoked proxy", Proxy.revocable({}, {})],
  ])("writes one bounded line for %s", (_, details) => {
    const { logger, lines, last } = recorder();
    expect(() => logger.error(details as object, "x")).not.toThrow();
    expect(lines).toHaveLength(1);
    expect(lines[0]!.length).toBeLessThan(40_000);
    expect(last()).toMatchObject({ level: "error", msg: "x" });
  });

  test("reads the other fields of an object with a getter that throws", () => {
    const { logger, last } = recorder();
    logger.warn({
      get a() {
        throw new Error("no");
      },
      b: 2,
    });
    expect(last()).toMatchObject({ a: "[unreadable]", b: 2 });
  });

  test("does not throw when its line cannot be written", () => {
    const { logger } = recorder({
      write: () => {
        throw new Error("disk full");
      },
    });
    expect(() => logger.error({}, "x")).not.toThrow();
  });

  test("writes to standard error by default, and leaves no listener there", async () => {
    const write = jest.spyOn(process.stderr, "write").mockImplementation(((_: string, done: () => void) => {
      setImmediate(done);
      return true;
    }) as never);
    const before = process.stderr.listenerCount("error");
    const logger = defaultLogger({ level: "warn" });
    for (let n = 0; n < 20; n++) logger.warn({ n }, "x");
    expect(write).toHaveBeenCalledTimes(20);
    expect(process.stderr.listenerCount("error")).toBeLessThanOrEqual(before + 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(process.stderr.listenerCount("error")).toBe(before);
    write.mockRestore();
  });

  test("does not end the process when standard error is closed", async () => {
    const child = plainNode(`
      const { defaultLogger } = require(SRC + "logger.ts");
      process.stdout.write("ready");
      setTimeout(() => {
        for (let n = 0; n < 3; n++) defaultLogger().error({ n }, "x".repeat(1000));
        setTimeout(() => { defaultLogger().error({}, "y"); setTimeout(() => process.stdout.write("alive"), 50); }, 50);
      }, 200);`);
    let out = "";
    child.stdout.on("data", (data) => {
      out += String(data);
      if (out === "ready") child.stderr.destroy();
    });
    const [code] = (await once(child, "exit")) as [number];
    expect({ out, code }).toEqual({ out: "readyalive", code: 0 });
  }, 20_000);
});
