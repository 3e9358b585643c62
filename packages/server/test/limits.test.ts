import { describe, expect, test } from "@jest/globals";
import { CLOCK, CODEC, type Logger } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { type Codec, GoawayCode, LIMITS, limits, msgpack, type RapError, Shape } from "@rap/protocol";
import { createTestPair, ManualClock } from "@rap/testing";
import { Connection, memory, type StreamSink, TimerWheel } from "@rap/transport";
import { context, Server } from "../src";

/** Lets everything that is on its way arrive. */
const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A peer that keeps to the wire but not to the limits it is told. */
async function rudePeer(server: Server, clock = new ManualClock()) {
  const transport = memory();
  await server.listen({ transport, address: "memory://rude" });
  const socket = await transport.dial("memory://rude");
  let closed: RapError | undefined;
  const peer = new Connection(socket, {
    role: "client",
    limits: limits(),
    codecs: [msgpack()],
    info: "rude",
    wheel: new TimerWheel(clock),
    host: {
      onClose: (_, error) => {
        closed = error;
      },
    },
  });
  await settle();
  const answers: (RapError | "done" | undefined)[] = [];
  const open = (target: string, shape: Shape = Shape.UNARY, args: unknown[] = [], timeout = 0) => {
    const index = answers.push(undefined) - 1;
    const sink: StreamSink = {
      onMessage: () => {},
      onHeaders: () => {},
      onEnd: () => {
        answers[index] = "done";
      },
      onReset: (error) => {
        answers[index] = error;
      },
      onWritable: () => {},
    };
    const body = shape === Shape.CHANNEL ? undefined : msgpack().encode(args);
    const end = shape === Shape.UNARY || shape === Shape.SERVER_STREAM;
    return peer.open(shape, new TextEncoder().encode(`default/${target}`), timeout, undefined, -1, body, end, sink);
  };
  return { peer, open, answers, closed: () => closed };
}

/** Functions that end when a test says so, whatever their caller does. */
function stubborn() {
  const waiting: (() => void)[] = [];
  return {
    waiting,
    hang: () => new Promise<void>((resolve) => void waiting.push(resolve)),
    async *drip() {
      await new Promise<void>((resolve) => void waiting.push(resolve));
      yield 1;
    },
  };
}

const cancelled = { code: "CANCELLED", message: "", details: [], metadata: [] } as never;

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

describe("calls in flight on one connection", () => {
  test("one below and at the limit they run, one over it they are refused, without a trace of having run", async () => {
    const { hang, waiting } = stubborn();
    await using server = new Server({ limits: { maxInFlight: 3 } }).register({ hang });
    const { open, answers } = await rudePeer(server);
    for (let i = 0; i < 4; i++) open("hang");
    await settle();
    expect(waiting).toHaveLength(3);
    expect(answers.slice(0, 3)).toEqual([undefined, undefined, undefined]);
    expect(answers[3]).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "REFUSED", maybeExecuted: false });
    for (const end of waiting) end();
    await settle();
    expect(answers.slice(0, 3)).toEqual(["done", "done", "done"]);
    expect(server.stats().inFlight).toBe(0);
  });

  test.each([
    ["maxStreams", Shape.SERVER_STREAM, "drip"],
    ["maxChannels", Shape.CHANNEL, "talk"],
  ] as const)("%s is a limit of its own among them", async (limit, shape, target) => {
    const { drip, hang, waiting } = stubborn();
    await using server = new Server({ limits: { [limit]: 2 }, logger: silent });
    server.register({ drip, hang }).registerChannel(hang, { name: "talk" });
    const { peer, open, answers } = await rudePeer(server);
    for (let i = 0; i < 3; i++) open(target, shape);
    open("hang");
    await settle();
    expect(answers[2]).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "REFUSED" });
    expect([answers[0], answers[1], answers[3]]).toEqual([undefined, undefined, undefined]);
    for (const end of waiting) end();
    peer.close(GoawayCode.NO_ERROR, "done");
  });

  test("a cancelled call keeps its place until its function has finished", async () => {
    const { hang, waiting } = stubborn();
    await using server = new Server({ limits: { maxInFlight: 1 } }).register({ hang });
    const { open, answers } = await rudePeer(server);
    open("hang").reset(cancelled);
    open("hang");
    await settle();
    expect(answers[1]).toMatchObject({ reason: "REFUSED" });
    expect(waiting).toHaveLength(1);
    waiting[0]!();
    await settle();
    open("hang");
    await settle();
    expect(answers[2]).toBeUndefined();
    waiting[1]!();
  });

  test.each([
    [Shape.UNARY, "hang"],
    [Shape.CHANNEL, "talk"],
  ] as const)(
    "a cancelled call keeps its place also past its deadline, while its function runs (shape %s)",
    async (shape, target) => {
      const clock = new ManualClock(1);
      const lines: string[] = [];
      const logger = { ...silent, warn: (_: object, message?: string) => void lines.push(message!) };
      const { hang, waiting } = stubborn();
      const server = new Server({ container: createContainer().register(CLOCK, { useValue: clock }), logger });
      server.register({ hang }).registerChannel(hang, { name: "talk" });
      const { peer, open } = await rudePeer(server, clock);
      const stream = open(target, shape, [], 50);
      await settle();
      stream.reset(cancelled);
      await settle();
      clock.advance(100);
      expect(server.stats().inFlight).toBe(1);
      expect(lines).toEqual([]);
      waiting[0]!();
      await settle();
      expect(server.stats().inFlight).toBe(0);
      peer.close(GoawayCode.NO_ERROR, "done");
    },
  );

  test("over all connections: refused with a hint when to come again, and nobody is sent away for it", async () => {
    const { hang, waiting } = stubborn();
    await using server = new Server({ limits: { maxServerInFlight: 1, refusedBurst: 1 } }).register({ hang });
    const { open, answers, closed } = await rudePeer(server);
    for (let i = 0; i < 5; i++) open("hang");
    await settle();
    expect(answers[4]).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED", retryAfterMs: 100 });
    expect(closed()).toBeUndefined();
    for (const end of waiting) end();
  });
});

test("a peer that ignores the limit it was told is sent away: not at the limit of its refusals, but one over it", async () => {
  const { hang, waiting } = stubborn();
  await using server = new Server({ limits: { maxInFlight: 1, refusedBurst: 5, refusedPerSecond: 0.001 } });
  server.register({ hang });
  const { open, closed } = await rudePeer(server);
  for (let i = 0; i < 1 + 5; i++) open("hang");
  await settle();
  expect(closed()).toBeUndefined();
  open("hang");
  await settle();
  expect(closed()).toMatchObject({ code: "UNAVAILABLE", reason: "ENHANCE_YOUR_CALM" });
  waiting[0]!();
});

test("calls beyond a limit, given up at once, cost one encoded error together, and why is not read", async () => {
  const codec = msgpack();
  const work: string[] = [];
  const counting: Codec = {
    name: codec.name,
    encode(value, root) {
      work.push(`encode ${root}`);
      return codec.encode(value, root);
    },
    decode(...args) {
      work.push("decode");
      return codec.decode(...args);
    },
  };
  const { hang, waiting } = stubborn();
  const container = createContainer().register(CODEC, { useValue: counting });
  await using server = new Server({ container, limits: { maxInFlight: 1 } }).register({ hang });
  const { open, answers } = await rudePeer(server);
  open("hang");
  for (let i = 0; i < 20; i++) open("hang").reset(cancelled);
  const last = open("hang");
  await settle();
  expect(answers.at(-1)).toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "REFUSED", maybeExecuted: false });
  expect([server.stats().refused.maxInFlight, last.localDone]).toEqual([21, true]);
  // The arguments of the call that runs, and what all others are told.
  expect(work).toEqual(["decode", "encode error"]);
  waiting[0]!();
});

describe("calls that are given up", () => {
  test.each([
    ["that end at once cost nothing", 0, false],
    ["whose functions go on for long cost the connection in the end", 101, true],
  ])("%s", async (_, delay, sentAway) => {
    const clock = new ManualClock(1);
    const container = createContainer().register(CLOCK, { useValue: clock });
    await using server = new Server({ container, limits: { cancelBurst: 3, cancelsPerSecond: 0.001 } });
    const { hang, waiting } = stubborn();
    server.register({ hang });
    const { open, closed } = await rudePeer(server, clock);
    for (let i = 0; i < 4; i++) {
      expect(closed()).toBeUndefined();
      open("hang").reset(cancelled);
      await settle();
      clock.advance(delay);
      waiting[i]!();
      await settle();
    }
    expect(closed()?.reason).toBe(sentAway ? "ENHANCE_YOUR_CALM" : undefined);
  });

  test("a generator that never comes to its `finally` is abandoned after a while, so that its place is free", async () => {
    const clock = new ManualClock(1);
    const lines: string[] = [];
    const logger = { ...silent, warn: (_: object, message?: string) => void lines.push(message!) };
    const container = createContainer().register(CLOCK, { useValue: clock });
    const server = new Server({ container, logger });
    const { drip } = stubborn();
    server.register({ drip });
    const { open } = await rudePeer(server, clock);
    open("drip", Shape.SERVER_STREAM).reset(cancelled);
    await settle();
    clock.advance(LIMITS.generatorReturnTimeout - 1);
    expect(server.stats().inFlight).toBe(1);
    clock.advance(10);
    expect(server.stats().inFlight).toBe(0);
    expect(lines).toEqual(["a generator went on after its call was cancelled"]);
    const stopped = server.shutdown();
    clock.advance(60_000);
    await settle();
    clock.advance(60_000);
    await stopped;
  });
});

describe("memory of all connections together", () => {
  test("over the limit of unfinished messages, who began first has to go", async () => {
    await using server = new Server({ limits: { processReceiveBytes: 100_000 } }).register({
      count: (text: string) => text.length,
    });
    const first = await rudePeer(server);
    const second = await rudePeer(server);
    const half = async ({ peer }: typeof first) => {
      const target = new TextEncoder().encode("default/count");
      // An OPEN that says that more will come, of 60 000 bytes.
      const at = peer.outbox.reserve(0x10, 0x01, 1, 2 + target.length + 16_000);
      peer.outbox.buffer.set([0, target.length, ...target], at);
      for (let i = 0; i < 3; i++) peer.outbox.reserve(0x12, 0x01, 1, 16_000);
      await settle();
    };
    await half(first);
    await half(second);
    expect([first.peer.closed, second.peer.closed]).toEqual([true, false]);
    await using pair = await createTestPair(server);
    expect(await pair.client.invokeByName("count", ["x".repeat(70_000)])).toBe(70_000);
    expect(second.peer.closed).toBe(true);
  });

  test("over the limit of bytes that peers do not take, the one that is most behind has to go", async () => {
    const transport = memory({ highWaterMark: 1_000 });
    await using server = new Server({ limits: { processWriteQueueBytes: 300_000 } });
    server.register({ much: () => new Uint8Array(10_000), little: () => "here" });
    await server.listen({ transport, address: "memory://slow" });
    const socket = await transport.dial("memory://slow");
    const peer = new Connection(socket, {
      role: "client",
      limits: limits({ writeQueueHardBytes: 2 ** 30 }),
      codecs: [msgpack()],
      info: "slow",
      wheel: new TimerWheel(new ManualClock()),
      host: { onClose() {} },
    });
    await settle();
    socket.pause();
    const sink: StreamSink = { onMessage() {}, onHeaders() {}, onEnd() {}, onReset() {}, onWritable() {} };
    const target = new TextEncoder().encode("default/much");
    expect(server.stats().connections).toBe(1);
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 5; j++) peer.open(Shape.UNARY, target, 0, undefined, -1, msgpack().encode([]), true, sink);
      await settle();
    }
    expect(server.stats().connections).toBe(0);
    await using pair = await createTestPair(server);
    expect(await pair.client.invokeByName("little")).toBe("here");
  });
});

test("of one peer's failures no more lines are logged than the limit, and then how many were left out", async () => {
  const clock = new ManualClock(1);
  const lines: object[] = [];
  const logger: Logger = { ...silent, error: (details) => void lines.push(details) };
  const container = createContainer().register(CLOCK, { useValue: clock });
  const server = new Server({ container, logger, limits: { logLinesPerSecond: 3 } });
  server.register({
    fail() {
      throw new Error(`no ${context().id}`);
    },
  });
  const { open } = await rudePeer(server, clock);
  for (let i = 0; i < 10; i++) open("fail");
  await settle();
  expect(lines).toHaveLength(3);
  clock.advance(400);
  open("fail");
  await settle();
  expect(lines).toHaveLength(4);
  expect(lines[3]).toMatchObject({ dropped: 7 });
});

test("a logger that throws fails nothing: no call, no connection, no stop", async () => {
  const boom = (): never => {
    throw new Error("the disk is full");
  };
  const logger: Logger = { debug: boom, info: boom, warn: boom, error: boom, child: () => logger };
  const server = new Server({ logger });
  server.register({
    fail: () => Promise.reject(new Error("no")),
    log: () => context().log.info({}, "hello"),
  });
  server.loadAfterStopEvent([() => Promise.reject(new Error("late"))]);
  const pair = await createTestPair(server);
  await expect(pair.client.invokeByName("fail")).rejects.toMatchObject({ code: "UNKNOWN" });
  expect(await pair.client.invokeByName("log")).toBeUndefined();
  pair.cut();
  await pair.client.stop();
  await server.shutdown();
  expect(server.state).toBe("stopped");
});
