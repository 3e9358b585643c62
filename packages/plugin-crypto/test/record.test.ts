import { randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { HEAD_BYTES, Kind, RECORD_BYTES, readU32, systemClock } from "@rap/protocol";
import { ManualClock } from "@rap/testing";
import { Direction, HARD_STOP, nonceOf, REKEY, Records, type RekeyOptions, rekeyLimits } from "../src/record";
import type { Suite } from "../src/suite";

const TAG_BYTES = 16;
const SUITES: Suite[] = ["aes-256-gcm", "chacha20-poly1305"];
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** The records of both ends of one connection. */
function ends(options: { suite?: Suite; rekey?: RekeyOptions; clock?: ManualClock } = {}) {
  const { suite = "aes-256-gcm", clock = systemClock } = options;
  const secrets = { client: randomBytes(32), server: randomBytes(32) };
  const shared = { removed: false };
  const direction = (side: "client" | "server") => new Direction(suite, side, Buffer.from(secrets[side]), clock);
  const rekey = rekeyLimits(options.rekey);
  return {
    shared,
    client: new Records(direction("client"), direction("server"), rekey, shared),
    server: new Records(direction("server"), direction("client"), rekey, shared),
  };
}

describe.each(SUITES)("records sealed with %s", (suite) => {
  test("are opened at the other end, whatever their size, and nowhere else", () => {
    const { client, server } = ends({ suite });
    for (const size of [1, 15, 16, 17, 1_000, RECORD_BYTES]) {
      const bytes = randomBytes(size);
      const frame = client.seal(bytes);
      expect(frame.length).toBe(HEAD_BYTES + size + TAG_BYTES);
      expect([readU32(frame, 0), frame[4], frame[5], readU32(frame, 6)]).toEqual([size + TAG_BYTES, Kind.SEALED, 0, 0]);
      expect(bytes.equals(server.open(frame))).toBe(true);
    }
    expect(() => ends({ suite }).server.open(client.seal(randomBytes(10)))).toThrow();
  });

  test("do not open when any bit of head, ciphertext or tag is another", () => {
    const { client } = ends({ suite });
    const bits = 8 * client.seal(Buffer.from("ten bytes!")).length;
    expect(bits).toBe(8 * 36);
    for (let bit = 0; bit < bits; bit++) {
      const { client, server } = ends({ suite });
      const frame = client.seal(Buffer.from("ten bytes!"));
      frame[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => server.open(frame)).toThrow();
    }
  });

  test("do not open when they are cut or longer", () => {
    for (let length = 0; length < 36; length++) {
      const { client, server } = ends({ suite });
      const frame = client.seal(Buffer.from("ten bytes!"));
      expect(() => server.open(frame.subarray(0, length))).toThrow();
    }
    const { client, server } = ends({ suite });
    expect(() => server.open(Buffer.concat([client.seal(Buffer.from("ten")), Buffer.of(0)]))).toThrow();
  });

  test("do not open twice, out of order, or at the end that sealed them", () => {
    const twice = ends({ suite });
    const frame = twice.client.seal(Buffer.from("once"));
    expect(text(twice.server.open(Buffer.from(frame)))).toBe("once");
    expect(() => twice.server.open(frame)).toThrow();

    const swapped = ends({ suite });
    swapped.client.seal(Buffer.from("first"));
    const second = swapped.client.seal(Buffer.from("second"));
    expect(() => swapped.server.open(second)).toThrow();

    const mirror = ends({ suite });
    const own = mirror.client.seal(Buffer.from("mine"));
    expect(() => mirror.client.open(own)).toThrow();
  });

  test("of equal bytes are never equal", () => {
    const { client, server } = ends({ suite, rekey: { records: 100 } });
    const frames = [client, server].flatMap((end) =>
      Array.from({ length: 1_000 }, () => latin1(end.seal(Buffer.alloc(32)))),
    );
    expect(new Set(frames).size).toBe(2_000);
  });
});

describe("nonces", () => {
  test("of 100 000 records in a row are all different, and so are those beyond 2^32", () => {
    const iv = randomBytes(12);
    const seen = new Set<string>();
    const far = 2 ** 40;
    for (let record = 0; record < 100_000; record++) {
      seen.add(Buffer.from(nonceOf(iv, record)).toString("latin1"));
      seen.add(Buffer.from(nonceOf(iv, far + record)).toString("latin1"));
    }
    expect(seen.size).toBe(200_000);
  });

  test("are the key's bytes combined with the number, as TLS 1.3 does it", () => {
    const iv = Buffer.from("000102030405060708090a0b", "hex");
    expect(Buffer.from(nonceOf(iv, 0)).toString("hex")).toBe("000102030405060708090a0b");
    expect(Buffer.from(nonceOf(iv, 1)).toString("hex")).toBe("000102030405060708090a0a");
    expect(Buffer.from(nonceOf(Buffer.alloc(12), 0xab_1234_5678)).toString("hex")).toBe("00000000000000ab12345678");
  });
});

describe("going on to the next key", () => {
  test("happens after so many records, for each direction apart, and nothing is lost", () => {
    const { client, server } = ends({ rekey: { records: 3 } });
    const flags: number[] = [];
    for (let round = 0; round < 10; round++) {
      const frame = client.seal(Buffer.from(`record ${round}`));
      flags.push(frame[5]!);
      expect(text(server.open(frame))).toBe(`record ${round}`);
    }
    expect(flags).toEqual([0, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
    expect(server.seal(Buffer.from("the other way"))[5]).toBe(0);
  });

  test("happens after so many bytes", () => {
    const { client, server } = ends({ rekey: { bytes: 100 } });
    const flags = [60, 60, 10, 200, 1].map((size) => {
      const frame = client.seal(Buffer.alloc(size));
      server.open(frame);
      return frame[5];
    });
    expect(flags).toEqual([0, 0, 1, 0, 1]);
  });

  test("happens after so much time", () => {
    const clock = new ManualClock();
    const { client, server } = ends({ clock, rekey: { interval: 1_000 } });
    const flags = [0, 999, 1, 999, 1, 5_000, 0].map((ms) => {
      clock.advance(ms);
      const frame = client.seal(Buffer.alloc(1));
      server.open(frame);
      return frame[5];
    });
    expect(flags).toEqual([0, 0, 1, 0, 1, 1, 0]);
  });

  test("by default happens within the limits of the algorithms, and limits can only be lowered", () => {
    expect(REKEY).toEqual({ records: 2 ** 24, bytes: 64 * 2 ** 30, interval: 3_600_000 });
    expect(HARD_STOP).toEqual({ records: 2 ** 25, bytes: 128 * 2 ** 30 });
    for (const bad of [{ records: 2 ** 24 + 1 }, { bytes: 2 ** 37 }, { interval: 0 }, { records: Number.NaN }]) {
      expect(() => rekeyLimits(bad)).toThrow(RangeError);
    }
  });

  test("cannot be forced or held back by whoever alters a record", () => {
    const { client, server } = ends({ rekey: { records: 1 } });
    server.open(client.seal(Buffer.from("first")));
    const next = client.seal(Buffer.from("second"));
    expect(next[5]).toBe(1);
    next[5] = 0;
    expect(() => server.open(next)).toThrow();
  });

  test("gives another key each time: equal bytes in equal places are sealed otherwise", () => {
    const { client } = ends({ rekey: { records: 1 } });
    const frames = Array.from({ length: 5 }, () => latin1(client.seal(Buffer.alloc(16)).subarray(HEAD_BYTES)));
    expect(new Set(frames).size).toBe(5);
  });
});

test("a key that is used too often is refused, at both ends", () => {
  const direction = () => new Direction("aes-256-gcm", "client", Buffer.alloc(32, 1), systemClock);
  const frame = Buffer.alloc(HEAD_BYTES + 1 + TAG_BYTES);
  const [sealing, opening] = [direction(), direction()];
  sealing.seal(frame, Buffer.of(1));
  opening.open(frame);
  for (const end of [sealing, opening]) {
    end.records = HARD_STOP.records - 1;
    end.bytes = HARD_STOP.bytes - 1;
  }
  sealing.seal(frame, Buffer.of(2));
  expect([...opening.open(frame)]).toEqual([2]);
  expect(() => sealing.seal(frame, Buffer.of(3))).toThrow("used too often");
  expect(() => opening.open(frame)).toThrow("used too often");
  const bytes = direction();
  bytes.bytes = HARD_STOP.bytes;
  expect(() => bytes.seal(frame, Buffer.of(3))).toThrow("used too often");
});

test("nothing is sealed or opened once the shared key was removed, or after the end", () => {
  const { shared, client, server } = ends();
  const frame = client.seal(Buffer.from("too late"));
  shared.removed = true;
  expect(() => client.seal(Buffer.from("more"))).toThrow("removed");
  expect(() => server.open(frame)).toThrow("removed");
  shared.removed = false;
  server.close();
  expect(() => server.open(frame)).toThrow("over");
  expect(() => server.seal(Buffer.from("more"))).toThrow("over");
});
