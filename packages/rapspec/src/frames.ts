import {
  CODES,
  type Code,
  encodeFrame,
  type Frame,
  type Hello,
  LIMITS,
  Metadata,
  msgpack,
  PREAMBLE,
  Shape,
  writeHead,
} from "@rap/protocol";
import type { RawPeer } from "./raw-peer";

// What a peer says that may say anything.

export const codec = msgpack();

/** A value as its bytes. */
export const encoded = (value: unknown): Uint8Array => codec.encode(value, "value").slice();

export const NONE: Uint8Array = new Uint8Array(0);
export const KiB = 1024;

/** So many things. */
export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** Any frame at all, also one whose head promises another length than its payload has. */
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

/** OPEN of a function in the default group: unless told otherwise a plain call without arguments. */
export function call(id: number, name: string, options: OpenOptions = {}): Frame {
  const { shape = Shape.UNARY, args = [], ...rest } = options;
  const isChannel = shape === Shape.CHANNEL;
  const streams = shape === Shape.CLIENT_STREAM || shape === Shape.BIDI_STREAM;
  return {
    kind: "open",
    id,
    shape,
    target: name.includes("/") ? name : `default/${name}`,
    body: isChannel ? NONE : encoded(args),
    ...(streams ? { streamArg: 0 } : {}),
    ...(isChannel || streams ? {} : { end: true }),
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

/** A metadata block whose entries no `Metadata` would take. */
export function block(...pairs: (readonly [key: string, value: Uint8Array])[]): Uint8Array {
  const parts = pairs.map(([key, value]) =>
    Buffer.concat([Buffer.of(key.length), Buffer.from(key), Buffer.of(value.length >> 8, value.length), value]),
  );
  return Buffer.concat([Buffer.of(pairs.length), ...parts]);
}

/** What a peer with the default limits says of itself. */
export function helloOf(changes: Partial<Hello> = {}): Hello {
  return {
    ...LIMITS,
    minor: 0,
    codecs: ["msgpack"],
    info: "rapspec",
    metadata: undefined,
    extensions: new Map(),
    ...changes,
  };
}

export const HELLO: Uint8Array = encodeFrame({ kind: "hello", hello: helloOf() });

/** What a peer says first. */
export function greet(peer: Pick<RawPeer, "write" | "send">, hello: Partial<Hello> = {}): void {
  peer.write(PREAMBLE);
  peer.send({ kind: "hello", hello: helloOf(hello) });
}
