import { describe, expect, jest, test } from "@jest/globals";
import { type Channel, Client } from "@rap/client";
import { Flag, type Frame, type Hello, Kind, type Limits, Metadata, PREAMBLE, Shape } from "@rap/protocol";
import { context, Server } from "@rap/server";
import { tcp } from "@rap/transport";
import { RawPeer } from "../../transport/test/link";
import {
  BAD,
  block,
  call,
  channel,
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
  upload,
  WINDOWS,
} from "./hostile";
import { identities, SILENT, until } from "./links";

jest.setTimeout(10_000);

interface ServerCase {
  readonly name: string;
  readonly limits?: Partial<Limits>;
  /** What the peer says of itself; false: it does not introduce itself. */
  readonly hello?: Partial<Hello> | false;
  /** Frames to send, or the whole play. */
  readonly play: readonly (Frame | Uint8Array)[] | ((peer: RawPeer) => Promise<void> | void);
  readonly gives: Outcome;
  readonly why?: string;
  /** TLS instead of plain TCP. */
  readonly secure?: boolean;
}

/** Lets handlers finish that do not listen to their signal. */
const release: (() => void)[] = [];

function register(server: Server): void {
  server.register({
    echo: (value: unknown) => value,
    args: (...args: unknown[]) => args.length,
    size: (bytes: number) => new Uint8Array(bytes),
    hang: () =>
      new Promise((_, reject) => {
        const { signal } = context();
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
    stubborn: () =>
      new Promise<void>((resolve) => {
        release.push(resolve);
      }),
    async gather(items: AsyncIterable<unknown>) {
      let count = 0;
      for await (const _ of items) count++;
      return count;
    },
    first: async (_items: AsyncIterable<unknown>) => "enough",
    async *items(count: number) {
      for (let i = 0; i < count; i++) yield i;
    },
  });
  server.registerChannel(async function talk(channel: Channel<unknown, unknown>) {
    for await (const message of channel) await channel.write(message);
  });
  server.registerChannel(async function stay() {
    const { signal } = context();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  });
}

async function playToServer(it: ServerCase): Promise<void> {
  const { server: identity, ca } = await identities();
  const limits = it.limits ?? {};
  const server = new Server({ logger: SILENT, limits, ...(it.secure && { tls: identity }) });
  register(server);
  await server.listen({ port: 0 });
  const healthy = await new Client({ target: server.address!, tls: { ca } }).start();
  const { port } = new URL(server.address!);
  const peer = new RawPeer(await tcp().dial(`tcp://127.0.0.1:${port}`));
  try {
    if (it.hello !== false) {
      greet(peer, it.hello);
      await until(() => peer.of("hello").length > 0);
    }
    if (typeof it.play === "function") await it.play(peer);
    else sendAll(peer, it.play);
    await expectOutcome(peer, it.gives, it.why);
    if (it.gives === "silence") expect(peer.frames).toEqual([]);
    expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
    peer.socket.destroy();
    for (const go of release.splice(0)) go();
    await until(() => {
      const { connections, inFlight, timers } = server.stats();
      return connections === 1 && inFlight === 0 && timers === 1;
    });
  } finally {
    peer.socket.destroy();
    await healthy.stop({ graceMs: 0 });
    await server.shutdown({ graceMs: 0 });
  }
}

const CLIENT_HELLO = Buffer.from("1603010200010001fc0303", "hex");

const GREETINGS: readonly ServerCase[] = [
  { name: "nothing at all", limits: SHORT, play: [], gives: "silence" },
  { name: "garbage", play: [Uint8Array.from(times(64, (i) => (i * 37 + 11) & 0xff))], gives: "silence" },
  { name: "zeros", play: [new Uint8Array(4096)], gives: "silence" },
  { name: "an HTTP request", play: [Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")], gives: "silence" },
  { name: "TLS on the plain port", play: [CLIENT_HELLO], gives: "silence" },
  { name: "half a preamble", limits: SHORT, play: [PREAMBLE.subarray(0, 3)], gives: "silence" },
  { name: "a preamble of another version", play: [Buffer.from("rap/2\n")], gives: "silence" },
  { name: "a preamble and nothing else", limits: SHORT, play: [PREAMBLE], gives: "silence" },
  { name: "half a HELLO", limits: SHORT, play: [PREAMBLE, HELLO.subarray(0, 20)], gives: "silence" },
  {
    name: "a HELLO of 16 KiB and a byte",
    play: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 16 * KiB + 1)],
    gives: "silence",
  },
  { name: "a HELLO of 4 GiB", play: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 0xffffffff)], gives: "silence" },
  ...[Kind.PING, Kind.GOAWAY, Kind.OPEN, Kind.DATA, Kind.CREDIT, 0x80].map((kind) => ({
    name: `frame kind ${kind} before HELLO`,
    play: [PREAMBLE, raw(kind, 0, 0, new Uint8Array(8))],
    gives: "silence" as const,
  })),
  {
    name: "a HELLO that comes one byte at a time",
    limits: SHORT,
    play: async (peer) => {
      for (const byte of [...PREAMBLE, ...HELLO]) {
        peer.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 10));
        if (peer.closed) return;
      }
    },
    gives: "silence",
  },
  { name: "half a TLS handshake", secure: true, limits: SHORT, play: [CLIENT_HELLO], gives: "silence" },
  { name: "nothing at all on the TLS port", secure: true, limits: SHORT, play: [], gives: "silence" },
  { name: "a plain greeting on the TLS port", secure: true, play: [PREAMBLE, HELLO], gives: "silence" },
  {
    name: "a second preamble",
    play: [PREAMBLE, HELLO, PREAMBLE, HELLO],
    gives: "GOAWAY FRAME_TOO_LARGE",
    why: "a frame of",
  },
  { name: "a second HELLO", play: [PREAMBLE, HELLO, HELLO], gives: "GOAWAY PROTOCOL_ERROR", why: "second HELLO" },
];

const entries = (count: number, value = "v"): Metadata => {
  const metadata = new Metadata();
  for (let i = 0; i < count; i++) metadata.append(`k${i}`, value);
  return metadata;
};

/** A plain call with such a block. */
function callWith(metadata: Uint8Array): Uint8Array {
  const name = Buffer.from("default/echo");
  const lengths = [Buffer.of(0, name.length), Buffer.of(metadata.length >> 8, metadata.length)] as const;
  const payload = Buffer.concat([lengths[0], name, lengths[1], metadata, encoded([1])]);
  return raw(Kind.OPEN, Flag.END | Flag.METADATA, 1, payload);
}

const CALLS: readonly ServerCase[] = [
  // Frames that are none.
  {
    name: "half a frame, and then silence",
    limits: { frameTimeout: 100 },
    play: [raw(Kind.OPEN, Flag.END, 1, new Uint8Array(100), 200)],
    gives: "GOAWAY SLOW_FRAME",
    why: "took too long",
  },
  {
    name: "half a frame, and then the end",
    play: async (peer) => {
      peer.write(raw(Kind.OPEN, Flag.END, 1, new Uint8Array(100), 200));
      peer.socket.end();
      await until(() => peer.closed);
    },
    gives: "closed",
  },
  ...[4 * 1024 * KiB + 1, 0x7fffffff, 0x80000000, 0xffffffff].map((length) => ({
    name: `a frame of ${length} bytes`,
    play: [raw(Kind.DATA, 0, 1, NONE, length)],
    gives: "GOAWAY FRAME_TOO_LARGE" as const,
    why: String(length),
  })),
  ...[0x05, 0x0f, 0x16, 0x7f].map((kind) => ({
    name: `the unknown kind ${kind}, which must be known`,
    play: [raw(kind, 0, 0)],
    gives: "GOAWAY PROTOCOL_ERROR" as const,
  })),
  { name: "an unknown kind that may be skipped", limits: ONE_GLITCH, play: [raw(0x80, 0, 7, "00")], gives: "nothing" },
  { name: "unknown kinds without end", play: times(250, () => raw(0xff, 0, 0)), gives: "GOAWAY TOO_MANY_GLITCHES" },
  { name: "a PING of 7 bytes", play: [raw(Kind.PING, 0, 0, new Uint8Array(7))], gives: "GOAWAY PROTOCOL_ERROR" },
  { name: "a CREDIT of 9 bytes", play: [raw(Kind.CREDIT, 0, 0, new Uint8Array(9))], gives: "GOAWAY PROTOCOL_ERROR" },
  { name: "PINGs without end", play: times(20, () => PING), gives: "GOAWAY TOO_MANY_PINGS", why: "too many pings" },
  { name: "a PONG that nobody asked for", play: [raw(Kind.PONG, 0, 0, new Uint8Array(8))], gives: "nothing" },
  { name: "GOAWAY with an error", play: [goaway(1)], gives: "closed" },
  { name: "GOAWAY, and calls after it", play: [goaway(0), call(1, "echo", { args: [1] })], gives: "closed" },

  // Ids.
  ...[0, 2, 0x80000001].map((id) => ({
    name: `a call on stream ${id}`,
    play: [call(id, "echo")],
    gives: "GOAWAY PROTOCOL_ERROR" as const,
    why: `stream ${id}`,
  })),
  {
    name: "an id that was used",
    play: [call(5, "hang"), call(5, "hang")],
    gives: "GOAWAY PROTOCOL_ERROR",
    why: "stream id 5 was used before",
  },
  {
    name: "ids that descend",
    play: [call(5, "echo"), call(3, "echo")],
    gives: "GOAWAY PROTOCOL_ERROR",
    why: "stream id 3 was used before",
  },

  // Calls.
  { name: "a function that does not exist", play: [call(1, "nothing")], gives: "RESET NOT_FOUND", why: "nothing" },
  ...["__proto__", "constructor", "toString", "then", "", "\u{1f600}", "../echo", "echo\0", "x".repeat(60_000)].map(
    (name) => ({
      name: `a function called ${JSON.stringify(name.slice(0, 20))}`,
      play: [call(1, name), call(3, `${name}/${name}`)],
      gives: "RESET NOT_FOUND" as const,
    }),
  ),
  { name: "a channel called as a function", play: [call(1, "talk")], gives: "RESET UNIMPLEMENTED" },
  { name: "a function opened as a channel", play: [channel(1, "echo")], gives: "RESET UNIMPLEMENTED" },
  { name: "a function called as a stream", play: [call(1, "echo", { shape: 1 })], gives: "RESET UNIMPLEMENTED" },
  { name: "a stream called as a function", play: [call(1, "items", { args: [3] })], gives: "RESET UNIMPLEMENTED" },
  { name: "a call without arguments", play: [call(1, "echo", { body: NONE })], gives: "RESET INVALID_ARGUMENT" },
  { name: "arguments that are no list", play: [call(1, "echo", { args: 7 })], gives: "RESET INVALID_ARGUMENT" },
  {
    name: "arguments by names that nobody declared",
    play: [call(1, "echo", { args: { a: 1 } })],
    gives: "RESET INVALID_ARGUMENT",
  },
  {
    name: "a streamed argument far beyond the others",
    play: [call(1, "first", { shape: 2, args: [], streamArg: 200 })],
    gives: "RESET INVALID_ARGUMENT",
  },
  {
    name: "OPEN with MORE and END",
    play: [call(1, "echo", { body: new Uint8Array(300), more: true })],
    gives: "GOAWAY PROTOCOL_ERROR",
    why: "MORE and END",
  },
  {
    name: "DATA with MORE and END",
    play: [channel(1, "talk"), data(1, new Uint8Array(300), { more: true, end: true })],
    gives: "GOAWAY PROTOCOL_ERROR",
    why: "MORE and END",
  },
  {
    name: "an END in the middle of a message",
    play: [channel(1, "talk"), data(1, new Uint8Array(300), { more: true }), end(1)],
    gives: "GOAWAY PROTOCOL_ERROR",
    why: "in the middle of a message",
  },
  {
    name: "tiny parts without end",
    limits: { streamWindowMessages: 10_000 },
    play: [channel(1, "stay"), ...times(250, () => data(1, Uint8Array.of(1), { more: true }))],
    gives: "GOAWAY TOO_MANY_GLITCHES",
    why: "tiny part",
  },
  {
    name: "arguments over the limit, in parts",
    limits: { maxMessageBytes: 64 * KiB },
    play: [
      call(1, "echo", { body: new Uint8Array(40 * KiB), end: false, more: true }),
      data(1, new Uint8Array(40 * KiB), { more: true }),
      data(1, new Uint8Array(40 * KiB), { end: true }),
    ],
    gives: "RESET RESOURCE_EXHAUSTED",
    why: "65536",
  },
  {
    name: "an item over the limit, in parts",
    limits: { maxMessageBytes: 64 * KiB },
    play: [upload(1, "gather"), ...times(3, () => data(1, new Uint8Array(40 * KiB), { more: true }))],
    gives: "RESET RESOURCE_EXHAUSTED",
  },
  {
    name: "an item that is no value",
    play: [upload(1, "gather"), data(1, Uint8Array.of(0xc1))],
    gives: "RESET INVALID_ARGUMENT",
  },
  {
    name: "a message that is no value",
    play: [channel(1, "talk"), data(1, Uint8Array.of(0xc1))],
    gives: "RESET INVALID_ARGUMENT",
  },
  {
    name: "a call in a session that does not exist",
    play: [call(1, "echo", { metadata: new Metadata({ "rap-session": "x" }) })],
    gives: "RESET FAILED_PRECONDITION",
  },
  {
    name: "a caller that hangs up",
    play: async (peer) => {
      peer.send(call(1, "hang"), channel(3, "stay"), upload(5, "gather"));
      peer.socket.destroy();
      await until(() => peer.closed);
    },
    gives: "closed",
  },

  // Limits.
  {
    name: "more calls than are taken",
    limits: { maxInFlight: 4 },
    play: times(8, (i) => call(2 * i + 1, "hang")),
    gives: "RESET RESOURCE_EXHAUSTED",
    why: "refused",
  },
  {
    name: "more calls than are taken, without end",
    limits: { maxInFlight: 4, refusedBurst: 20, refusedPerSecond: 1 },
    play: times(100, (i) => call(2 * i + 1, "hang")),
    gives: "GOAWAY ENHANCE_YOUR_CALM",
  },
  {
    name: "calls that are answered and that the peer never ends",
    limits: { maxInFlight: 16 },
    play: times(100, (i) => call(2 * i + 1, "echo", { args: [i], end: false })),
    gives: "GOAWAY ENHANCE_YOUR_CALM",
    why: "does not end",
  },
  {
    name: "calls of nothing that the peer never ends",
    limits: { maxInFlight: 16 },
    play: times(100, (i) => call(2 * i + 1, "nothing", { end: false })),
    gives: "GOAWAY ENHANCE_YOUR_CALM",
    why: "does not end",
  },
  {
    name: "calls of stubborn functions, cancelled at once, without end",
    limits: { maxInFlight: 16, refusedBurst: 50, refusedPerSecond: 1 },
    play: times(200, (i) => [call(2 * i + 1, "stubborn"), reset(2 * i + 1)]).flat(),
    gives: "GOAWAY ENHANCE_YOUR_CALM",
  },
  {
    name: "answers that the peer does not read",
    limits: { writeStallTimeout: 200, maxMessageBytes: 1024 * KiB },
    play: async (peer) => {
      peer.socket.pause();
      for (let i = 0; i < 64; i++) peer.send(call(2 * i + 1, "size", { args: [1000 * KiB] }));
      // Long enough for a busy machine to make the answers and then to see that none is taken.
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      peer.socket.resume();
      await until(() => peer.closed);
    },
    gives: "closed",
  },

  // Credit.
  {
    name: "more bytes than the stream has credit for",
    limits: WINDOWS,
    play: [channel(1, "stay"), ...times(3, () => data(1, new Uint8Array(2 * KiB)))],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "stream 1 has no credit",
  },
  {
    name: "more messages than the stream has credit for",
    limits: WINDOWS,
    play: [channel(1, "stay"), ...times(5, (i) => data(1, i))],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "stream 1 has no credit",
  },
  {
    name: "more bytes than the connection has credit for",
    limits: WINDOWS,
    play: [1, 3].flatMap((id) => [channel(id, "stay"), ...times(2, () => data(id, new Uint8Array(2 * KiB - 1)))]),
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "the connection has no credit",
  },
  {
    name: "no more than there is credit for",
    limits: WINDOWS,
    play: [channel(1, "stay"), ...times(4, (i) => data(1, i))],
    gives: "nothing",
  },
  {
    name: "credit of more than 2^31-1 for the connection",
    play: [credit(0, 0x7fffffff, 0)],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "too much",
  },
  {
    name: "credit of more than 2^31-1 for a stream",
    play: [channel(1, "talk"), credit(1, 0x7fffffff, 0)],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "too much",
  },
  {
    name: "credit for more than 2^31-1 messages",
    play: [channel(1, "talk"), credit(1, 1, 0xffffffff)],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "too much",
  },
  {
    name: "credit of nothing, without end",
    play: times(250, () => credit(0, 0, 0)),
    gives: "GOAWAY TOO_MANY_GLITCHES",
    why: "grant of nothing",
  },
  {
    name: "no credit at all for a stream that it asks for",
    hello: { streamWindowBytes: 0, streamWindowMessages: 0, connectionWindowBytes: 0 },
    play: [call(1, "items", { shape: Shape.SERVER_STREAM, args: [10] }), call(3, "echo", { args: [1] })],
    gives: "nothing",
  },
  {
    name: "the largest of all windows",
    hello: { streamWindowBytes: 0x7fffffff, streamWindowMessages: 0x7fffffff, connectionWindowBytes: 0x7fffffff },
    play: [call(1, "items", { shape: Shape.SERVER_STREAM, args: [1_000] })],
    gives: "nothing",
  },

  // Metadata.
  { name: "64 entries of metadata", play: [call(1, "echo", { args: [1], metadata: entries(64) })], gives: "nothing" },
  {
    name: "65 entries",
    play: [callWith(block(...times(65, (i) => [`k${i}`, NONE] as const)))],
    gives: "RESET INVALID_ARGUMENT",
    why: "64 entries",
  },
  {
    name: "metadata of more than 8 KiB",
    play: [callWith(block(["a", new Uint8Array(4096)], ["b", new Uint8Array(4096)], ["c", NONE]))],
    gives: "RESET INVALID_ARGUMENT",
    why: "8192",
  },
  {
    name: "a value of more than 4 KiB",
    play: [callWith(block(["a-bin", new Uint8Array(4097)]))],
    gives: "RESET INVALID_ARGUMENT",
    why: "4096",
  },
  {
    name: "a key of 129 bytes",
    play: [callWith(block(["a".repeat(129), NONE]))],
    gives: "RESET INVALID_ARGUMENT",
    why: "128",
  },
  { name: "a key of no bytes", play: [callWith(block(["", NONE]))], gives: "RESET INVALID_ARGUMENT" },
  {
    name: "a key in upper case",
    play: [callWith(block(["A", NONE]))],
    gives: "RESET INVALID_ARGUMENT",
    why: "lower case",
  },
  {
    name: "a value that is not UTF-8",
    play: [callWith(block(["a", Uint8Array.of(0xff)]))],
    gives: "RESET INVALID_ARGUMENT",
    why: "UTF-8",
  },
  {
    name: "a block that is shorter than it says",
    play: [callWith(Buffer.of(3, 1, 97, 0, 0))],
    gives: "RESET INVALID_ARGUMENT",
    why: "cut short",
  },
];

/** The table of reliability-anchors.md §10: what it must not cost is memory or the process. */
const BOMBS: Readonly<Record<string, Uint8Array>> = {
  "array32 of 2^32-1 and no data": Buffer.from("ddffffffff", "hex"),
  "array32 of 2^25-1 and no data": Buffer.from("dd01ffffff", "hex"),
  "8 nested of those": Buffer.from("dd01ffffff".repeat(8), "hex"),
  "64 nested of those": Buffer.from("dd01ffffff".repeat(64), "hex"),
  "20 000 nested array16 of 65 535": Buffer.from("dcffff".repeat(20_000), "hex"),
  "map32 of 2^32-1 and no data": Buffer.from("dfffffffff", "hex"),
  "str32 of 2^32-1 and no data": Buffer.from("dbffffffff", "hex"),
  "bin32 of 2^32-1 and no data": Buffer.from("c6ffffffff", "hex"),
  "ext32 of 2^32-1 and no data": Buffer.from("c9ffffffff01", "hex"),
  "1 000 nested arrays": Buffer.concat([Buffer.alloc(1_000, 0x91), Buffer.of(0xc0)]),
  "1 000 000 nested arrays": Buffer.concat([Buffer.alloc(1_000_000, 0x91), Buffer.of(0xc0)]),
  "a million empty maps": Buffer.concat([Buffer.from("dd000f4240", "hex"), Buffer.alloc(1_000_000, 0x80)]),
  "a million empty binaries": Buffer.concat([
    Buffer.from("dd000f4240", "hex"),
    Buffer.from("c400".repeat(1_000_000), "hex"),
  ]),
  "a map of 65 537 entries": Buffer.concat([
    Buffer.from("91df00010001", "hex"),
    ...times(65_537, (i) => encoded(`k${i}`)).flatMap((key) => [key, Buffer.of(0xc0)]),
  ]),
  "a key __proto__": Buffer.from("9181a95f5f70726f746f5f5fc0", "hex"),
  "a key that is null": Buffer.from("9181c0c0", "hex"),
  "the byte c1": Buffer.from("91c1", "hex"),
  "UTF-8 that is too long for its character": Buffer.from("91a2c0af", "hex"),
  "half a surrogate pair": Buffer.from("91a3eda080", "hex"),
  "UTF-8 that is cut": Buffer.from("92a1c3a161", "hex"),
  "an extension for RegExp": Buffer.from("91c7047892a1619 0".replace(" ", ""), "hex"),
  "an unknown extension": Buffer.from("91d44200", "hex"),
  "a date of 12 bytes that is none": Buffer.from("91c70cffffffffff7fffffffffffffff", "hex"),
  "bytes after the value": Buffer.from("91c0c0", "hex"),
};

const ON_SERVER: States<RawPeer> = {
  "that never was": { set: async () => 99, gives: { ...never, OPEN: "nothing" } },
  "that is open": {
    set: async (peer) => {
      peer.send(channel(1, "talk"));
      return 1;
    },
    gives: { ...fine, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "that the peer has ended": {
    set: async (peer) => {
      peer.send(channel(1, "stay"), end(1));
      return 1;
    },
    gives: { ...fine, ...spoken, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "that the server has ended": {
    set: async (peer) => {
      peer.send(upload(1, "first"));
      await until(() => peer.of("data").length > 0);
      return 1;
    },
    gives: { ...fine, HEADERS: BAD },
  },
  "that is over": {
    set: async (peer) => {
      peer.send(call(1, "echo", { args: [1] }));
      await until(() => peer.of("data").length > 0);
      return 1;
    },
    gives: { ...fine, ...spoken, HEADERS: BAD },
  },
  "that the peer has aborted": {
    set: async (peer) => {
      peer.send(call(1, "stubborn"), reset(1));
      await until(() => release.length > 0);
      return 1;
    },
    gives: { ...fine, ...spoken, RESET: "glitch", HEADERS: BAD },
  },
};

describe("a server, when a peer greets it with", () => {
  test.each(GREETINGS)("$name: $gives", (it) => playToServer({ ...it, hello: false }));
});

describe("a server, when a peer sends", () => {
  test.each(CALLS)("$name: $gives", playToServer);
});

describe("a server, when a peer sends as arguments", () => {
  test.each(Object.keys(BOMBS))("%s: RESET INVALID_ARGUMENT", async (name) => {
    const before = held();
    const play = [call(1, "args", { body: BOMBS[name]! })];
    await playToServer({ name, play, gives: "RESET INVALID_ARGUMENT", why: "cannot be read" });
    expect(held() - before).toBeLessThan(64 * 1024 * KiB);
  });
});

describe.each(Object.entries(ON_SERVER))("a server, on a stream %s", (state, { set, gives }) => {
  test.each(Object.entries(gives))(`gets %s: %s`, async (frame, outcome) => {
    await playToServer({
      name: state,
      limits: ONE_GLITCH,
      play: async (peer) => {
        const id = await set(peer);
        peer.send(...times(outcome === "glitch" ? 2 : 1, () => FRAMES[frame as keyof typeof FRAMES](id)));
      },
      gives: outcome === "glitch" ? "GOAWAY TOO_MANY_GLITCHES" : outcome,
    });
  });
});

/** Bytes that the process holds. */
function held(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
