import { Client } from "@rap/client";
import { RapError } from "@rap/protocol";
import { context, Server } from "@rap/server";
import { outcome } from "./crashes.mjs";
import { LEAK, until } from "./token.mjs";

const cyclic = new Error("cyclic");
cyclic.cause = cyclic;
cyclic.self = cyclic;
const trap = new Error("trap");
Object.defineProperty(trap, "message", {
  get: () => {
    throw new Error("in the getter");
  },
});

// biome-ignore-start lint/suspicious/noThenProperty: on purpose
// biome-ignore-start lint/correctness/noUnsafeFinally: on purpose
// biome-ignore-start lint/correctness/useYield: on purpose
/** Everything that a function can do wrong at its end. */
const FAILURES = {
  "throws an Error": () => {
    throw new Error("plain");
  },
  rejects: async () => {
    throw new TypeError("later");
  },
  "throws undefined": () => {
    throw undefined;
  },
  "throws null": () => {
    throw null;
  },
  "throws a string": () => {
    throw "text";
  },
  "throws an object with then": () => {
    throw { then: (go) => go() };
  },
  "throws a cyclic error": () => {
    throw cyclic;
  },
  "throws an error whose message throws": () => {
    throw trap;
  },
  "throws a huge message": () => {
    throw new RapError("INTERNAL", "x".repeat(10_000_000));
  },
  "throws a frozen proxy": () => {
    throw new Proxy(
      {},
      {
        get: () => {
          throw new Error("no");
        },
      },
    );
  },
  "returns a function": () => () => 1,
  "returns a symbol": () => Symbol("s"),
  "returns what holds itself": () => {
    const value = {};
    value.value = value;
    return value;
  },
  "returns a getter that throws": () => ({
    get bad() {
      throw new Error("getter");
    },
  }),
  "returns a thenable that throws": () => ({
    then() {
      throw new Error("then");
    },
  }),
  "returns a thenable that settles twice": () => ({
    then(yes, no) {
      yes(1);
      no(new Error("late"));
      yes(2);
    },
  }),
};
const STREAMS = {
  "throws before its first item": async function* () {
    throw new Error("before");
  },
  "throws after an item": async function* () {
    yield 1;
    throw new Error("in");
  },
  "throws in its finally": async function* () {
    try {
      yield 1;
      yield 2;
    } finally {
      throw new Error("finally");
    }
  },
  "yields what cannot be sent": async function* () {
    yield 1;
    yield () => {};
  },
  "throws after it was left": async function* () {
    try {
      for (;;) yield 1;
    } catch {
      /* never */
    } finally {
      await null;
      throw new Error("after");
    }
  },
};

// biome-ignore-end lint/suspicious/noThenProperty: on purpose
// biome-ignore-end lint/correctness/noUnsafeFinally: on purpose
// biome-ignore-end lint/correctness/useYield: on purpose

/** F23: functions that fail in every way, and one that never ends. */
export async function functions(report) {
  const errors = [];
  const onError = (error) => errors.push(error);
  process.on("unhandledRejection", onError);
  const none = () => {};
  const logger = { trace: none, debug: none, info: none, warn: none, error: none, fatal: none, child: () => logger };
  const server = new Server({ logger });
  const names = [...Object.keys(FAILURES), ...Object.keys(STREAMS)];
  for (const [i, fn] of Object.values(FAILURES).entries()) server.register(fn, { name: `f${i}` });
  for (const [i, fn] of Object.values(STREAMS).entries()) server.register(fn, { name: `s${i}` });
  server.register({
    add: (a, b) => a + b,
    never: () => new Promise(() => {}),
    deaf: () => context().signal && new Promise(() => {}),
  });
  await server.listen({ port: 0 });
  const client = await new Client({ target: server.address }).start();
  let lost = 0;
  client.on("disconnect", () => lost++);
  const bad = [];
  for (let i = 0; i < Object.keys(FAILURES).length; i++) {
    const result = await outcome(client.invokeByName(`f${i}`, [], { timeout: 2_000 }));
    const fine =
      names[i] === "returns a thenable that settles twice"
        ? result.value === 1
        : RapError.is(result) && result.code !== "DEADLINE_EXCEEDED" && !LEAK.test(`${result.message}`);
    if (!fine) bad.push(`${names[i]}: ${result.code ?? JSON.stringify(result.value)}`);
  }
  for (let i = 0; i < Object.keys(STREAMS).length; i++) {
    const [name] = Object.entries(STREAMS)[i];
    const left = name === "throws in its finally" || name === "throws after it was left";
    const read = async () => {
      for await (const _ of client.registerGen(`s${i}`, { timeout: 2_000 })()) if (left) break;
    };
    const result = await outcome(read());
    const fine = left
      ? result.code === undefined
      : RapError.is(result) && result.code !== "DEADLINE_EXCEEDED" && !LEAK.test(result.message);
    if (!fine) bad.push(`${name}: ${result.code ?? "clean end"}`);
  }
  const never = await outcome(client.invokeByName("never", [], { timeout: 100 }));
  if (never.code !== "DEADLINE_EXCEEDED") bad.push(`never: ${never.code}`);
  report.row(
    "F23",
    `${names.length + 1} ways for a function to fail: one error each, without a path or a stack`,
    "all",
    bad.length === 0 ? "all" : bad.join("; "),
    bad.length === 0,
  );
  report.equal(
    "F23",
    "the connection afterwards: an answer, connections lost",
    `${await client.invokeByName("add", [1, 2])}, ${lost}`,
    "3, 0",
  );
  const quiet = await until(() => server.stats().inFlight === 1 && client.stats().inFlight <= 1, 6_000);
  report.row(
    "F23",
    "calls that are left",
    "the one that never ends",
    quiet ? "the one that never ends" : JSON.stringify(server.stats()),
    quiet,
  );
  report.equal("F23", `unhandled rejections ${errors[0] ?? ""}`, errors.length, 0);
  process.off("unhandledRejection", onError);
  await client.stop({ graceMs: 0 });
  await server.shutdown({ graceMs: 0 });
}
