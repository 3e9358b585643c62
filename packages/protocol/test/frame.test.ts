import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { CODES, codeFromNumber } from "../src/code";
import {
  Flag,
  type Frame,
  GoawayCode,
  goawayName,
  HEAD_BYTES,
  Kind,
  MAX_STREAM_ID,
  MINOR_VERSION,
  OPTIONAL_KIND,
  PREAMBLE,
  ResetFlag,
  SHAPE_MASK,
  SHAPE_SHIFT,
  Shape,
} from "../src/frame";
import { FrameReader } from "../src/framing";
import { LIMITS } from "../src/limits";
import { msgpack } from "../src/msgpack";
import { decodeFrame, encodeFrame } from "../src/payload";
import { readFrameVectors, toHex } from "./vectors";

const { preamble, frames } = readFrameVectors();
const codec = msgpack();

/** The frames in whole bytes, as a peer reads them. */
function read(bytes: Uint8Array): (Frame | undefined)[] {
  const found: (Frame | undefined)[] = [];
  const reader = new FrameReader(
    { frame: (kind, flags, id, chunk, start, end) => found.push(decodeFrame(kind, flags, id, chunk, start, end)) },
    LIMITS.maxFrameBytes,
  );
  reader.push(PREAMBLE);
  reader.push(bytes);
  return found;
}

describe("the vectors in frames.json", () => {
  test("begin with the preamble", () => {
    expect(toHex(PREAMBLE)).toBe(toHex(preamble));
    expect(Buffer.from(preamble).toString()).toBe("rap/1\n");
  });

  test.each(frames)("are what is encoded: $name", ({ frame, bytes }) => {
    expect(toHex(encodeFrame(frame))).toBe(toHex(bytes));
  });

  test.each(frames)("are decoded: $name", ({ frame, bytes }) => {
    const [decoded, ...more] = read(bytes);
    expect(plain(decoded)).toEqual(plain(frame));
    expect(more).toEqual([]);
    expect(plain(read(Buffer.from(bytes))[0])).toEqual(plain(frame));
  });

  test.each(frames.filter((it) => "value" in it))("hold the value that they say: $name", ({ frame, value }) => {
    const { body } = frame as { body: Uint8Array };
    expect(toHex(codec.encode(value))).toBe(toHex(body));
    expect(codec.decode(body, 0, body.length, false)).toStrictEqual(value);
  });

  test("have every kind of frame, every shape and every flag", () => {
    const kinds = new Set(frames.map(({ bytes }) => bytes[4]));
    expect([...kinds].sort()).toEqual(Object.values(Kind).sort());
    const opens = frames.flatMap(({ frame }) => (frame.kind === "open" ? [frame] : []));
    for (const shape of Object.values(Shape)) {
      const ofShape = opens.filter((frame) => frame.shape === shape);
      expect(ofShape.some(({ timeout }) => timeout === undefined)).toBe(true);
      expect(ofShape.some(({ timeout, metadata }) => timeout !== undefined && metadata !== undefined)).toBe(true);
    }
    expect(new Set(opens.map(({ streamArg }) => streamArg))).toEqual(new Set([undefined, 0, 1]));
    const flags = frames.reduce((all, { bytes }) => all | bytes[5]!, 0);
    expect(flags & ~SHAPE_MASK).toBe(Flag.MORE | Flag.END | Flag.METADATA | Flag.DEADLINE);
  });

  test("are all different, and say in the head how long they are", () => {
    expect(new Set(frames.map(({ bytes }) => toHex(bytes))).size).toBe(frames.length);
    for (const { bytes } of frames) expect(Buffer.from(bytes).readUInt32BE()).toBe(bytes.length - HEAD_BYTES);
  });
});

describe("docs/protocol.md", () => {
  const text = readFileSync(join(__dirname, "../../../docs/protocol.md"), "utf8");
  const cells = text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").map((cell) => cell.trim()));
  /** What the tables list as `| number | name |`, also where several stand beside one another. */
  const listed = (number: RegExp, radix: number): [string, number][] =>
    cells.flatMap((row) =>
      row.flatMap((cell, at): [string, number][] => {
        const name = row[at + 1] ?? "";
        return number.test(cell) && /^[A-Z][A-Z_]+$/.test(name) ? [[name, Number.parseInt(cell, radix)]] : [];
      }),
    );

  test("lists the kinds, the flags, and the codes of GOAWAY and of errors by their numbers", () => {
    expect(listed(/^[0-9a-f]{2}$/, 16)).toEqual(
      expect.arrayContaining([...Object.entries(Kind), ...Object.entries(Flag)]),
    );
    const codes = [...Object.entries(GoawayCode), ...Object.entries(CODES)];
    expect(listed(/^\d{1,2}$/, 10)).toEqual(expect.arrayContaining(codes));
    expect(text).toContain(`An unknown kind from ${OPTIONAL_KIND.toString(16)} on`);
  });

  test("says how the head is built and where the shape is", () => {
    expect(text).toContain(`| ${HEAD_BYTES} | length | payload |`);
    expect(text).toContain("0 unary, 1 server stream, 2 client stream, 3 bidi stream, 4 channel");
    expect([SHAPE_SHIFT, SHAPE_MASK, Object.values(Shape)]).toEqual([4, 0x70, [0, 1, 2, 3, 4]]);
    expect(text).toContain("minor version, now 0");
    expect(MINOR_VERSION).toBe(0);
    expect(text).toContain(MAX_STREAM_ID.toString(16));
    expect([ResetFlag.NEVER_PROCESSED, ResetFlag.METADATA]).toEqual([1, 2]);
  });
});

test("codes that nobody assigned have names that say their number", () => {
  expect([goawayName(0), goawayName(13), goawayName(99)]).toEqual(["NO_ERROR", "KEEPALIVE_TIMEOUT", "code 99"]);
  expect([codeFromNumber(0), codeFromNumber(16), codeFromNumber(17)]).toEqual([
    "UNKNOWN",
    "UNAUTHENTICATED",
    "UNKNOWN",
  ]);
});

/** Metadata as its entries and bytes as hex, which can be compared whatever class they are of. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: toHex(value) };
  if (value instanceof Map) return { map: [...value].map(plain) };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if (Symbol.iterator in value) return { pairs: [...(value as Iterable<unknown>)].map(plain) };
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
