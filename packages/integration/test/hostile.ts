import { expect } from "@jest/globals";
import {
  CODES,
  type Code,
  codeFromNumber,
  decodeError,
  encodeFrame,
  type Frame,
  goawayName,
  type Hello,
  type Limits,
  Metadata,
  msgpack,
  PREAMBLE,
  Shape,
  writeHead,
} from "@rap/protocol";
import { helloOf, type RawPeer } from "../../transport/test/link";
import { until } from "./links";

// A peer that does whatever it likes, over TCP, against a server and against a client. Each case has one outcome:
//   silence           closed without a word (before the handshake)
//   closed            closed without an error
//   GOAWAY <code>     closed with a reason that a person can read
//   RESET <code>      that call fails, the connection goes on
//   nothing           it is taken, or ignored, and the connection goes on
//   glitch            ignored, and counted: the second one is too much for a peer with a budget of one
// and whatever it is, the process lives, a client on another connection is answered, and nothing is left behind.

export type Outcome = "silence" | "closed" | `GOAWAY ${string}` | `RESET ${Code}` | "nothing" | "glitch";

const codec = msgpack();
export const encoded = (value: unknown): Uint8Array => codec.encode(value, "test").slice();
export const NONE = new Uint8Array(0);

/** Any frame at all. */
export function raw(
  kind: number,
  flags: number,
  id: number,
  payload: Uint8Array | string = NONE,
  length?: number,
): Uint8Array {
  const body = typeof payload === "string" ? Buffer.from(payload.replaceAll(" ", ""), "hex") : payload;
  const bytes = new Uint8Array(10 + body.length);
  writeHead(bytes, 0, length ?? body.length, kind, flags, id);
  bytes.set(body, 10);
  return bytes;
}

export interface OpenOptions {
  shape?: Shape;
  /** The arguments; or their bytes as they are. */
  args?: unknown;
  body?: Uint8Array;
  end?: boolean;
  more?: boolean;
  metadata?: Metadata;
  streamArg?: number;
  timeout?: number;
}

/** OPEN of a function in the default group: by default a plain call without arguments. */
export function call(id: number, name: string, options: OpenOptions = {}): Frame {
  const { shape = Shape.UNARY, args = [], ...rest } = options;
  const channel = shape === Shape.CHANNEL;
  const streams = shape === Shape.CLIENT_STREAM || shape === Shape.BIDI_STREAM;
  return {
    kind: "open",
    id,
    shape,
    target: name.includes("/") ? name : `default/${name}`,
    body: channel ? NONE : encoded(args),
    ...(streams ? { streamArg: 0 } : {}),
    ...(channel || streams ? {} : { end: true }),
    ...rest,
  };
}

export const channel = (id: number, name: string): Frame => call(id, name, { shape: Shape.CHANNEL });
export const upload = (id: number, name: string, args: unknown = [null]): Frame =>
  call(id, name, { shape: Shape.CLIENT_STREAM, args });
export const data = (id: number, value: unknown, rest: { end?: boolean; more?: boolean } = {}): Frame => ({
  kind: "data",
  id,
  body: value instanceof Uint8Array ? value : encoded(value),
  ...rest,
});
export const end = (id: number): Frame => ({ kind: "end", id });
export const reset = (id: number, code: Code = "CANCELLED", body: unknown[] = []): Frame => ({
  kind: "reset",
  id,
  code: CODES[code],
  flags: 0,
  body: encoded(body),
});
export const credit = (id: number, bytes: number, messages: number): Frame => ({ kind: "credit", id, bytes, messages });
export const headers = (id: number): Frame => ({ kind: "headers", id, metadata: new Metadata({ a: "1" }) });
export const goaway = (code: number, lastId = 0x7fffffff, reason = "because"): Frame => ({
  kind: "goaway",
  lastId,
  code,
  reason,
});
export const PING: Frame = { kind: "ping", data: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) };
export const KiB = 1024;
export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** What a peer says first. */
export function greet(peer: RawPeer, hello: Partial<Hello> = {}): void {
  peer.write(PREAMBLE);
  peer.send({ kind: "hello", hello: helloOf(hello) });
}

/** Sends frames with plain calls between, as the peer's words and as bytes. */
export function sendAll(peer: RawPeer, frames: readonly (Frame | Uint8Array)[]): void {
  peer.write(Buffer.concat(frames.map((frame) => (frame instanceof Uint8Array ? frame : encodeFrame(frame)))));
}

/** Waits for the outcome and checks that it is this one. */
export async function expectOutcome(peer: RawPeer, outcome: Outcome, why = ""): Promise<void> {
  const [what, code] = outcome.split(" ") as [string, Code];
  const goaways = () =>
    peer.of("goaway").flatMap(({ code, reason }) => (code === 0 ? [] : [{ code: goawayName(code), reason }]));
  if (what === "silence" || what === "closed" || what === "GOAWAY") {
    await until(() => peer.closed);
    expect(goaways()).toEqual(what !== "GOAWAY" ? [] : [{ code, reason: expect.stringContaining(why) }]);
    if (what === "GOAWAY") expect(goaways()[0]!.reason).toMatch(/[a-z]{2,} /);
    return;
  }
  const answers = peer.of("pong").length;
  peer.send(PING);
  await until(() => peer.closed || peer.of("pong").length > answers);
  expect(goaways()).toEqual([]);
  expect(peer.closed).toBe(false);
  if (what === "RESET") await until(() => peer.of("reset").length > 0);
  const errors = peer.of("reset").map(({ code, flags, body }) => {
    const error = decodeError(Uint8Array.of(code, flags, ...body), 0, 2 + body.length, codec);
    return { code: codeFromNumber(code), message: error.message };
  });
  const expected = { code, message: expect.stringContaining(why) };
  expect(errors).toEqual(errors.map(() => expected));
  expect(errors.length > 0).toBe(what === "RESET");
}

/** A peer of that budget is closed by the second glitch, not by the first. */
export const ONE_GLITCH: Partial<Limits> = { glitchBurst: 1, glitchesPerSecond: 0.001 };

export const SHORT = { handshakeTimeout: 150 };

export const HELLO = encodeFrame({ kind: "hello", hello: helloOf() });

export const WINDOWS = { streamWindowBytes: 4 * KiB, streamWindowMessages: 4, connectionWindowBytes: 6 * KiB };

/** A metadata block whose entries no `Metadata` would take. */
export function block(...pairs: (readonly [key: string, value: Uint8Array])[]): Uint8Array {
  const parts = pairs.map(([key, value]) =>
    Buffer.concat([Buffer.of(key.length), Buffer.from(key), Buffer.of(value.length >> 8, value.length), value]),
  );
  return Buffer.concat([Buffer.of(pairs.length), ...parts]);
}

// Frames in every state of a stream.

export const FRAMES = {
  DATA: (id: number) => data(id, 1),
  "DATA with END": (id: number) => data(id, 1, { end: true }),
  END: end,
  RESET: reset,
  CREDIT: (id: number) => credit(id, 100, 1),
  HEADERS: headers,
  OPEN: (id: number) => channel(id, "talk"),
} as const;
export type Row = Readonly<Record<keyof typeof FRAMES, Outcome>>;
export type States<Scene> = Readonly<Record<string, { set(scene: Scene): Promise<number>; gives: Row }>>;

export const BAD = "GOAWAY PROTOCOL_ERROR";
export const never: Row = {
  DATA: BAD,
  "DATA with END": BAD,
  END: BAD,
  RESET: BAD,
  CREDIT: BAD,
  HEADERS: BAD,
  OPEN: BAD,
};
export const fine: Row = {
  DATA: "nothing",
  "DATA with END": "nothing",
  END: "nothing",
  RESET: "nothing",
  CREDIT: "nothing",
  HEADERS: "nothing",
  OPEN: BAD,
};
export const spoken: Partial<Row> = { DATA: "glitch", "DATA with END": "glitch", END: "glitch" };
