import { deepEqual, equal, ok } from "node:assert/strict";
import { CODES, type Code, type Frame } from "@rap/protocol";
import { answers, type ClientCase, clientCases } from "./client-scene";
import { codec, credit, data, encoded, end, goaway, KiB, reset, times } from "./frames";
import type { ShapeName } from "./instruction";
import { ended, messages, ofLength, pairs, SIZES_DOWN, SIZES_UP, SPECIAL, testMetadata } from "./server-lists";
import { tag } from "./tagged";
import { until } from "./wait";

/** A row whose call is made by hand. */
const row = (
  name: string,
  caller: string | undefined,
  play: ClientCase["play"],
  rest: Partial<ClientCase> = {},
): ClientCase => ({ name, gives: "nothing", play, ...(caller !== undefined && { caller }), ...rest });

/** Ends a call on the wire as its function does when it is cancelled. */
const confirm = (id: number): Frame => reset(id, "CANCELLED");

const LIMIT = 64 * KiB;
const small = { maxMessageBytes: LIMIT };

const failing = (code: Code, message: string): ClientCase[] => [
  answers(`an error ${code}: ${JSON.stringify(message)}`, (id) => [reset(id, code, [message])], code, "nothing", {
    message,
  }),
  answers(
    `an error ${code} after two items: ${JSON.stringify(message)}`,
    (id) => [data(id, 0), data(id, 1), reset(id, code, [message])],
    `[0,1]${code}`,
    "nothing",
    { shape: "stream", message },
  ),
];

const cancelling = (name: string, shape: ShapeName, items: number, close: boolean): ClientCase =>
  row(
    name,
    `${items > 0 ? "[0]" : ""}CANCELLED`,
    async ({ peer, begin }) => {
      const { id, call } = await begin(shape, { args: [null] });
      peer.send(...times(items, (i) => data(id, i)));
      await until(() => call.items.length === items);
      if (close) {
        await call.tell("end");
        await peer.waitFor("end");
      }
      await call.tell("cancel");
      await peer.waitFor("reset");
      peer.send(confirm(id));
      return call;
    },
    { gives: "RESET CANCELLED" },
  );

const LISTS: readonly ClientCase[] = [
  answers("empty_unary", (id) => [data(id, undefined, { end: true })], '{"$undefined":true}'),
  row("large_unary", JSON.stringify({ length: 314_159 }), async ({ subject, client, peer }) => {
    const args = [tag(new Uint8Array(271_828))];
    const call = subject.call({ op: "call", of: client, shape: "unary", function: "default/f", args });
    const whole = () => peer.of("open").some(({ end }) => end === true) || peer.of("data").some(({ end }) => end);
    await until(() => whole() || call.over);
    const [open] = peer.of("open");
    const body = Buffer.concat([open!.body, ...peer.on("data", open!.id).map((frame) => frame.body)]);
    deepEqual(codec.decode(body, 0, body.length, true), [new Uint8Array(271_828)]);
    const reply = encoded({ length: 314_159 });
    peer.send(data(open!.id, reply, { end: true }));
    return call;
  }),
  row("large_unary, answered in parts", undefined, async ({ peer, begin }) => {
    const { id, call } = await begin("unary");
    const body = encoded(new Uint8Array(314_159));
    for (let at = 0; at < body.length; at += LIMIT) {
      peer.send(data(id, body.subarray(at, at + LIMIT), at + LIMIT < body.length ? { more: true } : { end: true }));
    }
    equal((await call.outcome()).text, JSON.stringify(tag(new Uint8Array(314_159))));
    return call;
  }),
  row("client_streaming", "74922", async ({ peer, begin }) => {
    const { id, call } = await begin("client stream", { args: [null] });
    for (const size of SIZES_UP) await call.send(tag(new Uint8Array(size)));
    await call.tell("end");
    await ended(peer, id);
    const sum = messages(peer, id).reduce<number>((total, part) => total + (part as Uint8Array).length, 0);
    peer.send(data(id, sum, { end: true }));
    return call;
  }),
  answers(
    "server_streaming",
    (id) => [...SIZES_DOWN.map((size) => data(id, size)), end(id)],
    `${JSON.stringify(SIZES_DOWN)} and the end`,
    "nothing",
    { shape: "stream" },
  ),
  ...(["bidi stream", "channel"] as const).map((shape) =>
    row(`ping_pong over a ${shape}`, `${JSON.stringify(SIZES_DOWN)} and the end`, async ({ peer, begin }) => {
      const { id, call } = await begin(shape, { args: [null] });
      for (const [index, size] of SIZES_DOWN.entries()) {
        await call.send(size);
        await until(() => messages(peer, id).length === index + 1);
        peer.send(data(id, messages(peer, id)[index]));
        await until(() => call.items.length === index + 1);
      }
      await call.tell("end");
      await ended(peer, id);
      peer.send(end(id));
      return call;
    }),
  ),
  row("empty_stream", "[] and the end", async ({ peer, begin }) => {
    const { id, call } = await begin("bidi stream", { args: [null] });
    await call.tell("end");
    await ended(peer, id);
    equal(messages(peer, id).length, 0);
    peer.send(end(id));
    return call;
  }),
  ...(["unary", "stream"] as const).map((shape) =>
    row(
      `timeout_on_sleeping_server, ${shape}`,
      "DEADLINE_EXCEEDED",
      async ({ begin, peer }) => {
        const { call } = await begin(shape, { timeout: 200 });
        await peer.waitFor("reset");
        return call;
      },
      { gives: "RESET DEADLINE_EXCEEDED" },
    ),
  ),
  row("a deadline, which the server sees", "7", async ({ peer, begin }) => {
    const { id, open, call } = await begin("unary", { timeout: 20_000 });
    const { timeout = 0 } = open;
    ok(timeout > 0 && timeout <= 20_000, `${timeout} of 20 000 ms`);
    peer.send(data(id, 7, { end: true }));
    return call;
  }),
  cancelling("cancel_after_begin", "unary", 0, false),
  cancelling("cancel_after_first_response", "stream", 1, false),
  cancelling("cancel after the half-close", "client stream", 0, true),
  ...(["unary", "stream"] as const).map((shape) =>
    row(`custom_metadata, ${shape}`, shape === "unary" ? "1" : "[1] and the end", async ({ subject, client, peer }) => {
      const metadata = [...testMetadata()].map(([key, value]) => [key, tag(value)] as const);
      const call = subject.call({ op: "call", of: client, shape, function: "default/f", args: [], metadata });
      await peer.waitFor("open");
      const [open] = peer.of("open");
      deepEqual(pairs(open!.metadata), pairs(testMetadata()));
      const id = open!.id;
      peer.send({ kind: "headers", id, metadata: testMetadata() }, data(id, 1));
      peer.send({ kind: "end", id, metadata: testMetadata() });
      await call.outcome();
      deepEqual(
        [call.headers, call.trailers],
        [metadata, metadata].map((list) => list.map((pair) => [...pair])),
      );
      return call;
    }),
  ),
  ...(Object.keys(CODES) as Code[])
    .filter((code) => code !== "CANCELLED")
    .flatMap((code) => failing(code, "test status message")),
  ...failing("CANCELLED", "test status message"),
  ...failing("UNKNOWN", SPECIAL),
  row("unimplemented_method, and then a call", "7", async ({ peer, begin }) => {
    const first = await begin("unary");
    peer.send(reset(first.id, "UNIMPLEMENTED", ["no such thing"]));
    equal((await first.call.outcome()).text, "UNIMPLEMENTED");
    const second = await begin("unary");
    peer.send(data(second.id, 7, { end: true }));
    return second.call;
  }),
  row("calls one after the other: odd ids that increase", "3", async ({ peer, begin }) => {
    const ids: number[] = [];
    let last = await begin("unary");
    for (const value of [1, 2, 3]) {
      if (value > 1) last = await begin("unary");
      ids.push(last.id);
      peer.send(data(last.id, value, { end: true }));
      await last.call.outcome();
    }
    deepEqual(
      ids.map((id) => id % 2),
      [1, 1, 1],
    );
    deepEqual(
      ids,
      [...ids].sort((a, b) => a - b),
    );
    return last.call;
  }),
  row(
    "max_streams: room for one call, and five that wait for it",
    "4",
    async ({ subject, client, peer }) => {
      const calls = times(5, (i) =>
        subject.call({ op: "call", of: client, shape: "unary", function: "default/f", args: [i] }),
      );
      for (let index = 0; index < 5; index++) {
        await until(() => peer.of("open").length > index || peer.closed);
        equal(peer.of("open").length, index + 1, "calls at once");
        const { id, body } = peer.of("open")[index]!;
        const [value] = codec.decode(body, 0, body.length, true) as number[];
        peer.send(data(id, value, { end: true }));
      }
      for (const [index, call] of calls.entries()) equal((await call.outcome()).text, `${index}`);
      return calls.at(-1);
    },
    { hello: { maxInFlight: 1 } },
  ),
  row(
    "goaway: what runs goes on to its end, and the connection with it",
    "7",
    async ({ peer, begin }) => {
      const { id, call } = await begin("unary");
      peer.send(goaway(0, id, "restarting"));
      peer.send(data(id, 7, { end: true }));
      return call;
    },
    { gives: "closed" },
  ),
  row("rst_after_header", "ABORTED", async ({ peer, begin }) => {
    const { id, call } = await begin("stream");
    peer.send({ kind: "headers", id, metadata: testMetadata() }, reset(id, "ABORTED"));
    return call;
  }),
  row("rst_during_data", "ABORTED", async ({ peer, begin }) => {
    const { id, call } = await begin("stream");
    peer.send(data(id, new Uint8Array(300), { more: true }), reset(id, "ABORTED"));
    return call;
  }),
  row("rst_after_data", "[1]ABORTED", async ({ peer, begin }) => {
    const { id, call } = await begin("stream");
    peer.send(data(id, 1), reset(id, "ABORTED"));
    return call;
  }),
  row(
    "a result of the largest size",
    undefined,
    async ({ peer, begin }) => {
      const { id, call } = await begin("unary");
      peer.send(data(id, ofLength(LIMIT), { end: true }));
      ok((await call.outcome()).text.startsWith('{"$bytes"'));
      return call;
    },
    { limits: small },
  ),
  answers(
    "a result of one byte more",
    (id) => [data(id, ofLength(LIMIT + 1), { end: true })],
    "RESOURCE_EXHAUSTED",
    "RESET RESOURCE_EXHAUSTED",
    { limits: small },
  ),
  answers(
    "an item of one byte more after another item",
    (id) => [data(id, 1), data(id, ofLength(LIMIT + 1))],
    "[1]RESOURCE_EXHAUSTED",
    "RESET RESOURCE_EXHAUSTED",
    { limits: small, shape: "stream" },
  ),
  row(
    "room for three messages: no more are sent before there is credit",
    "[] and the end",
    async ({ peer, begin }) => {
      const { id, call } = await begin("channel");
      const sent = times(5, (i) => call.send(i));
      await until(() => peer.on("data", id).length >= 3);
      const later = await begin("unary");
      peer.send(data(later.id, 1, { end: true }));
      await later.call.outcome();
      deepEqual(messages(peer, id), [0, 1, 2]);
      peer.send(credit(id, 1_000, 2));
      await Promise.all(sent);
      await call.tell("end");
      await ended(peer, id);
      deepEqual(messages(peer, id), [0, 1, 2, 3, 4]);
      peer.send(end(id));
      return call;
    },
    { hello: { streamWindowMessages: 3 } },
  ),
];

/** What clients of gRPC and ConnectRPC are asked. */
export const clientLists = clientCases("a client calls as in the lists of gRPC and Connect", LISTS);
