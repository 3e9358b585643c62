import { describe, expect, test } from "@jest/globals";
import { LIMITS, limits, type Random } from "@rap/protocol";
import fc from "fast-check";
import { Backoff } from "../src/backoff";

const seed = Number(process.env.SEED ?? 20_261_131);
const chance = (...floats: number[]): Random => {
  let at = 0;
  return { bytes: (length) => new Uint8Array(length), float: () => floats[at++ % floats.length]! };
};

describe("the wait before a try", () => {
  test("is anything up to the initial one at first, so that clients of a server that restarts spread", () => {
    for (const float of [0, 0.25, 0.999]) expect(new Backoff(LIMITS, chance(float)).next()).toBe(float * 200);
  });

  test("then grows by 1.6 each time, up to 30 s", () => {
    const backoff = new Backoff(LIMITS, chance(0.5));
    const waits = Array.from({ length: 15 }, () => Math.round(backoff.next()));
    expect(waits).toEqual([
      100, 320, 512, 819, 1_311, 2_097, 3_355, 5_369, 8_590, 13_744, 21_990, 30_000, 30_000, 30_000, 30_000,
    ]);
  });

  test("is spread by a fifth either way, and never over the most", () => {
    for (const [float, factor] of [
      [0, 0.8],
      [0.75, 1.1],
    ] as const) {
      const backoff = new Backoff(LIMITS, chance(float));
      backoff.next();
      expect(backoff.next()).toBeCloseTo(320 * factor);
    }
    const late = new Backoff(LIMITS, chance(0.999));
    for (let n = 0; n < 30; n++) expect(late.next()).toBeLessThanOrEqual(30_000);
  });

  test("begins again after a reset", () => {
    const backoff = new Backoff(LIMITS, chance(0.5));
    for (let n = 0; n < 8; n++) backoff.next();
    backoff.reset();
    expect([backoff.next(), Math.round(backoff.next())]).toEqual([100, 320]);
  });

  test("is what the limits say", () => {
    const table = limits({
      reconnectInitialBackoff: 10,
      reconnectMultiplier: 3,
      reconnectMaxBackoff: 50,
      reconnectJitter: 0.1,
    });
    const backoff = new Backoff(table, chance(0.5));
    expect(Array.from({ length: 4 }, () => backoff.next())).toEqual([5, 30, 50, 50]);
  });

  test(`is finite, within bounds and spread out, however often it is tried (seed ${seed})`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 3 }),
        (floats) => {
          const backoff = new Backoff(LIMITS, chance(...floats));
          for (let tries = 0; tries < 2_000; tries++) {
            const wait = backoff.next();
            const base = Math.min(200 * 1.6 ** tries, 30_000);
            expect(wait).toBeGreaterThanOrEqual(tries === 0 ? 0 : base * 0.8 - 1e-6);
            expect(wait).toBeLessThanOrEqual(Math.min(tries === 0 ? 200 : base * 1.2 + 1e-6, 30_000));
          }
        },
      ),
      { seed, numRuns: 5 },
    );
  });
});
