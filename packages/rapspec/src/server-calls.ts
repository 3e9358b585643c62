import { Flag, Kind, Metadata, Shape } from "@rap/protocol";
import {
  block,
  call,
  channel,
  credit,
  data,
  encoded,
  end,
  goaway,
  KiB,
  NONE,
  PING,
  raw,
  reset,
  times,
  upload,
} from "./frames";
import { type ServerCase, serverCases } from "./server-scene";
import { ONE_GLITCH } from "./states";
import { until, wait } from "./wait";

export const WINDOWS = { streamWindowBytes: 4 * KiB, streamWindowMessages: 4, connectionWindowBytes: 6 * KiB };

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
    play: async ({ peer }) => {
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
    play: [channel(1, "chat"), ...times(250, () => data(1, Uint8Array.of(1), { more: true }))],
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
    play: async ({ peer }) => {
      peer.send(call(1, "hang"), channel(3, "chat"), upload(5, "gather"));
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
    play: async ({ peer }) => {
      peer.socket.pause();
      for (let i = 0; i < 64; i++) peer.send(call(2 * i + 1, "size", { args: [1000 * KiB] }));
      // Long enough for a busy machine to make the answers and then to see that none is taken.
      await wait(3_000);
      peer.socket.resume();
      await until(() => peer.closed);
    },
    gives: "closed",
  },

  // Credit.
  {
    name: "more bytes than the stream has credit for",
    limits: WINDOWS,
    play: [channel(1, "chat"), ...times(3, () => data(1, new Uint8Array(2 * KiB)))],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "stream 1 has no credit",
  },
  {
    name: "more messages than the stream has credit for",
    limits: WINDOWS,
    play: [channel(1, "chat"), ...times(5, (i) => data(1, i))],
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "stream 1 has no credit",
  },
  {
    name: "more bytes than the connection has credit for",
    limits: WINDOWS,
    play: [1, 3].flatMap((id) => [channel(id, "chat"), ...times(2, () => data(id, new Uint8Array(2 * KiB - 1)))]),
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "the connection has no credit",
  },
  {
    name: "no more than there is credit for",
    limits: WINDOWS,
    play: [channel(1, "chat"), ...times(4, (i) => data(1, i))],
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

/** What a server makes of frames and calls. */
export const serverCalls = serverCases("a server gets", CALLS);
