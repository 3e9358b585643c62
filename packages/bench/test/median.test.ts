import { describe, expect, test } from "@jest/globals";

const { median, ratio, typical } = require("../median");

const rounds = [
  { rap: { rate: 100 }, l2: { rate: 200 } },
  { rap: { rate: 10 }, l2: { rate: 10 } },
  { rap: { error: "failed" }, l2: { rate: 7 } },
  { rap: { rate: 90 }, l2: { rate: 120 } },
];

describe("median", () => {
  test("is the middle number, or the mean of the two in the middle", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([9, 1, 5, 7])).toBe(6);
    expect(median([10, 9, 100])).toBe(10);
  });

  test("leaves out what was not measured", () => {
    expect(median([undefined, 3])).toBe(3);
    expect(median([undefined])).toBeUndefined();
  });
});

describe("ratio", () => {
  test("is the median of ratios within a round, not the ratio of medians", () => {
    expect(ratio(rounds, "rap", "l2")).toBe(0.75);
  });

  test("is undefined when no round has both", () => {
    expect(ratio(rounds, "rap", "grpc")).toBeUndefined();
  });
});

test("what is typical leaves out rounds that failed", () => {
  expect(typical(rounds, "rap", ({ rate }: { rate: number }) => rate)).toBe(90);
});
