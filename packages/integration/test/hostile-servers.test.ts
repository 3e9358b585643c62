import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { type CallOptions, type Channel, Client, type RapError, safe } from "@rap/client";
import { encodeFrame, Flag, type Frame, type Hello, Kind, type Limits, PREAMBLE, Shape } from "@rap/protocol";
import { Server } from "@rap/server";
import { type Listener, tcp } from "@rap/transport";
import { helloOf, RawPeer } from "../../transport/test/link";
import {
  BAD,
  block,
  call,
  credit,
  data,
  encoded,
  end,
  expectOutcome,
  FRAMES,
  fine,
  goaway,
  greet,
  HELLO,
  headers,
  KiB,
  NONE,
  never,
  ONE_GLITCH,
  type Outcome,
  PING,
  raw,
  reset,
  SHORT,
  type States,
  sendAll,
  spoken,
  times,
  WINDOWS,
} from "./hostile";
import { SILENT, until } from "./links";

jest.setTimeout(10_000);

/** What a play against a client has to do with. */
interface Scene {
  readonly client: Client;
  /** The connection that the client made; the last one. */
  readonly peer: RawPeer;
  /** All connections that it made so far. */
  readonly peers: readonly RawPeer[];
  /** Makes a call of a shape and waits for it to arrive. */
  begin(shape: Shape, options?: CallOptions): Promise<Begun>;
}

interface Begun {
  readonly id: number;
  /** Code and message of the error that the caller gets, or its result as JSON. */
  readonly outcome: Promise<string>;
}

interface ClientCase {
  readonly name: string;
  readonly limits?: Partial<Limits>;
  readonly hello?: Partial<Hello>;
  /** Returns what the caller gets; nothing when no call is made. */
  play(scene: Scene): Promise<string | undefined>;
  readonly gives: Outcome;
  readonly why?: string;
  /** What the caller gets. */
  readonly caller?: RegExp;
}

let harmless: Server;
let healthy: Client;
beforeAll(async () => {
  harmless = new Server({ logger: SILENT });
  harmless.register({ echo: (value: unknown) => value });
  await harmless.listen({ port: 0 });
  healthy = await new Client({ target: harmless.address! }).start();
});
afterAll(async () => {
  await healthy.stop({ graceMs: 0 });
  await harmless.shutdown({ graceMs: 0 });
});

const NO_RECONNECT = { initial: 600_000, max: 600_000 };

/** A raw server and who came to it. */
async function rawServer(greeting: (peer: RawPeer) => void): Promise<{ listener: Listener; peers: RawPeer[] }> {
  const peers: RawPeer[] = [];
  const listener = await tcp().listen("tcp://127.0.0.1:0", (socket) => {
    const peer = new RawPeer(socket);
    peers.push(peer);
    greeting(peer);
  });
  return { listener, peers };
}

async function playToClient(it: ClientCase): Promise<void> {
  const { listener, peers } = await rawServer((peer) => greet(peer, it.hello));
  const client = new Client({
    target: listener.address,
    limits: it.limits ?? {},
    reconnect: NO_RECONNECT,
  });
  try {
    await client.start();
    const peer = peers[0]!;
    const begin = async (shape: Shape, options: CallOptions = {}): Promise<Begun> => {
      const before = peer.of("open").length;
      const outcome = describeOutcome(client, shape, options);
      await until(() => peer.of("open").length > before);
      return { id: peer.of("open").at(-1)!.id, outcome };
    };
    const outcome = await it.play({ client, peer, peers, begin });
    await expectOutcome(peer, it.gives, it.why);
    if (it.caller !== undefined) expect(outcome).toMatch(it.caller);
    expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
    await client.stop({ graceMs: 0 });
    expect(client.stats()).toEqual({ ...client.stats(), connections: 0, inFlight: 0, waiting: 0, timers: 0 });
  } finally {
    await client.stop({ graceMs: 0 });
    for (const { socket } of peers) socket.destroy();
    await listener.close();
  }
}

/** Calls `f` and says in words what its caller gets; of a stream or channel all items, and how it ends. */
async function describeOutcome(client: Client, shape: Shape, options: CallOptions): Promise<string> {
  const got: unknown[] = [];
  try {
    if (shape === Shape.UNARY) return JSON.stringify(await client.invokeByName("f", [], options));
    const items =
      shape === Shape.CHANNEL
        ? await client.registerChannel<(c: Channel<unknown, unknown>) => void>("f").open(options)
        : client.registerGen<() => AsyncIterable<unknown>>("f", options)();
    for await (const item of items) got.push(item);
    return `${JSON.stringify(got)} and the end`;
  } catch (error) {
    const { code, message } = error as RapError;
    return `${got.length > 0 ? JSON.stringify(got) : ""}${code}: ${message}`;
  }
}

/** A case of one plain call, and the server's answer to it. */
const answers = (
  name: string,
  answer: (id: number) => readonly (Frame | Uint8Array)[],
  caller: RegExp,
  gives: Outcome = "nothing",
  rest: Partial<ClientCase> = {},
): ClientCase => ({
  name,
  gives,
  caller,
  async play({ peer, begin }) {
    const { id, outcome } = await begin(Shape.UNARY);
    sendAll(peer, answer(id));
    return outcome;
  },
  ...rest,
});

/** The same for a call that gives a stream. */
const streams = (
  name: string,
  answer: (id: number) => readonly (Frame | Uint8Array)[],
  caller: RegExp,
  gives: Outcome = "nothing",
  rest: Partial<ClientCase> = {},
): ClientCase => ({
  name,
  gives,
  caller,
  async play({ peer, begin }) {
    const { id, outcome } = await begin(Shape.SERVER_STREAM);
    sendAll(peer, answer(id));
    return outcome;
  },
  ...rest,
});

/** A RESET whose error is whatever these bytes are. */
const resetOf = (id: number, code: number, flags: number, body: Uint8Array): Uint8Array =>
  raw(Kind.RESET, 0, id, Buffer.concat([Buffer.of(code, flags), body]));

const ANSWERS: readonly ClientCase[] = [
  answers("a result", (id) => [data(id, 7, { end: true })], /^7$/),
  answers("a result and, apart, the end", (id) => [data(id, 7), end(id)], /^7$/),
  answers("an end without a result", (id) => [end(id)], /^INTERNAL: .*without a result/),
  answers("two results", (id) => [data(id, 1), data(id, 2, { end: true })], /^INTERNAL: .*another/, "RESET CANCELLED"),
  answers("a result twice", (id) => [data(id, 1, { end: true }), data(id, 2, { end: true })], /^1$/),
  answers("a result, and then an error", (id) => [data(id, 1, { end: true }), reset(id)], /^1$/),
  answers("an error twice", (id) => [reset(id, "ABORTED", ["no"]), reset(id, "INTERNAL")], /^ABORTED: no$/),
  answers(
    "answers to a call that was answered, without end",
    (id) => times(250, () => data(id, 1, { end: true })),
    /^1$/,
    "GOAWAY TOO_MANY_GLITCHES",
    { why: "which is over" },
  ),
  answers("an answer to a call that nobody made", () => [data(99, 1, { end: true })], /^UNAVAILABLE/, BAD, {
    why: "stream 99",
  }),
  answers("an answer to a call of its own kind", () => [data(2, 1, { end: true })], /^UNAVAILABLE/, BAD),
  answers(
    "a result that is no value",
    (id) => [data(id, Uint8Array.of(0xc1), { end: true })],
    /^INTERNAL: .*cannot be read/,
    "RESET CANCELLED",
  ),
  answers(
    "a result of no bytes",
    (id) => [data(id, NONE, { end: true })],
    /^INTERNAL: .*cannot be read/,
    "RESET CANCELLED",
  ),
  answers(
    "a result over the limit",
    (id) => times(4, () => data(id, new Uint8Array(40 * KiB), { more: true })),
    /^RESOURCE_EXHAUSTED: .*65536/,
    "RESET RESOURCE_EXHAUSTED",
    { limits: { maxMessageBytes: 64 * KiB } },
  ),
  answers(
    "half a result, and then the end",
    (id) => [data(id, new Uint8Array(300), { more: true }), end(id)],
    /^UNAVAILABLE/,
    BAD,
    {
      why: "in the middle of a message",
    },
  ),
  answers("MORE and END", (id) => [data(id, new Uint8Array(300), { more: true, end: true })], /^UNAVAILABLE/, BAD, {
    why: "MORE and END",
  }),
  answers("an error of no known code", (id) => [resetOf(id, 99, 0, encoded(["odd"]))], /^UNKNOWN: odd$/),
  answers("an error without words", (id) => [resetOf(id, 5, 0, NONE)], /^NOT_FOUND: /),
  answers(
    "an error whose words are numbers",
    (id) => [resetOf(id, 5, 0, encoded([1, 2, "x", null, 3]))],
    /^NOT_FOUND: /,
  ),
  answers("an error that is no list", (id) => [resetOf(id, 5, 0, encoded({ a: 1 }))], /^UNAVAILABLE/, BAD),
  answers("an error that is no value", (id) => [resetOf(id, 5, 0, Buffer.from("c1"))], /^UNAVAILABLE/, BAD),
  answers("no error, in place of a result", (id) => [resetOf(id, 0, 0, NONE)], /^INTERNAL: .*without a result/),
  answers("HEADERS twice", (id) => [headers(id), headers(id)], /^UNAVAILABLE/, BAD, { why: "HEADERS" }),
  answers(
    "metadata over the limits",
    (id) => [raw(Kind.HEADERS, 0, id, block(...times(65, (i) => [`k${i}`, NONE] as const)))],
    /^UNAVAILABLE/,
    BAD,
    { why: "64 entries" },
  ),
  answers(
    "a refusal, again and again",
    (id) => [resetOf(id, 14, 1, encoded(["elsewhere"]))],
    /^UNAVAILABLE: elsewhere/,
    "nothing",
    {
      async play({ peer, begin }) {
        const { id, outcome } = await begin(Shape.UNARY);
        peer.write(resetOf(id, 14, 1, encoded(["elsewhere"])));
        await until(() => peer.of("open").length === 2);
        peer.write(resetOf(id + 2, 14, 1, encoded(["elsewhere"])));
        return outcome;
      },
    },
  ),
  answers(
    "GOAWAY with a reason",
    () => [goaway(8, 1, "you are too loud")],
    /^UNAVAILABLE: .*ENHANCE_YOUR_CALM.*too loud/,
    "closed",
  ),
  answers("GOAWAY of an unknown code", () => [goaway(200, 1, "who knows")], /^UNAVAILABLE: .*who knows/, "closed"),
  answers("GOAWAY that is not UTF-8", () => [raw(Kind.GOAWAY, 0, 0, "00000000 00 ff")], /^UNAVAILABLE/, BAD),
  answers("the end in the middle of a call", () => [], /^UNAVAILABLE: .*the peer closed it/, "closed", {
    async play({ peer, begin }) {
      const { outcome } = await begin(Shape.UNARY);
      peer.socket.end();
      return outcome;
    },
  }),
  answers("the end in the middle of a frame", () => [], /^UNAVAILABLE/, "closed", {
    async play({ peer, begin }) {
      const { id, outcome } = await begin(Shape.UNARY);
      peer.write(raw(Kind.DATA, Flag.END, id, new Uint8Array(10), 100));
      peer.socket.end();
      return outcome;
    },
  }),
  answers(
    "half a frame, and then silence",
    (id) => [raw(Kind.DATA, 0, id, new Uint8Array(10), 100)],
    /^UNAVAILABLE/,
    "GOAWAY SLOW_FRAME",
    {
      limits: { frameTimeout: 100 },
      why: "took too long",
    },
  ),
  answers("nothing any more", () => [], /^UNAVAILABLE: .*KEEPALIVE_TIMEOUT/, "closed", {
    hello: { keepaliveInterval: 50 },
    limits: { keepaliveInterval: 50, keepaliveTimeout: 50 },
    async play({ peer, begin }) {
      const { outcome } = await begin(Shape.UNARY);
      peer.socket.pause();
      const text = await outcome;
      peer.socket.resume();
      return text;
    },
  }),
  ...[4 * 1024 * KiB + 1, 0x80000000, 0xffffffff].map((length) =>
    answers(
      `a frame of ${length} bytes`,
      (id) => [raw(Kind.DATA, 0, id, NONE, length)],
      /^UNAVAILABLE/,
      "GOAWAY FRAME_TOO_LARGE",
    ),
  ),
  answers("PINGs without end", () => times(20, () => PING), /^UNAVAILABLE/, "GOAWAY TOO_MANY_PINGS"),
  answers("credit of more than 2^31-1", () => [credit(0, 0x7fffffff, 0)], /^UNAVAILABLE/, "GOAWAY FLOW_CONTROL_ERROR"),
  answers("a second HELLO", () => [HELLO], /^UNAVAILABLE/, BAD, { why: "second HELLO" }),
  answers(
    "calls of its own, without end",
    () => times(600, (i) => call(2 * i + 2, "f", { end: false })),
    /^UNAVAILABLE/,
    "GOAWAY ENHANCE_YOUR_CALM",
  ),
  streams("items and the end", (id) => [data(id, 1), data(id, 2), end(id)], /^\[1,2\] and the end$/),
  streams("an error after items", (id) => [data(id, 1), reset(id, "ABORTED", ["no"])], /^\[1\]ABORTED: no$/),
  streams(
    "an item that is no value",
    (id) => [data(id, 1), data(id, Uint8Array.of(0xc1))],
    /^\[1\]INTERNAL: .*cannot be read/,
    "RESET CANCELLED",
  ),
  streams(
    "no error, in place of the end",
    (id) => [data(id, 1), resetOf(id, 0, 0, NONE)],
    /^\[1\]INTERNAL: .*without a result/,
  ),
  {
    name: "more items than there is credit for",
    limits: WINDOWS,
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "has no credit",
    async play({ client, peer }) {
      const stream = client.registerGen<() => AsyncIterable<number>>("f")();
      await until(() => peer.of("open").length === 1);
      peer.send(...times(6, (i) => data(1, i)));
      await until(() => peer.closed);
      await stream.return?.();
      return undefined;
    },
  },
  {
    name: "an answer to a call that was cancelled",
    gives: "RESET CANCELLED",
    caller: /^CANCELLED/,
    async play({ peer, begin }) {
      const caller = new AbortController();
      const { id, outcome } = await begin(Shape.UNARY, { signal: caller.signal });
      caller.abort();
      await until(() => peer.of("reset").length === 1);
      peer.send(headers(id), data(id, 1, { end: true }));
      return outcome;
    },
  },
];

/** What a client says of a server that is none, by what that says first. */
const GREETED: Readonly<Record<string, { says: readonly Uint8Array[]; limits?: Partial<Limits>; gives: RegExp }>> = {
  "nothing at all": { says: [], limits: SHORT, gives: /handshake took too long/ },
  "a preamble and nothing else": { says: [PREAMBLE], limits: SHORT, gives: /handshake took too long/ },
  garbage: { says: [Buffer.from("\u0001\u0002garbage")], gives: /does not speak rap\/1: it begins with/ },
  "an HTTP answer": { says: [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], gives: /HTTP server/ },
  "a greeting of SSH": { says: [Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")], gives: /SSH/ },
  "an alert of TLS": { says: [Buffer.from("15030300020228", "hex")], gives: /TLS/ },
  "a frame before HELLO": { says: [PREAMBLE, encodeFrame(PING)], gives: /before the handshake is done/ },
  "a HELLO that is too large": { says: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 16 * KiB + 1)], gives: /over the limit/ },
  "a HELLO with a codec that was not offered": {
    says: [PREAMBLE, encodeFrame({ kind: "hello", hello: helloOf({ codecs: ["cbor"] }) })],
    gives: /no common codec/,
  },
  "GOAWAY in place of HELLO": {
    says: [PREAMBLE, encodeFrame(goaway(11, 0, "come back tomorrow"))],
    gives: /REFUSED.*come back tomorrow/,
  },
};

const ON_CLIENT: States<Scene> = {
  "that never was": { set: async () => 98, gives: { ...never, OPEN: "RESET UNIMPLEMENTED" } },
  "of a stream that is open": {
    set: async ({ begin }) => (await begin(Shape.SERVER_STREAM)).id,
    gives: fine,
  },
  "of a channel that the server has ended": {
    set: async ({ peer, begin }) => {
      const { id } = await begin(Shape.CHANNEL);
      peer.send(end(id));
      return id;
    },
    gives: { ...fine, ...spoken, HEADERS: "glitch", RESET: "RESET CANCELLED" },
  },
  "of a call that is over": {
    set: async ({ peer, begin }) => {
      const { id } = await begin(Shape.UNARY);
      peer.send(data(id, 1, { end: true }));
      return id;
    },
    gives: { ...fine, ...spoken, HEADERS: "glitch" },
  },
  "of a call that the caller has cancelled": {
    set: async ({ peer, begin }) => {
      const caller = new AbortController();
      const { id } = await begin(Shape.UNARY, { signal: caller.signal });
      caller.abort();
      await until(() => peer.of("reset").length === 1);
      peer.frames.length = 0;
      return id;
    },
    gives: fine,
  },
};

describe("a client, when a server sends", () => {
  test.each(ANSWERS)("$name: $gives", playToClient);
});

describe("a client, when a server greets it with", () => {
  test.each(Object.entries(GREETED))("%s, says why it cannot start", async (_, { says, limits = {}, gives }) => {
    const { listener, peers } = await rawServer((peer) => sendAll(peer, says));
    const client = new Client({ target: listener.address, limits });
    await expect(client.start()).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(gives) });
    expect(client.stats()).toEqual({ ...client.stats(), connections: 0, inFlight: 0, timers: 0 });
    expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
    await client.stop();
    for (const { socket } of peers) socket.destroy();
    await listener.close();
  });

  test("GOAWAY each time it comes, does not dial without pause", async () => {
    const { listener, peers } = await rawServer((peer) => {
      greet(peer);
      peer.send(goaway(0, 0, "not now"));
    });
    const client = await new Client({ target: listener.address, reconnect: { initial: 60_000, max: 60_000 } }).start();
    await until(() => peers[0]!.closed);
    expect(await safe(client.invokeByName("f", [], { timeout: 50 }))).toMatchObject({
      ok: false,
      error: { code: "DEADLINE_EXCEEDED", maybeExecuted: false },
    });
    expect(peers).toHaveLength(1);
    await client.stop({ graceMs: 0 });
    await listener.close();
  });
});

describe.each(Object.entries(ON_CLIENT))("a client, on the stream %s", (state, { set, gives }) => {
  test.each(Object.entries(gives))("gets %s: %s", async (frame, outcome) => {
    await playToClient({
      name: state,
      limits: ONE_GLITCH,
      play: async (scene) => {
        const id = await set(scene);
        const count = outcome === "glitch" ? 2 : 1;
        scene.peer.send(...times(count, () => FRAMES[frame as keyof typeof FRAMES](id)));
        return undefined;
      },
      gives: outcome === "glitch" ? "GOAWAY TOO_MANY_GLITCHES" : outcome,
    });
  });
});
