import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Frame } from "../src/frame";
import { Metadata, type MetadataValue } from "../src/metadata";

/** A value and its bytes. `decodeOnly`: a peer may send these bytes, this codec writes shorter ones. */
export interface ValueVector {
  name: string;
  bytes: Uint8Array;
  value: unknown;
  decodeOnly?: true;
}

/** Bytes that no peer may send; the error's text contains `why`. */
export interface RefusedVector {
  name: string;
  bytes: Uint8Array;
  why: string;
}

/** `vectors/values.json`, with its tagged values made real. */
export function readVectors(): {
  values: ValueVector[];
  refused: RefusedVector[];
} {
  const file = JSON.parse(readFileSync(join(__dirname, "../vectors/values.json"), "utf8"));
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
  /** Is in the reason of the GOAWAY or the message of the RESET. */
  why?: string;
}

/** `vectors/frames.json`. */
export function readFrameVectors(): { preamble: Uint8Array; frames: FrameVector[]; malformed: MalformedVector[] } {
  const file = JSON.parse(readFileSync(join(__dirname, "../vectors/frames.json"), "utf8"));
  return {
    preamble: fromHex(file.preamble),
    frames: file.frames.map((it: any) => ({
      ...it,
      bytes: fromHex(it.hex),
      frame: frameOf(it.frame),
      ...("value" in it && { value: untag(it.value) }),
    })),
    malformed: file.malformed.map((it: any) => ({
      ...it,
      bytes: fromHex(it.hex),
      before: (it.before ?? []).map(fromHex),
    })),
  };
}

function frameOf({ hello, metadata, data, body, payload, ...rest }: any): Frame {
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

/** Spaces between fields are for the reader. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function untag(tagged: unknown): unknown {
  if (typeof tagged !== "object" || tagged === null) return tagged;
  if (Array.isArray(tagged)) return tagged.map(untag);
  const entries = Object.entries(tagged);
  const [tag, content] = entries[0] ?? [];
  switch (tag) {
    case "$undefined":
      return undefined;
    case "$number":
      return Number(content);
    case "$bigint":
      return BigInt(content);
    case "$bytes":
      return fromHex(content);
    case "$date":
      return new Date(content);
    case "$map":
      return new Map(content.map(untag));
    case "$set":
      return new Set(content.map(untag));
    default:
      return Object.fromEntries(entries.map(([key, value]) => [key, untag(value)]));
  }
}
