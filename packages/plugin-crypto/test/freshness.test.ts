import { randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "@rap/testing";
import { Freshness, type FreshnessOptions } from "../src/freshness";

const START = 1_700_000_000_000;

/** A freshness whose clocks a test moves, together or each by itself. */
function fresh(options: FreshnessOptions = {}) {
  const clock = new ManualClock();
  const world = { wall: START };
  const freshness = new Freshness({ timeout: 1_000, nonceTimeout: 2_000, clock, now: () => world.wall, ...options });
  return {
    freshness,
    world,
    clock,
    pass(ms: number) {
      clock.advance(ms);
      world.wall += ms;
    },
    /** Whether a message of that time and nonce is taken for a new one. */
    takes(time: number, nonce: Uint8Array = randomBytes(32), keyId = "id") {
      return freshness.inTime(time) && freshness.admit(keyId, nonce, time);
    },
  };
}

describe("the time of a message", () => {
  test("may differ by the timeout in both directions, and not by more", () => {
    const { takes } = fresh();
    expect([-1_001, -1_000, 0, 1_000, 1_001].map((ms) => takes(START + ms))).toEqual([false, true, true, true, false]);
  });

  test("is measured by the time of day, whichever way it jumps", () => {
    const { takes, world } = fresh();
    world.wall += 86_400_000;
    expect(takes(START)).toBe(false);
    expect(takes(world.wall)).toBe(true);
    world.wall -= 2 * 86_400_000;
    expect(takes(START)).toBe(false);
    expect(takes(world.wall)).toBe(true);
  });

  test("may differ by more once the timeout is another", () => {
    const { freshness, takes } = fresh();
    freshness.timeout = 5_000;
    expect([-5_001, -5_000].map((ms) => takes(START + ms))).toEqual([false, true]);
    expect(() => {
      freshness.timeout = 0;
    }).toThrow(RangeError);
    expect(() => {
      freshness.nonceTimeout = 1.5;
    }).toThrow(RangeError);
  });
});

describe("a message that was here before", () => {
  test("is known again as long as its time is good, and one of another nonce is not held for it", () => {
    const { takes, pass } = fresh();
    const nonce = randomBytes(32);
    expect(takes(START + 1_000, nonce)).toBe(true);
    for (let ms = 0; ms <= 2_000; ms += 100) {
      expect(takes(START + 1_000, nonce)).toBe(false);
      pass(100);
    }
    expect(takes(START + 1_000, nonce)).toBe(false);
    expect(takes(START + 2_000)).toBe(true);
  });

  test("is not taken for new when the clock jumps back after its nonce was forgotten", () => {
    for (const silence of [2_000, 3_000, 4_000, 100_000]) {
      const { takes, pass, world, freshness } = fresh();
      const nonce = randomBytes(32);
      expect(takes(START, nonce)).toBe(true);
      for (let passed = 0; passed < 10_000; passed += silence) {
        pass(silence);
        void takes(world.wall);
      }
      pass(silence);
      world.wall = START;
      expect(takes(START, nonce)).toBe(false);
      // Not by its nonce: that is gone.
      expect(freshness.size).toBeLessThanOrEqual(1);
    }
  });

  test("is held for new by no nonce time shorter than twice the timeout", () => {
    const { takes, pass } = fresh({ timeout: 1_000, nonceTimeout: 1 });
    const nonce = randomBytes(32);
    expect(takes(START + 1_000, nonce)).toBe(true);
    pass(1_900);
    expect(takes(START + 1_000, nonce)).toBe(false);
  });
});

describe("what is remembered", () => {
  test("is bounded: with more, messages are refused until the oldest are forgotten", () => {
    const { takes, pass, world, freshness } = fresh({ maxNonces: 100 });
    const taken = Array.from({ length: 150 }, () => takes(START));
    expect(taken.filter((each) => each === true)).toHaveLength(100);
    expect(freshness.size).toBe(100);
    pass(2_000);
    for (let i = 0; i < 150; i++) void takes(world.wall);
    expect(freshness.size).toBe(200);
    for (let round = 0; round < 20; round++) {
      pass(2_000);
      for (let i = 0; i < 150; i++) void takes(world.wall);
      expect(freshness.size).toBe(200);
    }
    pass(10_000);
    expect(takes(world.wall)).toBe(true);
    expect(freshness.size).toBe(1);
  });

  test("is bounded for each key apart, so that one does not use up the room of another", () => {
    const { takes } = fresh({ maxNonces: 10 });
    for (let i = 0; i < 20; i++) void takes(START, randomBytes(32), "greedy");
    expect(takes(START, randomBytes(32), "greedy")).toBe(false);
    expect(takes(START, randomBytes(32), "modest")).toBe(true);
    const nonce = randomBytes(32);
    expect([takes(START, nonce, "modest"), takes(START, nonce, "other")]).toEqual([true, true]);
  });

  test("may be in a store of one's own, which is told for how long", async () => {
    const seen = new Map<string, number>();
    const nonceStore = {
      async add(nonce: string, ttlMs: number) {
        if (seen.has(nonce)) return false;
        seen.set(nonce, ttlMs);
        return true;
      },
    };
    const one = fresh({ nonceStore });
    const two = fresh({ nonceStore });
    const nonce = Buffer.alloc(32, 7);
    expect(await one.takes(START, nonce)).toBe(true);
    expect(await two.takes(START, nonce)).toBe(false);
    expect([...seen]).toEqual([[`id ${"07".repeat(32)}`, 2_000]]);
    expect(one.freshness.size).toBe(0);
  });
});
