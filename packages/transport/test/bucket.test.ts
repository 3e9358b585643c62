import { expect, test } from "@jest/globals";
import { Bucket } from "../src/bucket";

/** How many tokens there are at a time. */
function drain(bucket: Bucket, now: number): number {
  let taken = 0;
  while (bucket.take(now)) taken++;
  return taken;
}

test("a bucket gives its burst at once and then what comes in over time", () => {
  const bucket = new Bucket(10, 0.2, 1_000);
  expect(drain(bucket, 1_000)).toBe(10);
  expect(drain(bucket, 5_999)).toBe(0);
  expect(drain(bucket, 6_000)).toBe(1);
  expect(drain(bucket, 21_000)).toBe(3);
});

test("a bucket never holds more than its burst, however long nobody takes", () => {
  const bucket = new Bucket(5, 100, 0);
  expect(drain(bucket, 1e9)).toBe(5);
  expect(drain(bucket, 1e9 + 20)).toBe(2);
});

test("what comes in between two takes is not lost to rounding, nor by asking often", () => {
  const bucket = new Bucket(1, 1, 0);
  bucket.take(0);
  let taken = 0;
  for (let now = 0; now <= 10_000; now += 1) if (bucket.take(now)) taken++;
  expect(taken).toBeGreaterThanOrEqual(9);
  expect(taken).toBeLessThanOrEqual(10);
});

test("a refused take costs nothing", () => {
  const bucket = new Bucket(1, 1, 0);
  bucket.take(0);
  for (let now = 100; now < 1_000; now += 100) expect(bucket.take(now)).toBe(false);
  expect(bucket.take(1_001)).toBe(true);
});
