import type { Metadata } from "./metadata";

/**
 * The frames of the wire. A frame is a head of ten bytes and a payload:
 *
 *     u32 payload length · u8 kind · u8 flags · u32 stream id · payload
 *
 * Numbers are big-endian. Stream 0 is the connection itself, a client opens odd streams and a server even ones.
 * `docs/protocol.md` has the whole text with a table per frame.
 */
export const HEAD_BYTES = 10;

/** The first bytes of each direction: `rap/1` and a newline. */
export const PREAMBLE: Uint8Array = Uint8Array.of(0x72, 0x61, 0x70, 0x2f, 0x31, 0x0a);

/** Versions within `rap/1` that this package speaks. */
export const MINOR_VERSION = 0;

/** Frame kinds. A kind from 0x80 on may be ignored by a peer that does not know it; one below may not. */
export const Kind = {
  HELLO: 0x00,
  PING: 0x01,
  PONG: 0x02,
  GOAWAY: 0x03,
  /** One side's part of a key exchange, before anything else. */
  EXCHANGE: 0x04,
  /** A record: sealed bytes of the connection inside. */
  SEALED: 0x05,
  OPEN: 0x10,
  HEADERS: 0x11,
  DATA: 0x12,
  END: 0x13,
  RESET: 0x14,
  CREDIT: 0x15,
} as const;

/** Kinds from here on are optional: unknown ones are skipped. */
export const OPTIONAL_KIND = 0x80;

/** Flags of a frame's head. */
export const Flag = {
  /** The message goes on in the next DATA frame of the stream. */
  MORE: 0x01,
  /** The sender sends nothing after this frame on the stream. */
  END: 0x02,
  /** The payload begins with (OPEN: has after the target and the deadline) a metadata block. */
  METADATA: 0x04,
  /** OPEN: the target is followed by the remaining time. */
  DEADLINE: 0x08,
} as const;

/** OPEN: where in the flags the shape of the call stands. */
export const SHAPE_SHIFT = 4;
export const SHAPE_MASK = 0x70;

/** The shapes of a call, as bits 4–6 of OPEN's flags. */
export const Shape = {
  UNARY: 0,
  SERVER_STREAM: 1,
  CLIENT_STREAM: 2,
  BIDI_STREAM: 3,
  CHANNEL: 4,
} as const;
export type Shape = (typeof Shape)[keyof typeof Shape];

/** Bits of a RESET's second byte. */
export const ResetFlag = {
  /** The handler never started. */
  NEVER_PROCESSED: 0x01,
  /** A metadata block follows. */
  METADATA: 0x02,
} as const;

/** Why a connection is left, as GOAWAY says it. */
export const GoawayCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  FRAME_TOO_LARGE: 2,
  FLOW_CONTROL_ERROR: 3,
  HANDSHAKE_FAILED: 4,
  SLOW_FRAME: 5,
  TOO_MANY_GLITCHES: 6,
  TOO_MANY_PINGS: 7,
  ENHANCE_YOUR_CALM: 8,
  IDLE: 9,
  SLOW_CONSUMER: 10,
  REFUSED: 11,
  INTERNAL: 12,
  KEEPALIVE_TIMEOUT: 13,
} as const;
export type GoawayCode = (typeof GoawayCode)[keyof typeof GoawayCode];

/** The name of a goaway code, for people. */
export function goawayName(code: number): string {
  return Object.entries(GoawayCode).find(([, number]) => number === code)?.[0] ?? `code ${code}`;
}

/** GOAWAY's last id before the last accepted stream is known. */
export const MAX_STREAM_ID = 0x7fffffff;

/** What each side tells the other first. */
export interface Hello {
  minor: number;
  /** Codec names: a client offers them in its order of preference, a server answers with the one that is used. */
  codecs: readonly string[];
  maxMessageBytes: number;
  streamWindowBytes: number;
  streamWindowMessages: number;
  connectionWindowBytes: number;
  maxInFlight: number;
  maxStreams: number;
  maxChannels: number;
  /** The shortest silence after which this side wants to be pinged, in milliseconds. */
  keepaliveInterval: number;
  /** Implementation and version, for people: `rap-js/0.1.0`. */
  info: string;
  metadata: Metadata | undefined;
  /** Extensions by number. One from 0x8000 on must be understood or the connection refused. */
  extensions: ReadonlyMap<number, Uint8Array>;
}

/** All frames. `body` is one encoded value, or a part of it while MORE is set. */
export type Frame =
  | { kind: "hello"; hello: Hello }
  | { kind: "ping" | "pong"; data: Uint8Array }
  | { kind: "goaway"; lastId: number; code: number; reason: string }
  | { kind: "exchange"; payload: Uint8Array }
  | { kind: "sealed"; flags: number; payload: Uint8Array }
  | {
      kind: "open";
      id: number;
      shape: Shape;
      target: string;
      timeout?: number;
      metadata?: Metadata;
      /** Position of the streamed argument, for a client or bidi stream. */
      streamArg?: number;
      body: Uint8Array;
      more?: boolean;
      end?: boolean;
    }
  | { kind: "headers"; id: number; metadata: Metadata }
  | {
      kind: "data";
      id: number;
      body: Uint8Array;
      metadata?: Metadata;
      more?: boolean;
      end?: boolean;
    }
  | { kind: "end"; id: number; metadata?: Metadata }
  | { kind: "reset"; id: number; code: number; flags: number; metadata?: Metadata; body: Uint8Array }
  | { kind: "credit"; id: number; bytes: number; messages: number };
