import { deepEqual, doesNotMatch, equal, ok } from "node:assert/strict";
import { CODES, type Code, type Frame, Metadata, Shape } from "@rap/protocol";
import { call, channel, codec, data, encoded, end, KiB, NONE, reset, times, upload } from "./frames";
import { messageOfReset } from "./outcome";
import type { RawPeer } from "./raw-peer";
import { type ServerCase, serverCases } from "./server-scene";
import { until } from "./wait";

// gRPC's interop cases and ConnectRPC's conformance cases, as far as rap has what they are about.

export const SIZES_UP = [27_182, 8, 1_828, 45_904];
export const SIZES_DOWN = [31_415, 9, 2_653, 58_979];
export const SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
const LARGE = { connectionWindowBytes: 0x7fffffff, streamWindowBytes: 0x7fffffff };

/** The messages that came whole on a stream. */
export function messages(peer: RawPeer, id: number): unknown[] {
  const found: unknown[] = [];
  let parts: Uint8Array[] = [];
  for (const { body, more } of peer.on("data", id)) {
    parts.push(body);
    if (more) continue;
    const bytes = Buffer.concat(parts);
    found.push(codec.decode(bytes, 0, bytes.length, true));
    parts = [];
  }
  return found;
}

/** Waits until the other side has ended its direction of a stream. */
export async function ended(peer: RawPeer, id: number): Promise<void> {
  const over = () =>
    peer.on("end", id).length + peer.on("reset", id).length > 0 || peer.on("data", id).at(-1)?.end === true;
  await until(() => over() || peer.closed);
  ok(over(), "the connection ended before the call");
}

/** A call of one request whose messages are these, by their JSON or their lengths. */
const gives = (name: string, open: Frame, expected: readonly unknown[]): ServerCase => ({
  name,
  hello: LARGE,
  gives: "nothing",
  async play({ peer }) {
    peer.send(open);
    await ended(peer, 1);
    deepEqual(messages(peer, 1), expected);
  },
});

const stream = (name: string, ...args: unknown[]): Frame => call(1, name, { shape: Shape.SERVER_STREAM, args });
const large = (count: number): Uint8Array => new Uint8Array(count);

const failing = (code: Code, message: string): ServerCase[] => [
  {
    name: `a call that fails with ${code}: ${JSON.stringify(message.slice(0, 20))}`,
    gives: `RESET ${code}`,
    async play({ peer }) {
      peer.send(call(1, "fail", { args: [code, message] }));
      await ended(peer, 1);
      deepEqual(peer.of("reset").map(messageOfReset), [message]);
    },
  },
  {
    name: `a stream that after two items fails with ${code}: ${JSON.stringify(message.slice(0, 20))}`,
    gives: `RESET ${code}`,
    async play({ peer }) {
      peer.send(stream("failing", 2, code, message));
      await ended(peer, 1);
      deepEqual(messages(peer, 1), [0, 1]);
      deepEqual(peer.of("reset").map(messageOfReset), [message]);
    },
  },
];

const METADATA: readonly (readonly [string, string | Uint8Array])[] = [
  ["x-initial", "test_initial_metadata_value"],
  ["x-many", "a"],
  ["x-many", "b"],
  ["x-trailing-bin", Uint8Array.of(0xab, 0xab, 0, 0xff)],
];
export function testMetadata(): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of METADATA) metadata.append(key, value);
  return metadata;
}
export const pairs = (metadata: Metadata | undefined): unknown[] =>
  [...(metadata ?? [])].map(([key, value]) => [key, typeof value === "string" ? value : [...value]]);

const reflecting = (name: string, shape: Shape): ServerCase => ({
  name: `custom_metadata, ${name}`,
  gives: "nothing",
  async play({ peer }) {
    peer.send(call(1, name, { shape, metadata: testMetadata() }));
    await ended(peer, 1);
    deepEqual(pairs(peer.of("headers")[0]?.metadata), pairs(testMetadata()));
    const last = [...peer.on("data", 1), ...peer.on("end", 1)].filter((frame) => frame.metadata !== undefined);
    deepEqual(pairs(last.at(-1)?.metadata), pairs(testMetadata()));
  },
});

/** Cancelling at a moment of a call's life. */
const cancelling = (name: string, frames: readonly Frame[], items: number): ServerCase => ({
  name,
  gives: "RESET CANCELLED",
  async play({ peer, subject, server }) {
    peer.send(...frames);
    await until(async () => (await subject.stats(server)).inFlight !== 0);
    await until(() => peer.on("data", 1).length >= items);
    peer.send(reset(1));
    await ended(peer, 1);
  },
});

const LIMIT = 64 * KiB;
/** Bytes whose encoding is so long. */
export const ofLength = (length: number): Uint8Array => encoded(new Uint8Array(length - (length > 0xffff + 3 ? 5 : 3)));
/** The same inside a list of one. */
const argumentOf = (length: number): Uint8Array => Buffer.concat([Uint8Array.of(0x91), ofLength(length - 1)]);

const LISTS: readonly ServerCase[] = [
  gives("empty_unary", call(1, "echo", { args: [undefined] }), [undefined]),
  gives("empty_unary of no bytes", call(1, "echo", { args: [NONE] }), [NONE]),
  gives("large_unary", call(1, "exchange", { args: [large(271_828), 314_159] }), [
    { got: 271_828, back: large(314_159) },
  ]),
  {
    name: "large_unary in parts",
    hello: LARGE,
    gives: "nothing",
    async play({ peer }) {
      const body = encoded([large(271_828), 314_159]);
      const part = (from: number) => body.subarray(from, from + LIMIT);
      peer.send(call(1, "exchange", { body: part(0), more: true, end: false }));
      for (let at = LIMIT; at < body.length; at += LIMIT) {
        const last = at + LIMIT >= body.length;
        peer.send(data(1, part(at), last ? { end: true } : { more: true }));
      }
      await ended(peer, 1);
      deepEqual(messages(peer, 1), [{ got: 271_828, back: large(314_159) }]);
    },
  },
  {
    name: "client_streaming",
    gives: "nothing",
    async play({ peer }) {
      peer.send(upload(1, "sum"), ...SIZES_UP.map((size) => data(1, encoded(large(size)))), end(1));
      await ended(peer, 1);
      deepEqual(messages(peer, 1), [74_922]);
    },
  },
  gives("server_streaming", stream("sizes", SIZES_DOWN), SIZES_DOWN.map(large)),
  gives("server_streaming of nothing", stream("items", 0), []),
  ...(["a bidi stream", "a channel"] as const).map(
    (kind): ServerCase => ({
      name: `ping_pong over ${kind}`,
      hello: LARGE,
      gives: "nothing",
      async play({ peer }) {
        const bidi = kind === "a bidi stream";
        peer.send(bidi ? call(1, "answers", { shape: Shape.BIDI_STREAM, args: [null] }) : channel(1, "talk"));
        for (const [index, size] of SIZES_DOWN.entries()) {
          peer.send(data(1, encoded(bidi ? size : large(size))));
          await until(() => messages(peer, 1).length === index + 1 || peer.closed);
        }
        peer.send(end(1));
        await ended(peer, 1);
        deepEqual(messages(peer, 1), SIZES_DOWN.map(large));
      },
    }),
  ),
  {
    name: "empty_stream",
    gives: "nothing",
    async play({ peer }) {
      peer.send(call(1, "answers", { shape: Shape.BIDI_STREAM, args: [null] }), end(1));
      await ended(peer, 1);
      deepEqual([messages(peer, 1).length, peer.of("reset").length], [0, 0]);
    },
  },
  { name: "timeout_on_sleeping_server", play: [call(1, "hang", { timeout: 1 })], gives: "RESET DEADLINE_EXCEEDED" },
  {
    name: "timeout_on_sleeping_server, of a stream",
    play: [call(1, "hangAfter", { shape: Shape.SERVER_STREAM, args: [0], timeout: 1 })],
    gives: "RESET DEADLINE_EXCEEDED",
  },
  cancelling("cancel_after_begin", [call(1, "hang", { end: false })], 0),
  cancelling("cancel_after_first_response", [stream("hangAfter", 1)], 1),
  cancelling("cancel after the half-close", [call(1, "hang")], 0),
  reflecting("metadata", Shape.UNARY),
  reflecting("metadataStream", Shape.SERVER_STREAM),
  ...(Object.keys(CODES) as Code[]).flatMap((code) => failing(code, "test status message")),
  ...failing("UNKNOWN", SPECIAL),
  {
    name: "an error that is not meant for the caller",
    gives: "RESET UNKNOWN",
    async play({ peer }) {
      peer.send(call(1, "crash"));
      await ended(peer, 1);
      for (const frame of peer.of("reset")) doesNotMatch(messageOfReset(frame), /secret|src|dist|\.[jt]s/);
    },
  },
  {
    name: "unimplemented_method and unimplemented_service, and then a call",
    gives: "RESET NOT_FOUND",
    async play({ peer }) {
      peer.send(call(1, "default/nothing"), call(3, "nobody/echo"), call(5, "echo", { args: ["still here"] }));
      await ended(peer, 5);
      deepEqual([messages(peer, 5), peer.of("reset").length], [["still here"], 2]);
    },
  },
  {
    name: "a deadline, which the function sees",
    gives: "nothing",
    async play({ peer }) {
      peer.send(call(1, "remaining", { timeout: 20_000 }), call(3, "remaining"));
      await Promise.all([ended(peer, 1), ended(peer, 3)]);
      const [left] = messages(peer, 1) as [number];
      ok(left > 0 && left <= 20_000, `${left} of 20 000 ms`);
      equal(messages(peer, 3).length, 1);
    },
  },
  {
    name: "a call that is done before its deadline",
    gives: "nothing",
    async play({ peer }) {
      peer.send(call(1, "echo", { args: ["in time"], timeout: 20_000 }));
      await ended(peer, 1);
      deepEqual(messages(peer, 1), ["in time"]);
    },
  },
  {
    name: "200 calls at once, each of which gets its own answer",
    gives: "nothing",
    async play({ peer }) {
      const ids = times(200, (i) => 2 * i + 1);
      peer.send(...ids.map((id) => call(id, "echo", { args: [id] })));
      await Promise.all(ids.map((id) => ended(peer, id)));
      for (const id of ids) deepEqual(messages(peer, id), [id]);
    },
  },
  {
    name: "arguments of the largest size",
    limits: { maxMessageBytes: LIMIT },
    play: [call(1, "args", { body: argumentOf(LIMIT) })],
    gives: "nothing",
  },
  {
    name: "arguments of one byte more",
    limits: { maxMessageBytes: LIMIT },
    play: [call(1, "args", { body: argumentOf(LIMIT + 1) })],
    gives: "RESET RESOURCE_EXHAUSTED",
  },
  {
    name: "two items of the largest size",
    limits: { maxMessageBytes: LIMIT },
    play: [upload(1, "gather"), data(1, ofLength(LIMIT)), data(1, ofLength(LIMIT)), end(1)],
    gives: "nothing",
  },
  ...[0, 1].map(
    (before): ServerCase => ({
      name: `an item of one byte more after ${before}`,
      limits: { maxMessageBytes: LIMIT },
      play: [upload(1, "gather"), ...times(before, (i) => data(1, i)), data(1, ofLength(LIMIT + 1))],
      gives: "RESET RESOURCE_EXHAUSTED",
    }),
  ),
  {
    name: "no more messages than it was given credit for",
    hello: { streamWindowMessages: 3 },
    gives: "nothing",
    async play({ peer }) {
      peer.send(stream("items", 5), call(3, "echo", { args: [1] }));
      await ended(peer, 3);
      await until(() => peer.on("data", 1).length >= 3);
      deepEqual(messages(peer, 1), [0, 1, 2]);
      peer.send({ kind: "credit", id: 1, bytes: 1_000, messages: 2 });
      await ended(peer, 1);
      deepEqual(messages(peer, 1), [0, 1, 2, 3, 4]);
    },
  },
];

/** What servers of gRPC and ConnectRPC are asked. */
export const serverLists = serverCases("a server is called as in the lists of gRPC and Connect", LISTS);
