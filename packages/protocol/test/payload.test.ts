import { describe, expect, test } from "@jest/globals";
import { Flag, type Hello, Kind, SHAPE_SHIFT, Shape } from "../src/frame";
import { LIMITS } from "../src/limits";
import { encodeMetadata, Metadata } from "../src/metadata";
import {
  blockEnd,
  decodeFrame,
  decodeGoaway,
  decodeHello,
  encodeFrame,
  encodeGoaway,
  encodeHello,
  metadataBlock,
  openHead,
  openSize,
  PayloadError,
  readOpen,
  utf8,
  writeOpen,
} from "../src/payload";
import { fromHex, readFrameVectors, toHex } from "./vectors";

const encoder = new TextEncoder();

describe("OPEN's payload", () => {
  const target = encoder.encode("default/f");
  const metadata = encodeMetadata(new Metadata({ a: "1" }));
  const cases = [0, 30_000].flatMap((timeout) =>
    [undefined, metadata].flatMap((block) =>
      Object.values(Shape).map((shape) => ({ timeout, block, shape, streamArg: shape === 2 || shape === 3 ? 1 : -1 })),
    ),
  );

  test.each(cases)("is read in place as it was written: %o", ({ timeout, block, shape, streamArg }) => {
    const size = openSize(target, timeout, block, streamArg);
    // In the middle of other bytes, as in a chunk from a socket.
    const bytes = new Uint8Array(5 + size + 3).fill(0xee);
    writeOpen(bytes, 5, target, timeout, block, streamArg);
    const flags =
      (shape << SHAPE_SHIFT) | (timeout > 0 ? Flag.DEADLINE : 0) | (block === undefined ? 0 : Flag.METADATA);
    const head = openHead();
    readOpen(bytes, 5, bytes.length, flags, head);
    expect(toHex(bytes.subarray(head.targetStart, head.targetEnd))).toBe(toHex(target));
    expect(toHex(bytes.subarray(head.metadataStart, head.metadataEnd))).toBe(toHex(block ?? new Uint8Array(0)));
    expect(head).toMatchObject({ shape, timeout, streamArg, bodyStart: 5 + size });
    expect(toHex(bytes.subarray(0, 5))).toBe("eeeeeeeeee");
    expect(toHex(bytes.subarray(head.bodyStart))).toBe("eeeeee");
  });

  test("does not remember what the same head held before", () => {
    const head = openHead();
    const full = fromHex("0001 66 00007530 0003 010161 05 00".replaceAll(" ", ""));
    readOpen(full, 0, full.length, Flag.DEADLINE | Flag.METADATA | (Shape.BIDI_STREAM << SHAPE_SHIFT), head);
    expect(head).toMatchObject({ timeout: 30_000, streamArg: 5 });
    readOpen(fromHex("000166"), 0, 3, 0, head);
    expect(head).toEqual({
      shape: Shape.UNARY,
      targetStart: 2,
      targetEnd: 3,
      timeout: 0,
      metadataStart: 3,
      metadataEnd: 3,
      streamArg: -1,
      bodyStart: 3,
    });
  });

  test("is refused when it is cut before its body, wherever that is", () => {
    const flags = Flag.DEADLINE | Flag.METADATA | (Shape.CLIENT_STREAM << SHAPE_SHIFT);
    const size = openSize(target, 1, metadata, 0);
    const bytes = new Uint8Array(size);
    writeOpen(bytes, 0, target, 1, metadata, 0);
    for (let end = 0; end < size; end++) {
      expect(() => readOpen(bytes, 0, end, flags, openHead())).toThrow(new PayloadError("OPEN is cut short"));
    }
    readOpen(bytes, 0, size, flags, openHead());
  });
});

describe("HELLO's payload", () => {
  const hello: Hello = {
    ...LIMITS,
    minor: 3,
    codecs: ["a", "bc"],
    info: "me",
    metadata: new Metadata({ a: "1" }),
    extensions: new Map([
      [1, Uint8Array.of(1)],
      [0xffff, new Uint8Array(300)],
    ]),
  };

  test("is refused when it is cut at any byte but between extensions", () => {
    const bytes = encodeHello(hello);
    const whole = [bytes.length - 304, bytes.length - 309];
    for (let end = 0; end < bytes.length; end++) {
      if (whole.includes(end)) expect(decodeHello(bytes, 0, end).info).toBe("me");
      else expect(() => decodeHello(bytes, 0, end)).toThrow(PayloadError);
    }
  });

  test("says at most what fits into four bytes", () => {
    const bytes = encodeHello({ ...hello, keepaliveInterval: Number.MAX_SAFE_INTEGER, maxInFlight: 2 ** 32 - 1 });
    expect(decodeHello(bytes, 0, bytes.length)).toMatchObject({
      keepaliveInterval: 2 ** 32 - 1,
      maxInFlight: 2 ** 32 - 1,
    });
  });

  test("copies extensions out of the bytes that it came in", () => {
    const bytes = encodeHello(hello);
    const { extensions } = decodeHello(bytes, 0, bytes.length);
    bytes.fill(0);
    expect(extensions.get(1)).toEqual(Uint8Array.of(1));
  });
});

describe("GOAWAY's payload", () => {
  test("has a reason of at most 256 characters, written and read", () => {
    expect(encodeGoaway(1, 2, "x".repeat(1_000))).toHaveLength(5 + 256);
    const bytes = Uint8Array.of(...encodeGoaway(1, 2, ""), ...new Uint8Array(1_000).fill(0x78));
    expect(decodeGoaway(bytes, 0, bytes.length)).toEqual({ lastId: 1, code: 2, reason: "x".repeat(256) });
  });
});

describe("a frame", () => {
  test("of an unknown kind is nothing", () => {
    for (const kind of [0x06, 0x16, 0x80, 0xff])
      expect(decodeFrame(kind, 0, 0, new Uint8Array(9), 0, 9)).toBeUndefined();
  });

  test("is decoded into bytes of its own, also from a Buffer", () => {
    for (const { bytes } of readFrameVectors().frames) {
      const chunk = Buffer.from(bytes);
      const args = [chunk[4]!, chunk[5]!, chunk.readUInt32BE(6), chunk, 10, chunk.length] as const;
      const frame = decodeFrame(...args)!;
      const again = toHex(encodeFrame(frame));
      chunk.fill(0xee);
      expect(toHex(encodeFrame(frame))).toBe(again);
    }
  });

  const lengths: [string, number, number, number][] = [
    ["PING", Kind.PING, 0, 7],
    ["PONG", Kind.PONG, 0, 9],
    ["CREDIT", Kind.CREDIT, 0, 7],
    ["GOAWAY", Kind.GOAWAY, 0, 4],
    ["RESET", Kind.RESET, 0, 1],
    ["DATA", Kind.DATA, Flag.METADATA, 1],
    ["END", Kind.END, Flag.METADATA, 1],
  ];
  test.each(lengths)("of a wrong length is refused: %s", (_, kind, flags, size) => {
    expect(() => decodeFrame(kind, flags, 1, new Uint8Array(size), 0, size)).toThrow(PayloadError);
  });

  test("with a malformed metadata block is refused", () => {
    const block = fromHex("0002 0141".replace(" ", ""));
    for (const kind of [Kind.DATA, Kind.END]) {
      expect(() => decodeFrame(kind, Flag.METADATA, 1, block, 0, 4)).toThrow(new PayloadError("metadata is cut short"));
    }
    expect(() => decodeFrame(Kind.HEADERS, 0, 1, block, 2, 4)).toThrow(new PayloadError("metadata is cut short"));
  });
});

describe("a metadata block with its length", () => {
  test("ends where it says, which must be within the frame", () => {
    const block = metadataBlock(new Metadata({ a: "1" }));
    expect(blockEnd(block, 0, block.length)).toBe(block.length);
    expect(blockEnd(Uint8Array.of(9, ...block, 9), 1, block.length + 2)).toBe(block.length + 1);
    for (let end = 0; end < block.length; end++) expect(() => blockEnd(block, 0, end)).toThrow(PayloadError);
    expect(metadataBlock(undefined)).toHaveLength(0);
  });
});

test("text is strict UTF-8, and keeps a byte-order mark", () => {
  expect(utf8(encoder.encode("\uFEFFé😀"))).toBe("\uFEFFé😀");
  for (const hex of ["ff", "c0af", "eda080", "c3"]) {
    expect(() => utf8(fromHex(hex))).toThrow(new PayloadError("a text is not UTF-8"));
  }
});
