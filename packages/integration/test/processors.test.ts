import { describe, expect, jest, test } from "@jest/globals";
import { type Channel, Client, type Envelope, type Processor } from "@rap/client";
import { RapError } from "@rap/protocol";
import { Server } from "@rap/server";
import { memory } from "@rap/transport";
import { type PairOptions, SILENT, until, untilQuiet } from "./links";

/** The shapes of a call, each with three messages each way where there can be so many. */
const calls: Record<string, (client: Client) => Promise<unknown>> = {
  unary: (client) => client.invokeByName("sum", [1, 2]),
  stream: async (client) => {
    const got: number[] = [];
    for await (const n of client.registerGen<(to: number) => AsyncIterable<number>>("count")(3)) got.push(n);
    return got;
  },
  "client stream": (client) =>
    client.register<(items: AsyncIterable<number>) => Promise<number>>("total")([1, 2, 3].values()),
  bidi: async (client) => {
    const got: number[] = [];
    const double = client.registerGen<(items: AsyncIterable<number>) => AsyncIterable<number>>("double");
    for await (const n of double([1, 2, 3].values())) got.push(n);
    return got;
  },
  channel: async (client) => {
    const got: number[] = [];
    await client.registerChannel<(channel: Channel<number, number>) => Promise<void>>("echo")(async (channel) => {
      for (const n of [1, 2, 3]) {
        await channel.write(n);
        got.push(await channel.readBody());
      }
    });
    return got;
  },
};

const results: Record<string, unknown> = {
  unary: 3,
  stream: [0, 1, 2],
  "client stream": 6,
  bidi: [2, 4, 6],
  channel: [1, 2, 3],
};

async function pair(there: Processor[], here: Processor[], options: PairOptions = {}) {
  const server = new Server({ logger: SILENT, ...options.server }).loadProcessor(there);
  server.register({
    sum: (a: number, b: number) => a + b,
    async *count(to: number) {
      for (let n = 0; n < to; n++) yield n;
    },
    async total(items: AsyncIterable<number>) {
      let sum = 0;
      for await (const n of items) sum += n;
      return sum;
    },
    async *double(items: AsyncIterable<number>) {
      for await (const n of items) yield 2 * n;
    },
  });
  server.registerChannel(async function echo(channel: Channel<number, number>) {
    for await (const body of channel) await channel.write(body);
  });
  const transport = memory();
  await server.listen({ transport, address: "memory://processors" });
  const client = new Client({ target: "memory://processors", transports: [transport], ...options.client });
  client.loadProcessor(here);
  await client.start();
  return {
    server,
    client,
    async [Symbol.asyncDispose]() {
      await client.stop({ graceMs: 0 });
      await server.shutdown({ graceMs: 0 });
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Notes who is entered and left, and with what error. */
function witness(name: string, log: string[]): Processor {
  return {
    onContextEnter: () => void log.push(`${name} in`),
    onContextExit: (_call, error) =>
      void log.push(`${name} out${error === undefined ? "" : `: ${(error as RapError).message}`}`),
  };
}

/** Throws at one message of a direction: the first is 0. */
function failing(step: "onRequest" | "onResponse", at: number, wait: boolean, error: unknown): Processor {
  let seen = 0;
  const look: Processor["onRequest"] = (message) => {
    if (seen++ !== at) return message;
    if (!wait) throw error;
    return turn().then(() => {
      throw error;
    });
  };
  return { [step]: look };
}

const SIDES = ["server", "client"] as const;
const STEPS = ["onRequest", "onResponse"] as const;
/** How many messages of a shape go each way; the arguments are one, except of a channel, which has none. */
const MESSAGES: Record<string, Record<(typeof STEPS)[number], number>> = {
  unary: { onRequest: 1, onResponse: 1 },
  stream: { onRequest: 1, onResponse: 3 },
  "client stream": { onRequest: 4, onResponse: 1 },
  bidi: { onRequest: 4, onResponse: 3 },
  channel: { onRequest: 3, onResponse: 3 },
};

const CASES = Object.entries(MESSAGES).flatMap(([shape, counts]) =>
  SIDES.flatMap((side) =>
    STEPS.flatMap((step) =>
      [...new Set([0, counts[step] - 1])].flatMap((at) =>
        [false, true].map((wait) => ({ shape, side, step, at, wait, how: wait ? "later" : "at once" })),
      ),
    ),
  ),
);

describe("a processor that throws fails that call with its error, and all that were entered are left", () => {
  test.each(CASES)("$shape, on the $side, in $step of message $at, $how", async ({ shape, side, step, at, wait }) => {
    const error = new RapError("PERMISSION_DENIED", "not today", { reason: "NOT_TODAY" });
    const logs = { server: [] as string[], client: [] as string[] };
    const lists = SIDES.map((each) => {
      const list = [witness("a", logs[each]), witness("b", logs[each])];
      if (each === side) list.splice(1, 0, failing(step, at, wait, error));
      return list;
    });
    await using both = await pair(lists[0]!, lists[1]!);
    await expect(calls[shape]!(both.client)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      message: "not today",
      reason: "NOT_TODAY",
    });
    await untilQuiet(both);
    expect(logs.client).toEqual(["a in", "b in", "b out: not today", "a out: not today"]);
    // A call that never left the client is none on the server.
    const sent = side === "server" || step === "onResponse" || at > 0 || shape === "channel";
    expect(logs.server.map((line) => line.split(":")[0])).toEqual(sent ? ["a in", "b in", "b out", "a out"] : []);
    if (side === "server") expect(logs.server.slice(2)).toEqual(["b out: not today", "a out: not today"]);
    // The next call has nothing to do with it.
    expect(await calls[shape]!(both.client)).toEqual(results[shape]);
    await untilQuiet(both);
  });

  test("whose error is nobody's business: the caller gets an id, as of any error of the server", async () => {
    for (const step of STEPS) {
      await using both = await pair([failing(step, 0, false, new TypeError("secret"))], []);
      const refused = { code: "UNKNOWN", message: expect.not.stringContaining("secret") };
      await expect(both.client.invokeByName("sum", [1, 2])).rejects.toMatchObject(refused);
    }
    for (const step of STEPS) {
      const mistake = new TypeError("a mistake");
      await using both = await pair([], [failing(step, 0, false, mistake)]);
      await expect(both.client.invokeByName("sum", [1, 2])).rejects.toMatchObject({
        code: "INTERNAL",
        message: "a mistake",
        cause: mistake,
      });
    }
  });

  test.each(SIDES)("also where it throws as it is entered, on the %s", async (side) => {
    const log: string[] = [];
    let broken = true;
    const list = [
      witness("a", log),
      {
        onContextEnter() {
          if (broken) throw new RapError("UNAVAILABLE", "full");
        },
        onContextExit: () => void log.push("left without being entered"),
      },
      witness("b", log),
    ];
    await using both = await pair(side === "server" ? list : [], side === "client" ? list : []);
    for (const call of Object.values(calls)) {
      await expect(call(both.client)).rejects.toMatchObject({ code: "UNAVAILABLE", message: "full" });
    }
    await untilQuiet(both);
    expect(log).toEqual(Object.keys(calls).flatMap(() => ["a in", "a out: full"]));
    broken = false;
    expect(await calls.unary!(both.client)).toBe(3);
  });

  test("one that throws as it is left disturbs nobody", async () => {
    const emitted = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    const log: string[] = [];
    const bad: Processor = {
      onContextExit() {
        throw new Error("on the way out");
      },
    };
    await using both = await pair([witness("a", log), bad], []);
    expect(await calls.unary!(both.client)).toBe(3);
    await untilQuiet(both);
    expect(log).toEqual(["a in", "a out"]);
    expect(emitted.mock.calls[0]?.[0]).toMatchObject({ message: "on the way out" });
    emitted.mockRestore();
  });
});

test.each(Object.keys(calls))(
  "a call (%s) that goes well is entered and left once on each side, in order",
  async (shape) => {
    const logs = { server: [] as string[], client: [] as string[] };
    const [there, here] = SIDES.map((each) => [witness("a", logs[each]), witness("b", logs[each])]);
    await using both = await pair(there!, here!);
    expect(await calls[shape]!(both.client)).toEqual(results[shape]);
    await untilQuiet(both);
    for (const log of Object.values(logs)) {
      expect(log.slice(0, 2)).toEqual(["a in", "b in"]);
      expect(log.slice(2).map((line) => line.split(":")[0])).toEqual(["b out", "a out"]);
    }
  },
);

test("every message of every shape goes through both lists, the server's in the reverse of the client's order", async () => {
  for (const [shape, counts] of Object.entries(MESSAGES)) {
    const log: string[] = [];
    const named = (name: string): Processor => ({
      onRequest(message) {
        log.push(`${name} onRequest`);
        return message;
      },
      async onResponse(message) {
        await turn();
        log.push(`${name} onResponse`);
        return message;
      },
    });
    await using both = await pair([named("s1"), named("s2")], [named("c1"), named("c2")]);
    expect(await calls[shape]!(both.client)).toEqual(results[shape]);
    for (const [step, order] of [
      ["onRequest", ["c1", "c2", "s2", "s1"]],
      ["onResponse", ["s1", "s2", "c2", "c1"]],
    ] as const) {
      const of = (name: string) => log.filter((line) => line === `${name} ${step}`).length;
      expect([shape, step, ...order.map(of)]).toEqual([shape, step, ...order.map(() => counts[step])]);
      const first = [...new Set(log.filter((line) => line.endsWith(step)))];
      expect(first).toEqual(order.map((name) => `${name} ${step}`));
    }
  }
});

test("a call that is cancelled, or whose connection dies, is left with that error on both sides", async () => {
  const logs = { server: [] as string[], client: [] as string[] };
  await using both = await pair([witness("s", logs.server)], [witness("c", logs.client)]);
  const { client, server } = both;
  server.register({
    hold: () => new Promise((_, reject) => setTimeout(reject, 50, new Error("late"))),
    async *endless() {
      for (;;) {
        await turn();
        yield 1;
      }
    },
  });
  const endless = client.registerGen<() => AsyncIterable<number>>("endless");
  for await (const _ of endless()) break;
  await untilQuiet(both);
  expect([logs.client.splice(0), logs.server.splice(0)]).toEqual([
    ["c in", "c out: the caller left the stream"],
    ["s in", expect.stringMatching(/^s out: ./)],
  ]);
  await expect(client.invokeByName("hold", [], { timeout: 10 })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  await untilQuiet(both);
  expect(logs.client.splice(0)).toEqual([
    "c in",
    expect.stringContaining("c out: default/hold took longer than 10 ms"),
  ]);
  expect(logs.server.splice(0)).toEqual(["s in", expect.stringMatching(/^s out: ./)]);
  const stream = endless();
  await stream.next();
  for (const connection of server.connections()) await connection.close("a crash");
  await expect(
    (async () => {
      for await (const _ of stream);
    })(),
  ).rejects.toMatchObject({ code: "UNAVAILABLE" });
  while (logs.server.length < 2) await turn();
  expect([logs.client[1], logs.server[1]]).toEqual([
    expect.stringContaining("c out: the peer closed the connection"),
    expect.stringMatching(/^s out: ./),
  ]);
});

test("a processor that ends a call by the caller's signal keeps it from being sent", async () => {
  const transport = memory();
  let runs = 0;
  await using server = new Server({ logger: SILENT }).register({ run: () => ++runs });
  await server.listen({ transport, address: "memory://ended" });
  await using client = new Client({ target: "memory://ended", transports: [transport] });
  let abort: AbortController | undefined;
  client.loadProcessor([
    {
      onRequest(message) {
        abort?.abort();
        return message;
      },
    },
  ]);
  await client.start();
  abort = new AbortController();
  await expect(client.invokeByName("run", [], { signal: abort.signal })).rejects.toMatchObject({ code: "CANCELLED" });
  abort = undefined;
  expect(await client.invokeByName("run")).toBe(1);
});

describe("while a processor of the server takes its time", () => {
  /** A processor that waits at one message of a direction, the function `open` that ends the wait, and whether it waits. */
  function barrier(step: (typeof STEPS)[number], at: number) {
    let open!: () => void;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let seen = 0;
    const reached = { yes: false };
    const look = async (message: Envelope) => {
      if (seen++ !== at) return message;
      reached.yes = true;
      await opened;
      return message;
    };
    return { processor: { [step]: look } as Processor, open, reached };
  }

  test.each(["client stream", "bidi"])(
    "with the arguments, a %s and its end come meanwhile: all of it is read",
    async (shape) => {
      const { processor, open, reached } = barrier("onRequest", 0);
      await using both = await pair([processor], []);
      const result = calls[shape]!(both.client);
      await until(() => reached.yes);
      for (let i = 0; i < 20; i++) await turn();
      open();
      expect(await result).toEqual(results[shape]);
    },
  );

  test("with an item, its stream is cancelled: nothing of it is left", async () => {
    const { processor, open, reached } = barrier("onResponse", 1);
    await using both = await pair([processor], [], { client: { limits: { streamWindowMessages: 1 } } });
    const abort = new AbortController();
    const count = both.client.registerGen<(to: number) => AsyncIterable<number>>("count");
    const stream = count.with({ signal: abort.signal })(3);
    await until(() => reached.yes);
    // The item before it arrives.
    for (let i = 0; i < 20; i++) await turn();
    abort.abort();
    const iterator = stream[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 0 });
    await expect(iterator.next()).rejects.toMatchObject({ code: "CANCELLED" });
    for (let i = 0; i < 20; i++) await turn();
    open();
    await untilQuiet(both);
  });
});

test("the end of a session reaches its server, though another call took its room while a processor had it", async () => {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const slow: Processor = {
    onRequest: (message) => (message.method === "Close" ? opened.then(() => message) : message),
  };
  await using both = await pair([], [slow], { server: { limits: { maxInFlight: 1 } } });
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let runs = 0;
  both.server.register({
    wait: () => {
      runs++;
      return finished;
    },
  });
  const session = await both.client.openSession();
  const [connection] = both.server.connections() as unknown as [{ wire: { holds: number } }];
  expect(connection.wire.holds).toBe(1);
  const closed = session.close();
  const call = both.client.invokeByName("wait");
  await until(() => runs === 1);
  open();
  await closed;
  expect(connection.wire.holds).toBe(1);
  finish();
  await call;
  await until(() => connection.wire.holds === 0);
});

test("a call of which a processor refuses a message keeps its place until its function is done", async () => {
  let refused = false;
  const refuse: Processor = {
    onRequest(message) {
      if (message.body !== "refuse") return message;
      refused = true;
      throw new RapError("PERMISSION_DENIED", "not today");
    },
  };
  await using both = await pair([refuse], [], { server: { limits: { maxChannels: 1 } } });
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  both.server.registerChannel(
    async (channel: Channel<string, string>) => {
      try {
        for await (const body of channel) await channel.write(body);
      } finally {
        await finished;
      }
    },
    { name: "stubborn" },
  );
  const stubborn = both.client.registerChannel<(channel: Channel<string, string>) => Promise<void>>("stubborn");
  const first = await stubborn.open();
  await first.write("hello");
  expect(await first.readBody()).toBe("hello");
  await first.write("refuse");
  await until(() => refused);
  // Long enough that a second call would be refused, had the first one's caller been told by now.
  const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
  await pause();
  const second = calls.channel!(both.client);
  await pause();
  finish();
  expect(await second).toEqual(results.channel);
  await expect(first.readBody()).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  await untilQuiet(both);
});
