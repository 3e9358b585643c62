import { Client, type Processor } from "@rap/client";
import { RapError } from "@rap/protocol";
import { type Channel, connMiddleware, context, Server } from "../src";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function pair(server: Server, client = new Client()): Promise<Client> {
  const { port } = await server.listen({ port: 0 });
  client.addConn("127.0.0.1", port);
  stops.push(
    () => client.stop({ graceMs: 0 }),
    () => server.shutdown({ graceMs: 0 }),
  );
  await client.start();
  return client;
}

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(resolve, Math.random() * 4, value));

/** Writes down what it sees; with `wait` it is asynchronous and takes its time. */
function recorder(name: string, log: string[], wait = false): Processor {
  return {
    kind: "processor",
    onRequest(message) {
      log.push(`${name} request`);
      return wait ? later(message) : message;
    },
    onResponse(message) {
      log.push(`${name} response`);
      return wait ? later(message) : message;
    },
    onContextEnter: () => void log.push(`${name} enter`),
    onContextExit: (_call, error) => void log.push(`${name} exit${error === undefined ? "" : " with an error"}`),
    onStart: () => void log.push(`${name} start`),
    onStop: () => void log.push(`${name} stop`),
  };
}

test("what is sent goes through the list in order, what is received in reverse, on both sides", async () => {
  const there: string[] = [];
  const here: string[] = [];
  const server = new Server().register({ sum: (a: number, b: number) => a + b });
  // A second load adds to the first.
  server.loadProcessor([recorder("a", there)]).loadProcessor([recorder("b", there)]);
  const client = await pair(server, new Client().loadProcessor([recorder("a", here), recorder("b", here)]));
  expect(await client.invokeByName("sum", [1, 2])).toBe(3);
  await client.stop();
  await server.shutdown();
  const call = (first: string, second: string) => [`${first} request`, `${second} request`];
  expect(here).toEqual([
    ...["a start", "b start", "a enter", "b enter", ...call("a", "b"), "b response", "a response"],
    ...["b exit", "a exit", "b stop", "a stop"],
  ]);
  expect(there).toEqual([
    ...["a start", "b start", "a enter", "b enter", ...call("b", "a"), "a response", "b response"],
    ...["b exit", "a exit", "b stop", "a stop"],
  ]);
});

test("asynchronous processors keep the order of a call's messages, in every shape", async () => {
  const server = new Server().loadProcessor([recorder("s", [], true)]);
  server.register({
    async *count(n: number) {
      for (let i = 0; i < n; i++) yield i;
    },
    async digits(source: AsyncIterable<number>) {
      let text = "";
      for await (const digit of source) text += digit;
      return text;
    },
  });
  server.registerChannel(async function echo(channel: Channel<number, number>) {
    for await (const body of channel) await channel.write(body);
  });
  const client = await pair(server, new Client().loadProcessor([recorder("c", [], true)]));
  const counted: number[] = [];
  for await (const n of client.registerGen<(n: number) => AsyncIterable<number>>("count")(30)) counted.push(n);
  expect(counted).toEqual(Array.from({ length: 30 }, (_, i) => i));
  const digits = client.register<(source: AsyncIterable<number>) => Promise<string>>("digits");
  expect(await digits([1, 2, 3, 4, 5, 6, 7].values())).toBe("1234567");
  await client.registerChannel<(c: Channel<number, number>) => Promise<void>>("echo")(async (channel) => {
    for (let i = 0; i < 10; i++) void channel.write(i);
    for (let i = 0; i < 10; i++) expect(await channel.readBody()).toBe(i);
  });
});

test("a processor changes bodies and metadata", async () => {
  const server = new Server().register({
    greet: (name: string) => `${name} ${String(context().metadata.get("x-tag"))}`,
  });
  const client = new Client().loadProcessor([
    {
      onRequest(message) {
        message.metadata.set("x-tag", "tagged");
        return { ...message, body: (message.body as string[]).map((each) => each.toUpperCase()) };
      },
      onResponse: (message) => ({ ...message, body: `<${String(message.body)}>` }),
    },
  ]);
  await pair(server, client);
  expect(await client.invokeByName("greet", ["ann"])).toBe("<ANN tagged>");
});

test("one that throws fails that call with its error, and all that were entered are left", async () => {
  const log: string[] = [];
  let forbid = true;
  const server = new Server().register({ one: () => 1 });
  server.loadProcessor([
    recorder("a", log),
    {
      onRequest(message) {
        if (forbid) throw new RapError("PERMISSION_DENIED", "not today");
        return message;
      },
    },
  ]);
  const client = await pair(server);
  await expect(client.invokeByName("one")).rejects.toMatchObject({ code: "PERMISSION_DENIED", message: "not today" });
  expect(log).toEqual(["a start", "a enter", "a exit with an error"]);
  forbid = false;
  expect(await client.invokeByName("one")).toBe(1);
  expect(server.stats().inFlight).toBe(0);
});

test("one that throws on the client fails the call there, without sending it or after its answer", async () => {
  let calls = 0;
  const server = new Server().register({ count: () => ++calls });
  const fail = (step: "onRequest" | "onResponse"): Processor => ({
    [step]: () => {
      throw new RapError("ABORTED", step);
    },
  });
  const client = await pair(server, new Client().loadProcessor([fail("onRequest")]));
  await expect(client.invokeByName("count")).rejects.toMatchObject({ code: "ABORTED", message: "onRequest" });
  expect(calls).toBe(0);
  const other = new Client({ target: server.address! }).loadProcessor([fail("onResponse")]);
  stops.unshift(() => other.stop({ graceMs: 0 }));
  await other.start();
  await expect(other.invokeByName("count")).rejects.toMatchObject({ code: "ABORTED", message: "onResponse" });
  expect(calls).toBe(1);
});

test("interceptors wrap every call of a client, the first outermost", async () => {
  const server = new Server().register({
    who: () => String(context().metadata.get("x-request-id")),
    async *count(n: number) {
      for (let i = 0; i < n; i++) yield i;
    },
  });
  const client = await pair(server);
  const log: string[] = [];
  client.use(
    async (call, next) => {
      log.push(call.method);
      return next(call);
    },
    async (call, next) => {
      call.options.metadata = { ...(call.options.metadata as object), "x-request-id": "r1" };
      if (call.method === "count") call.args = [2];
      return next(call);
    },
  );
  expect(await client.invokeByName("who")).toBe("r1");
  const got: number[] = [];
  for await (const n of client.registerGen<(n: number) => AsyncIterable<number>>("count")(9)) got.push(n);
  expect(got).toEqual([0, 1]);
  expect(log).toEqual(["who", "count"]);
});

test("loading a processor twice is an error", () => {
  const processor: Processor = { kind: "processor" };
  expect(() => new Server().loadProcessor([processor, processor])).toThrow("loaded already");
  expect(() => new Client().loadProcessor([processor]).loadProcessor([processor])).toThrow("loaded already");
});

test("a list of processors of which one is none loads none, and may be loaded without it", () => {
  const good = { onRequest: (message: never) => message };
  for (const side of [new Server(), new Client()]) {
    expect(() => side.loadProcessor([good, { onRequest: 5 } as never])).toThrow("onRequest");
    expect(() => side.loadProcessor([good, {}])).not.toThrow();
  }
});

test("what is no processor is refused where it is loaded", () => {
  class WithoutMethod {}
  const refused = (message: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD", message: expect.stringContaining(message) });
  for (const [given, message] of [
    [undefined, "a processor is an object, not undefined"],
    [(m: unknown) => m, "a processor is an object, not a function"],
    [Object.freeze({ onrequest() {} }), "a processor has one of onRequest"],
    [new WithoutMethod(), "a processor has one of onRequest"],
    [{ onRequest: "gzip" }, "onRequest of a processor is a function, not a string"],
    [{ onStop: null }, "onStop of a processor is a function, not null"],
    [{ secure: {} }, "secure of a processor has the methods offer and answer"],
    [connMiddleware(() => {}), `a processor's kind is "processor", not "conn": middleware goes to loadMiddleware()`],
  ] as const) {
    expect(() => new Server().loadProcessor([given as never])).toThrow(refused(message));
    expect(() => new Client().loadProcessor([given as never])).toThrow(refused(message));
  }
  const alone = { onRequest: (message: never) => message };
  expect(() => new Server().loadProcessor(alone as never)).toThrow(
    refused("takes a list of processors, not an object"),
  );
  expect(() => new Client().loadProcessor(alone as never)).toThrow(
    refused("takes a list of processors, not an object"),
  );
});

test("a processor that refuses a call as it begins says no more to the caller than a function that fails", async () => {
  const lines: object[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: object) => void lines.push(line) };
  const server = new Server({ logger, health: false }).register({ sum: (a: number, b: number) => a + b });
  const enter = jest.fn<void, []>();
  server.loadProcessor([{ onContextEnter: enter }]);
  const client = await pair(server);
  const { timers } = server.stats();
  enter.mockImplementationOnce(() => {
    throw new Error("the password is 1234");
  });
  await expect(client.invokeByName("sum", [1, 2])).rejects.toMatchObject({
    code: "UNKNOWN",
    message: expect.not.stringContaining("1234"),
  });
  expect(lines).toMatchObject([{ err: { message: "the password is 1234" }, method: "default/sum" }]);
  enter.mockImplementationOnce(() => {
    throw new RapError("PERMISSION_DENIED", "not you");
  });
  await expect(client.invokeByName("sum", [1, 2])).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  expect(server.stats()).toMatchObject({ inFlight: 0, timers });
  expect(await client.invokeByName("sum", [1, 2])).toBe(3);
});
