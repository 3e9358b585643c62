import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Flag, HEAD_BYTES, Kind, PREAMBLE } from "../src/frame";
import { FrameReader, FramingError, readU16, readU32, writeHead, writeU16, writeU32 } from "../src/framing";
import { encodeFrame } from "../src/payload";
import { readFrameVectors, toHex } from "./vectors";

const seed = Number(process.env.SEED ?? 20_261_124);
const MAX = 1_000;

interface Found {
  kind: number;
  flags: number;
  id: number;
  payload: string;
  owned: boolean;
}

/** A reader that notes what it finds. */
function newReader(maxFrameBytes = MAX): { reader: FrameReader; found: Found[]; payloads: Uint8Array[] } {
  const found: Found[] = [];
  const payloads: Uint8Array[] = [];
  const reader = new FrameReader(
    {
      frame(kind, flags, id, bytes, start, end, owned) {
        payloads.push(bytes.subarray(start, end));
        found.push({ kind, flags, id, payload: toHex(bytes.subarray(start, end)), owned });
      },
    },
    maxFrameBytes,
  );
  return { reader, found, payloads };
}

function frame(kind: number, flags: number, id: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + payload.length);
  writeHead(bytes, 0, payload.length, kind, flags, id);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

function readAll(chunks: Iterable<Uint8Array>): Omit<Found, "owned">[] {
  const { reader, found } = newReader();
  for (const chunk of chunks) reader.push(chunk);
  expect(reader.partial).toBe(0);
  return found.map(({ owned: _, ...rest }) => rest);
}

describe("any cutting of the bytes", () => {
  const frames = fc.array(
    fc.record({
      kind: fc.nat(255),
      flags: fc.nat(255),
      id: fc.nat(0xffffffff),
      payload: fc.uint8Array({ maxLength: 300 }),
    }),
    { maxLength: 8 },
  );

  test(`gives the same frames (seed ${seed})`, () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(), { maxLength: 12 }), (list, cuts) => {
        const stream = Buffer.concat([
          PREAMBLE,
          ...list.map(({ kind, flags, id, payload }) => frame(kind, flags, id, payload)),
        ]);
        const places = [...cuts.map((cut) => cut % (stream.length + 1)), 0, stream.length].sort((a, b) => a - b);
        const chunks = places.slice(1).map((end, index) => new Uint8Array(stream.subarray(places[index]!, end)));
        expect(readAll(chunks)).toEqual(list.map((each) => ({ ...each, payload: toHex(each.payload) })));
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test(`gives one frame at a time to a sink that holds the reader at each, and none while it is held (seed ${seed})`, () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 12 }), (list, sizes) => {
        const all = list.map(({ kind, flags, id, payload }) => frame(kind, flags, id, payload));
        let stream = Buffer.concat([PREAMBLE, ...all]);
        const seen: string[] = [];
        const sink = {
          frame(_kind: number, _flags: number, _id: number, bytes: Uint8Array, start: number, end: number) {
            seen.push(toHex(bytes.subarray(start, end)));
            reader.hold();
          },
        };
        const reader = new FrameReader(sink, MAX);
        let most = 0;
        const push = (bytes: Uint8Array, released: boolean) => {
          const before = seen.length;
          if (released) reader.release();
          reader.push(bytes);
          most = Math.max(most, seen.length - before);
        };
        for (const [n, size] of [...sizes, stream.length].entries()) {
          // Held since the first frame, every other time.
          push(new Uint8Array(stream.subarray(0, size)), n % 2 === 0);
          stream = stream.subarray(size);
        }
        for (let n = 0; n <= list.length; n++) push(new Uint8Array(0), true);
        expect(seen).toEqual(list.map(({ payload }) => toHex(payload)));
        expect(most).toBeLessThanOrEqual(1);
        expect(reader.partial).toBe(0);
      }),
      { seed, numRuns: 1_000 },
    );
  });

  test("gives the same frames when it is at every pair of places of a short stream", () => {
    const payload = Uint8Array.of(1, 2, 3, 4);
    const stream = Buffer.concat([PREAMBLE, frame(1, 2, 3, payload), frame(4, 5, 6, new Uint8Array(0))]);
    const expected = readAll([stream]);
    expect(expected).toHaveLength(2);
    for (let one = 0; one <= stream.length; one++) {
      for (let two = one; two <= stream.length; two++) {
        expect(readAll([stream.subarray(0, one), stream.subarray(one, two), stream.subarray(two)])).toEqual(expected);
      }
    }
  });

  test("gives the same frames byte by byte", () => {
    const { frames: vectors, preamble } = readFrameVectors();
    const stream = Buffer.concat([preamble, ...vectors.map(({ bytes }) => bytes)]);
    const single = Array.from(stream, (byte) => Uint8Array.of(byte));
    expect(readAll(single)).toEqual(readAll([stream]));
    expect(readAll(single)).toHaveLength(vectors.length);
  });
});

describe("a preamble", () => {
  test.each([
    ["an HTTP client", "GET / HTTP/1.1\r\n", "it looks like an HTTP client"],
    ["an HTTP/2 client", "PRI * HTTP/2.0\r\n", "it looks like an HTTP client"],
    ["an HTTP server", "HTTP/1.1 400 Bad Request", "it looks like an HTTP server"],
    ["a TLS client", "\x16\x03\x01\x02\x00", "it looks like TLS (is this a TLS port or client?)"],
    ["a TLS server", "\x15\x03\x03\x00\x02", "it looks like a TLS alert (is this a TLS port?)"],
    ["SSH", "SSH-2.0-OpenSSH_9", "it looks like SSH"],
    ["a later version of rap", "rap/2\nxxxx", "it speaks another version of rap"],
    ["garbage", 'x\x00\x1b[2J"', 'it begins with "x..[2J\\""'],
  ])("of %s is refused with a guess", (_, text, guess) => {
    const { reader, found } = newReader();
    expect(() => reader.push(Buffer.from(text, "latin1"))).toThrow(
      expect.objectContaining({
        name: "FramingError",
        problem: "PREAMBLE",
        message: `the peer does not speak rap/1: ${guess}`,
      }),
    );
    expect(found).toEqual([]);
  });

  test("is refused at its first wrong byte, wherever it is cut", () => {
    for (let at = 0; at < PREAMBLE.length; at++) {
      const { reader } = newReader();
      reader.push(PREAMBLE.subarray(0, at));
      expect(reader.partial).toBe(at);
      expect(() => reader.push(Uint8Array.of(PREAMBLE[at]! ^ 1))).toThrow(FramingError);
    }
  });
});

describe("a length", () => {
  function readerAfter(...chunks: Uint8Array[]) {
    const result = newReader();
    result.reader.push(PREAMBLE);
    for (const chunk of chunks) result.reader.push(chunk);
    return result;
  }
  const head = (size: number): Uint8Array => {
    const bytes = new Uint8Array(HEAD_BYTES);
    writeHead(bytes, 0, size, Kind.DATA, 0, 1);
    return bytes;
  };

  test("of the limit passes, and of one more does not", () => {
    expect(readerAfter(frame(Kind.DATA, 0, 1, new Uint8Array(MAX))).found).toHaveLength(1);
    expect(() => readerAfter(frame(Kind.DATA, 0, 1, new Uint8Array(MAX + 1)))).toThrow(
      expect.objectContaining({
        problem: "FRAME_TOO_LARGE",
        message: `a frame of ${MAX + 1} bytes is over the limit of ${MAX}`,
      }),
    );
  });

  test.each([2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1])(
    "of %d is refused as soon as the head is there",
    (size) => {
      expect(() => readerAfter(head(size))).toThrow(`a frame of ${size} bytes`);
      const { reader } = readerAfter(head(size).subarray(0, HEAD_BYTES - 1));
      expect(() => reader.push(head(size).subarray(HEAD_BYTES - 1))).toThrow(`a frame of ${size} bytes`);
    },
  );

  test("allocates nothing that has not come", () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 100 }, () => {
      const { reader } = newReader(1 << 30);
      reader.push(PREAMBLE);
      reader.push(head(1 << 30));
      reader.push(new Uint8Array(100));
      return reader;
    });
    expect(readers.map(({ partial }) => partial)).toEqual(new Array(100).fill(HEAD_BYTES + 100));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  test("takes time in proportion to the bytes, not to their square, when a frame comes in small pieces", () => {
    // Doubling copies each byte once or twice; joining at every piece would copy 4 MiB 65 536 times.
    const size = 4 << 20;
    const { reader, found } = newReader(size);
    reader.push(PREAMBLE);
    reader.push(head(size));
    const piece = new Uint8Array(64);
    for (let sent = 0; sent < size; sent += piece.length) reader.push(piece);
    expect(found).toHaveLength(1);
  });

  test("can be given another limit between frames", () => {
    const { reader, found } = readerAfter();
    reader.maxFrameBytes = 2;
    expect(() => reader.push(head(3))).toThrow("over the limit of 2");
    const other = readerAfter();
    other.reader.maxFrameBytes = MAX * 2;
    other.reader.push(frame(1, 0, 0, new Uint8Array(MAX * 2)));
    expect([found.length, other.found.length]).toEqual([0, 1]);
  });
});

describe("the bytes of a frame", () => {
  const whole = frame(Kind.DATA, 0, 1, Uint8Array.of(1, 2, 3));

  test("are a view of the chunk when it is whole, and the frame's own when it came in pieces", () => {
    const { reader, found, payloads } = newReader();
    reader.push(PREAMBLE);
    const chunk = Buffer.concat([whole, whole.subarray(0, 11)]);
    reader.push(chunk);
    reader.push(whole.subarray(11));
    expect(found.map(({ owned }) => owned)).toEqual([false, true]);
    expect(payloads[0]!.buffer).toBe(chunk.buffer);
    chunk.fill(0xff);
    expect(toHex(payloads[1]!)).toBe("010203");
    expect(payloads[1]!.buffer.byteLength).toBe(whole.length);
  });

  test("that wait for the rest are no view of a large chunk, which would keep it in memory", () => {
    const { reader, found } = newReader(1 << 20);
    const large = encodeFrame({ kind: "data", id: 1, body: new Uint8Array(60_000) });
    const chunk = Buffer.concat([PREAMBLE, large, whole.subarray(0, 5)]);
    reader.push(chunk);
    chunk.fill(0xff);
    reader.push(whole.subarray(5));
    expect(found.map(({ payload }) => payload.length)).toEqual([120_000, 6]);
  });

  test("are handed over no more after stop, not even those that have come", () => {
    const found: number[] = [];
    const reader: FrameReader = new FrameReader(
      {
        frame(kind) {
          found.push(kind);
          reader.stop();
        },
      },
      MAX,
    );
    reader.push(Buffer.concat([PREAMBLE, whole, whole, whole.subarray(0, 4)]));
    expect(found).toEqual([Kind.DATA]);
    expect(reader.partial).toBe(0);
  });
});

test("numbers are big-endian and unsigned", () => {
  const bytes = new Uint8Array(8);
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(4), (value, at) => {
      const view = new DataView(bytes.buffer);
      writeU32(bytes, at, value);
      expect([readU32(bytes, at), view.getUint32(at)]).toEqual([value, value]);
      writeU16(bytes, at, value & 0xffff);
      expect([readU16(bytes, at), view.getUint16(at)]).toEqual([value & 0xffff, value & 0xffff]);
    }),
    { seed, numRuns: 200 },
  );
});

describe("a reader whose sink takes parts", () => {
  const TINY = 256;

  /** What comes of the chunks: each frame whole again, and the lengths of its parts. */
  function readParts(chunks: Iterable<Uint8Array>, maxFrameBytes = 1 << 20) {
    const found: { kind: number; flags: number; id: number; payload: Buffer; parts: number[] }[] = [];
    let begun: Uint8Array[] = [];
    const reader = new FrameReader(
      {
        frame(kind, flags, id, bytes, start, end) {
          const parts = begun.map(({ length }) => length);
          found.push({ kind, flags, id, payload: Buffer.concat([...begun, bytes.subarray(start, end)]), parts });
          if (parts.length > 0) expect(end - start).toBeGreaterThanOrEqual(TINY);
          begun = [];
        },
        part(_, bytes, start, end) {
          expect(end - start).toBeGreaterThanOrEqual(TINY);
          begun.push(Uint8Array.from(bytes.subarray(start, end)));
        },
      },
      maxFrameBytes,
    );
    for (const chunk of chunks) reader.push(chunk);
    return { found, reader };
  }

  test(`gets the same bytes for the same frames in any cutting, and no part is tiny (seed ${seed})`, () => {
    const one = fc.record({
      kind: fc.constantFrom(Kind.DATA, Kind.DATA, Kind.OPEN, Kind.PING),
      flags: fc.constantFrom(0, Flag.MORE, Flag.END, Flag.METADATA),
      id: fc.nat(100),
      size: fc.integer({ min: 1_000, max: 30_000 }),
    });
    let parts = 0;
    fc.assert(
      fc.property(
        fc.array(one, { minLength: 1, maxLength: 4 }),
        fc.array(fc.noBias(fc.nat(100_000)), { minLength: 2, maxLength: 8 }),
        (list, cuts) => {
          const frames = list.map(({ size, ...rest }, index) => ({ ...rest, payload: Buffer.alloc(size, index + 1) }));
          const stream = Buffer.concat([PREAMBLE, ...frames.map((f) => frame(f.kind, f.flags, f.id, f.payload))]);
          const places = [...cuts.map((cut) => cut % (stream.length + 1)), 0, stream.length].sort((a, b) => a - b);
          const chunks = places.slice(1).map((end, index) => new Uint8Array(stream.subarray(places[index]!, end)));
          const { found, reader } = readParts(chunks);
          expect(reader.partial).toBe(0);
          for (const each of found) parts += each.parts.length;
          expect(found.map(({ kind, flags, id }) => [kind, flags, id])).toEqual(
            frames.map((f) => [f.kind, f.flags, f.id]),
          );
          // Not toEqual, which takes a Buffer apart.
          expect(found.every(({ payload }, index) => payload.equals(frames[index]!.payload))).toBe(true);
          for (const { kind, flags, parts } of found) {
            if (kind !== Kind.DATA || (flags & Flag.METADATA) !== 0) expect(parts).toEqual([]);
          }
        },
      ),
      { seed, numRuns: 100 },
    );
    expect(parts).toBeGreaterThan(20);
  });

  test("copies next to nothing of a frame that a read cuts short by a few bytes", () => {
    const whole = Buffer.concat([PREAMBLE, frame(Kind.DATA, Flag.END, 7, Buffer.alloc(65_536, 1))]);
    const parts: unknown[] = [];
    const frames: unknown[] = [];
    const reader = new FrameReader(
      {
        frame(_, flags, id, bytes, start, end, owned) {
          frames.push([flags, id, Buffer.from(bytes.subarray(start, end)).equals(Buffer.alloc(TINY, 1)), owned]);
        },
        part: (id, bytes, start, end) => parts.push([id, end - start, bytes.buffer === whole.buffer]),
      },
      1 << 20,
    );
    reader.push(whole.subarray(0, 65_536));
    expect([parts, frames, reader.partial > 0]).toEqual([[[7, 65_280, true]], [], true]);
    // For how fast it comes the whole of it counts.
    expect(reader.begun).toBe(65_536 - PREAMBLE.length);
    reader.push(whole.subarray(65_536));
    expect([parts.length, frames]).toEqual([1, [[Flag.END, 7, true, true]]]);
    expect([reader.partial, reader.begun]).toEqual([0, 0]);
  });

  test("says that a frame is unfinished until its last byte, and refuses one that is too large before any of it", () => {
    const whole = Buffer.concat([PREAMBLE, frame(Kind.DATA, 0, 1, Buffer.alloc(20_000))]);
    const { found, reader } = readParts([whole.subarray(0, 10_000)]);
    expect(reader.partial).toBeGreaterThan(0);
    reader.push(whole.subarray(10_000));
    expect([reader.partial, found.length]).toEqual([0, 1]);
    expect(() => readParts([whole.subarray(0, 10_000)], 19_999)).toThrow(FramingError);
  });

  test("hands over nothing more once it is stopped", () => {
    const whole = Buffer.concat([PREAMBLE, frame(Kind.DATA, 0, 1, Buffer.alloc(20_000))]);
    const { found, reader } = readParts([whole.subarray(0, 10_000)]);
    reader.stop();
    reader.push(whole.subarray(10_000));
    expect([reader.partial, found]).toEqual([0, []]);
  });
});
