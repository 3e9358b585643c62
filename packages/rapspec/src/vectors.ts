import { readFileSync } from "node:fs";
import { type Frame, Metadata, type MetadataValue } from "@rap/protocol";
import { fromHex, untag } from "./tagged";

export { fromHex, toHex } from "./tagged";

/** A value and its bytes. `decodeOnly`: a peer may send these bytes, a codec of its own writes shorter ones. */
export interface ValueVector {
  name: string;
  bytes: Uint8Array;
  value: unknown;
  decodeOnly?: true;
}

/** Bytes that no peer may send; our own error's text contains `why`. */
export interface RefusedVector {
  name: string;
  bytes: Uint8Array;
  why: string;
}

/** The vectors of the codec, with their tagged values made real: `@rap/protocol/vectors/values.json`. */
export function readVectors(): {
  values: ValueVector[];
  refused: RefusedVector[];
} {
  const file = read("values");
  return {
    values: file.values.map((it: { hex: string; value: unknown }) => ({
      ...it,
      bytes: fromHex(it.hex),
      value: untag(it.value),
    })),
    refused: file.refused.map((it: { hex: string }) => ({
      ...it,
      bytes: fromHex(it.hex),
    })),
  };
}

/** A frame and its bytes. `value` is what its body holds, where that is one whole value. */
export interface FrameVector {
  name: string;
  bytes: Uint8Array;
  frame: Frame;
  value?: unknown;
}

/** What a peer may not send, or is borne with, and what then happens. */
export interface MalformedVector {
  name: string;
  /** Who gets it: a server, or a client that has one plain call open on stream 1. */
  to: "server" | "client";
  /** How far the connection is. Default: the handshake is done. */
  phase?: "preamble" | "handshake";
  /** Frames that came before on this connection. */
  before: Uint8Array[];
  bytes: Uint8Array;
  /** `GOAWAY` with its code, `RESET` with its code, `silence` (a close without a word), `glitch` or `nothing`. */
  then: string;
  /** Is in the reason of our own GOAWAY or the message of our own RESET. */
  why?: string;
}

/** The vectors of frames: `@rap/protocol/vectors/frames.json`. */
export function readFrameVectors(): { preamble: Uint8Array; frames: FrameVector[]; malformed: MalformedVector[] } {
  const file = read("frames");
  return {
    preamble: fromHex(file.preamble),
    frames: file.frames.map((it: Json) => ({
      ...it,
      bytes: fromHex(it.hex),
      frame: frameOf(it.frame),
      ...("value" in it && { value: untag(it.value) }),
    })),
    malformed: file.malformed.map((it: Json) => ({
      ...it,
      bytes: fromHex(it.hex),
      before: (it.before ?? []).map(fromHex),
    })),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: what a file of ours holds
type Json = any;

function read(name: "values" | "frames"): Json {
  return JSON.parse(readFileSync(require.resolve(`@rap/protocol/vectors/${name}.json`), "utf8"));
}

function frameOf({ hello, metadata, data, body, payload, ...rest }: Json): Frame {
  if (hello !== undefined) {
    const extensions = (hello.extensions ?? []).map(([type, bytes]: [number, string]) => [type, fromHex(bytes)]);
    return { ...rest, hello: { ...hello, metadata: metadataOf(hello.metadata), extensions: new Map(extensions) } };
  }
  return {
    ...rest,
    ...(metadata !== undefined && { metadata: metadataOf(metadata) }),
    ...(data !== undefined && { data: fromHex(data) }),
    ...(body !== undefined && { body: fromHex(body) }),
    ...(payload !== undefined && { payload: fromHex(payload) }),
  };
}

function metadataOf(pairs: [string, unknown][] | undefined): Metadata | undefined {
  if (pairs === undefined) return undefined;
  const metadata = new Metadata();
  for (const [key, value] of pairs) metadata.append(key, untag(value) as MetadataValue);
  return metadata;
}
