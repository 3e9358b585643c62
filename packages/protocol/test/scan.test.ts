import { describe, expect, test } from "@jest/globals";
import { Decoder, decodeTimestampExtension } from "@msgpack/msgpack";
import { CodecError } from "../src/codec";
import { msgpack } from "../src/msgpack";
import { Scan, type ScanLimits } from "../src/scan";
import { fromHex, readVectors } from "./vectors";

const seed = Number(process.env.SEED ?? 20_261_128);
const limits: ScanLimits = {
  maxDepth: 64,
  maxCost: 32 * 1024 * 1024,
  maxMapEntries: 65_536,
};
const { values, refused } = readVectors();

function check(bytes: Uint8Array, changed: Partial<ScanLimits> = {}): void {
  new Scan({ ...limits, ...changed }).check(bytes, 0, bytes.length);
}

describe("a message that is well formed", () => {
  test.each(values)("is accepted: $name", ({ bytes }) => check(bytes));

  test.each(values)("is refused when it is cut at any byte: $name", ({ bytes }) => {
    for (let end = 0; end < bytes.length; end++) expect(() => check(bytes.subarray(0, end))).toThrow(CodecError);
  });

  test.each(values)("is refused when another byte follows: $name", ({ bytes }) => {
    expect(() => check(Uint8Array.of(...bytes, 0))).toThrow("bytes after the value");
  });

  test("is read only from start to end", () => {
    new Scan(limits).check(fromHex("c1c19201a161c1"), 2, 6);
    expect(() => new Scan(limits).check(fromHex("ff93010203"), 1, 4)).toThrow(", at byte 0");
  });
});

describe("a message that is malformed", () => {
  test.each(refused)("is refused: $name", ({ bytes, why }) => expect(() => check(bytes)).toThrow(why));
});

describe("a bomb", () => {
  // Each of these makes an unguarded decoder die or take hundreds of megabytes.
  test.each<[string, Uint8Array, string]>([
    ["array32 of 2^25 in 5 bytes", fromHex("dd01ffffff"), "truncated"],
    ["64 of them nested", fromHex("dd01ffffff".repeat(64)), "truncated"],
    ["array16 of 65 535, 20 000 nested", fromHex("dcffff".repeat(20_000)), "truncated"],
    ["array16 of 65 535, 30 000 nested", fromHex("dcffff".repeat(30_000)), "maxCost"],
    ["a million nested arrays", fromHex("91".repeat(1_000_000)), "maxDepth"],
    ["a million nested objects", fromHex("81a0".repeat(1_000_000)), "maxDepth"],
    ["a million empty objects", fromHex(`dd000f4240${"80".repeat(1_000_000)}`), "maxCost"],
    ["a million empty arrays", fromHex(`dd000f4240${"90".repeat(1_000_000)}`), "maxCost"],
    ["a million empty binaries", fromHex(`dd000f4240${"c400".repeat(1_000_000)}`), "maxCost"],
    ["a million extensions", fromHex(`dd000f4240${"d40100".repeat(1_000_000)}`), "maxCost"],
    ["a million empty Maps", fromHex(`dd000f4240${"d40390".repeat(1_000_000)}`), "maxCost"],
    ["an object of 65 537 entries", fromHex(`df00010001${"a000".repeat(65_537)}`), "maxMapEntries"],
  ])("is refused with flat memory: %s", (_, bytes, why) => {
    const codec = msgpack();
    const before = process.memoryUsage();
    for (let times = 0; times < 5; times++) expect(() => check(bytes)).toThrow(why);
    expect(() => codec.decode(bytes, 0, bytes.length, true)).toThrow(CodecError);
    const after = process.memoryUsage();
    // What believes them takes 64 MB to 2 GB. The heap is also the test runner's, which is why it has some room.
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1 << 20);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(32 << 20);
  });

  test.each([
    ["array32", "ddffffffff"],
    ["map32", "dfffffffff"],
    ["str32", "dbffffffff"],
    ["bin32", "c6ffffffff"],
    ["ext32", "c9ffffffff01"],
    ["Map ext32", "c9ffffffff03"],
  ])("of one head is refused at that head: %s of 2^32 - 1", (_, hex) => {
    expect(() => check(fromHex(hex))).toThrow(", at byte 0");
    expect(() => check(fromHex(`93c0${hex}c0`))).toThrow(", at byte 2");
  });
});

describe("what it accepts", () => {
  /** The extensions of the codec, as far as they matter to whether bytes decode. */
  const newDecoder = (): Decoder => new Decoder({ extensionCodec: { tryToEncode: () => null, decode } });
  function decode(data: Uint8Array, type: number): unknown {
    if (type === -1) return decodeTimestampExtension(data);
    return type === 3 || type === 4 ? newDecoder().decode(data) : null;
  }

  test(`Decoder decodes, also when bytes were altered (seed ${seed})`, () => {
    const corpus = values.map(({ bytes }) => bytes).filter(({ length }) => length < 200);
    const scan = new Scan(limits);
    const random = lcg(seed);
    let accepted = 0;
    for (let run = 0; run < 20_000; run++) {
      // Two values side by side in an array, with one to three bytes changed, dropped or added.
      const bytes = [0x92, ...corpus[random(corpus.length)]!, ...corpus[random(corpus.length)]!];
      for (let edits = 1 + random(3); edits > 0; edits--) {
        const put = random(3) === 0 ? [] : [random(256)];
        bytes.splice(random(bytes.length), random(2), ...put);
      }
      const altered = Uint8Array.from(bytes);
      try {
        scan.check(altered, 0, altered.length);
      } catch (error) {
        if (CodecError.is(error)) continue;
        throw error;
      }
      accepted++;
      newDecoder().decode(altered);
    }
    expect(accepted).toBeGreaterThan(1_000);
  });
});

/** A generator of small numbers that gives the same ones for the same seed. */
function lcg(state: number): (below: number) => number {
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % below;
  };
}

describe("the limits", () => {
  test("allow maxDepth levels of any container and not one more", () => {
    for (const level of ["91", "81a161"]) {
      check(fromHex(`${level.repeat(64)}00`));
      expect(() => check(fromHex(`${level.repeat(65)}00`))).toThrow("deeper than maxDepth 64, at byte");
      check(fromHex(`${level.repeat(3)}00`), { maxDepth: 3 });
      expect(() => check(fromHex(`${level.repeat(3)}00`), { maxDepth: 2 })).toThrow("maxDepth 2");
    }
    // Sets inside one another, with an array head each.
    check(fromHex("d40490"), { maxDepth: 1 });
    expect(() => check(fromHex("c7040491d40490"), { maxDepth: 1 })).toThrow("maxDepth 1");
  });

  test("allow maxMapEntries entries of an object, a Map, a Set, and not one more", () => {
    const three = ["83a0c0a0c0a0c0", "c7070396010101010101", "d60493010101"];
    for (const hex of three) {
      check(fromHex(hex), { maxMapEntries: 3 });
      expect(() => check(fromHex(hex), { maxMapEntries: 2 })).toThrow("maxMapEntries 2");
    }
  });

  test("count the memory of all containers together", () => {
    const lists = fromHex(`dc03e8${"9100".repeat(1_000)}`);
    check(lists, { maxCost: 70_000 });
    expect(() => check(lists, { maxCost: 60_000 })).toThrow("maxCost 60000");
  });
});

describe("what it finds", () => {
  test("says whether there are binary values, for each message anew", () => {
    const scan = new Scan(limits);
    const checked = (hex: string) => {
      const bytes = fromHex(hex);
      scan.check(bytes, 0, bytes.length);
      return scan.binary;
    };
    expect([checked("91c40101"), checked("91a101"), checked("c7030491c400")]).toEqual([true, false, true]);
  });

  test("says where the values are that Decoder would change", () => {
    const scan = new Scan(limits);
    const bytes = fromHex("ff" + "94" + "cf0020000000000000" + "cf001fffffffffffff" + "d904efbbbf61" + "a4efbbbf61");
    scan.check(bytes, 1, bytes.length);
    expect(scan.inexact).toEqual([1, 19]);
  });
});
