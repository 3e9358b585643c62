import { readFileSync } from "node:fs";
import { join } from "node:path";

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

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
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
