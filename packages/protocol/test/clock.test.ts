import { expect, jest, test } from "@jest/globals";
import { systemClock } from "../src";

test.each([2 ** 31, 1e300, Infinity])("a wait of %p ms is long, where Node would call at once", (ms) => {
  const setTimeout = jest.spyOn(globalThis, "setTimeout");
  systemClock.clearTimeout(systemClock.setTimeout(() => {}, ms));
  expect(setTimeout.mock.calls[0]?.[1]).toBe(2 ** 31 - 1);
  setTimeout.mockRestore();
});
