import { Flag, type Frame, Kind } from "@rap/protocol";
import { answers, type ClientCase, clientCases } from "./client-scene";
import {
  block,
  call,
  credit,
  data,
  encoded,
  end,
  goaway,
  HELLO,
  headers,
  KiB,
  NONE,
  PING,
  raw,
  reset,
  times,
} from "./frames";
import { WINDOWS } from "./server-calls";
import { BAD } from "./states";
import { until } from "./wait";

/** A RESET whose error is whatever these bytes are. */
export const resetOf = (id: number, code: number, flags: number, body: Uint8Array): Uint8Array =>
  raw(Kind.RESET, 0, id, Buffer.concat([Buffer.of(code, flags), body]));

const streams = (
  name: string,
  answer: (id: number) => readonly (Frame | Uint8Array)[],
  caller: string,
  gives: ClientCase["gives"] = "nothing",
  rest: Partial<ClientCase> = {},
): ClientCase => answers(name, answer, caller, gives, { ...rest, shape: "stream" });

const half = (id: number) => data(id, new Uint8Array(300), { more: true });

const ANSWERS: readonly ClientCase[] = [
  answers("a result", (id) => [data(id, 7, { end: true })], "7"),
  answers("a result and, apart, the end", (id) => [data(id, 7), end(id)], "7"),
  answers("an end without a result", (id) => [end(id)], "INTERNAL", "nothing", { text: /without a result/ }),
  answers("two results", (id) => [data(id, 1), data(id, 2, { end: true })], "INTERNAL", "RESET CANCELLED", {
    text: /another/,
  }),
  answers("a result twice", (id) => [data(id, 1, { end: true }), data(id, 2, { end: true })], "1"),
  answers("a result, and then an error", (id) => [data(id, 1, { end: true }), reset(id)], "1"),
  answers("an error twice", (id) => [reset(id, "ABORTED", ["no"]), reset(id, "INTERNAL")], "ABORTED", "nothing", {
    message: "no",
  }),
  answers(
    "answers to a call that was answered, without end",
    (id) => times(250, () => data(id, 1, { end: true })),
    "1",
    "GOAWAY TOO_MANY_GLITCHES",
    { why: "which is over" },
  ),
  answers("an answer to a call that nobody made", () => [data(99, 1, { end: true })], "UNAVAILABLE", BAD, {
    why: "stream 99",
  }),
  answers("an answer to a call of its own kind", () => [data(2, 1, { end: true })], "UNAVAILABLE", BAD),
  answers(
    "a result that is no value",
    (id) => [data(id, Uint8Array.of(0xc1), { end: true })],
    "INTERNAL",
    "RESET CANCELLED",
    { text: /cannot be read/ },
  ),
  answers("a result of no bytes", (id) => [data(id, NONE, { end: true })], "INTERNAL", "RESET CANCELLED", {
    text: /cannot be read/,
  }),
  answers(
    "a result over the limit",
    (id) => times(4, () => data(id, new Uint8Array(40 * KiB), { more: true })),
    "RESOURCE_EXHAUSTED",
    "RESET RESOURCE_EXHAUSTED",
    { limits: { maxMessageBytes: 64 * KiB }, text: /65536/ },
  ),
  answers("half a result, and then the end", (id) => [half(id), end(id)], "UNAVAILABLE", BAD, {
    why: "in the middle of a message",
  }),
  answers("MORE and END", (id) => [data(id, new Uint8Array(300), { more: true, end: true })], "UNAVAILABLE", BAD, {
    why: "MORE and END",
  }),
  answers("an error of no known code", (id) => [resetOf(id, 99, 0, encoded(["odd"]))], "UNKNOWN", "nothing", {
    message: "odd",
  }),
  answers("an error without words", (id) => [resetOf(id, 5, 0, NONE)], "NOT_FOUND"),
  answers("an error whose words are numbers", (id) => [resetOf(id, 5, 0, encoded([1, 2, "x", null, 3]))], "NOT_FOUND"),
  answers("an error that is no list", (id) => [resetOf(id, 5, 0, encoded({ a: 1 }))], "UNAVAILABLE", BAD),
  answers("an error that is no value", (id) => [resetOf(id, 5, 0, Buffer.from("c1"))], "UNAVAILABLE", BAD),
  answers("no error, in place of a result", (id) => [resetOf(id, 0, 0, NONE)], "INTERNAL", "nothing", {
    text: /without a result/,
  }),
  answers("HEADERS twice", (id) => [headers(id), headers(id)], "UNAVAILABLE", BAD, { why: "HEADERS" }),
  answers(
    "metadata over the limits",
    (id) => [raw(Kind.HEADERS, 0, id, block(...times(65, (i) => [`k${i}`, NONE] as const)))],
    "UNAVAILABLE",
    BAD,
    { why: "64 entries" },
  ),
  {
    name: "a refusal, again and again",
    gives: "nothing",
    caller: "UNAVAILABLE",
    message: "elsewhere",
    async play({ peer, begin }) {
      const { id, call } = await begin("unary");
      peer.write(resetOf(id, 14, 1, encoded(["elsewhere"])));
      await peer.waitFor("open", 2);
      peer.write(resetOf(id + 2, 14, 1, encoded(["elsewhere"])));
      return call;
    },
  },
  answers("GOAWAY with a reason", () => [goaway(8, 1, "you are too loud")], "UNAVAILABLE", "closed", {
    text: /ENHANCE_YOUR_CALM.*too loud/,
  }),
  answers("GOAWAY of an unknown code", () => [goaway(200, 1, "who knows")], "UNAVAILABLE", "closed", {
    text: /who knows/,
  }),
  answers("GOAWAY that is not UTF-8", () => [raw(Kind.GOAWAY, 0, 0, "00000000 00 ff")], "UNAVAILABLE", BAD),
  {
    name: "the end in the middle of a call",
    gives: "closed",
    caller: "UNAVAILABLE",
    text: /the peer closed it/,
    async play({ peer, begin }) {
      const { call } = await begin("unary");
      peer.socket.end();
      return call;
    },
  },
  {
    name: "the end in the middle of a frame",
    gives: "closed",
    caller: "UNAVAILABLE",
    async play({ peer, begin }) {
      const { id, call } = await begin("unary");
      peer.write(raw(Kind.DATA, Flag.END, id, new Uint8Array(10), 100));
      peer.socket.end();
      return call;
    },
  },
  answers(
    "half a frame, and then silence",
    (id) => [raw(Kind.DATA, 0, id, new Uint8Array(10), 100)],
    "UNAVAILABLE",
    "GOAWAY SLOW_FRAME",
    { limits: { frameTimeout: 100 }, why: "took too long" },
  ),
  {
    name: "nothing any more",
    gives: "closed",
    caller: "UNAVAILABLE",
    text: /KEEPALIVE_TIMEOUT/,
    hello: { keepaliveInterval: 50 },
    limits: { keepaliveInterval: 50, keepaliveTimeout: 50 },
    async play({ peer, begin }) {
      const { call } = await begin("unary");
      peer.socket.pause();
      await call.outcome();
      peer.socket.resume();
      return call;
    },
  },
  ...[4 * 1024 * KiB + 1, 0x80000000, 0xffffffff].map((length) =>
    answers(
      `a frame of ${length} bytes`,
      (id) => [raw(Kind.DATA, 0, id, NONE, length)],
      "UNAVAILABLE",
      "GOAWAY FRAME_TOO_LARGE",
    ),
  ),
  answers("PINGs without end", () => times(20, () => PING), "UNAVAILABLE", "GOAWAY TOO_MANY_PINGS"),
  answers("credit of more than 2^31-1", () => [credit(0, 0x7fffffff, 0)], "UNAVAILABLE", "GOAWAY FLOW_CONTROL_ERROR"),
  answers("a second HELLO", () => [HELLO], "UNAVAILABLE", BAD, { why: "second HELLO" }),
  answers(
    "calls of its own, without end",
    () => times(600, (i) => call(2 * i + 2, "f", { end: false })),
    "UNAVAILABLE",
    "GOAWAY ENHANCE_YOUR_CALM",
  ),
  streams("items and the end", (id) => [data(id, 1), data(id, 2), end(id)], "[1,2] and the end"),
  streams("an error after items", (id) => [data(id, 1), reset(id, "ABORTED", ["no"])], "[1]ABORTED", "nothing", {
    message: "no",
  }),
  streams(
    "an item that is no value",
    (id) => [data(id, 1), data(id, Uint8Array.of(0xc1))],
    "[1]INTERNAL",
    "RESET CANCELLED",
    { text: /cannot be read/ },
  ),
  streams("no error, in place of the end", (id) => [data(id, 1), resetOf(id, 0, 0, NONE)], "[1]INTERNAL", "nothing", {
    text: /without a result/,
  }),
  {
    name: "more items than there is credit for",
    limits: WINDOWS,
    gives: "GOAWAY FLOW_CONTROL_ERROR",
    why: "has no credit",
    async play({ peer, begin }) {
      const { id, call } = await begin("stream", { read: false });
      peer.send(...times(6, (i) => data(id, i)));
      await until(() => peer.closed);
      await call.tell("cancel");
      return undefined;
    },
  },
  {
    name: "an answer to a call that was cancelled",
    gives: "RESET CANCELLED",
    caller: "CANCELLED",
    async play({ peer, begin }) {
      const { id, call } = await begin("unary");
      await call.tell("cancel");
      await peer.waitFor("reset");
      peer.send(headers(id), data(id, 1, { end: true }));
      return call;
    },
  },
];

/** What a client makes of a server's answers. */
export const clientAnswers = clientCases("a client gets", ANSWERS);
