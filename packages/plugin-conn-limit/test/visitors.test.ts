import { expect, test } from "@jest/globals";
import { Visitors } from "../src/visitors";

test("an address is remembered while it has connections, and for the timeout after", () => {
  let now = 0;
  const visitors = new Visitors(100, () => now);
  visitors.came("10.0.0.1");
  visitors.came("10.0.0.1");
  visitors.refused("10.0.0.1");
  visitors.left("10.0.0.1");
  now = 1_000;
  expect(visitors.list(9)).toEqual([{ address: "10.0.0.1", connections: 1, refused: 1 }]);
  visitors.left("10.0.0.1");
  visitors.left("10.0.0.1");
  now = 1_099;
  expect(visitors.list(9)).toEqual([{ address: "10.0.0.1", connections: 0, refused: 1 }]);
  now = 1_100;
  expect(visitors.list(9)).toEqual([]);
});

test("who is refused again is remembered anew, and who comes back keeps what is known of it", () => {
  let now = 0;
  const visitors = new Visitors(100, () => now);
  visitors.refused("10.0.0.1");
  visitors.refused("10.0.0.2");
  now = 60;
  visitors.refused("10.0.0.1");
  now = 120;
  expect(visitors.list(9)).toEqual([{ address: "10.0.0.1", connections: 0, refused: 2 }]);
  visitors.came("10.0.0.1");
  expect(visitors.list(9)).toEqual([{ address: "10.0.0.1", connections: 1, refused: 2 }]);
});

test("lists those with the most connections first, and no more than it is asked for", () => {
  const visitors = new Visitors(100, () => 0);
  for (let i = 0; i < 5; i++) for (let j = 0; j <= i; j++) visitors.came(`10.0.0.${i}`);
  for (let i = 0; i < 3; i++) visitors.refused("10.0.0.0");
  expect(visitors.list(2).map(({ address }) => address)).toEqual(["10.0.0.4", "10.0.0.3"]);
});

test("the number of addresses that are gone is bounded: the longest gone is forgotten", () => {
  const visitors = new Visitors(Number.MAX_SAFE_INTEGER, () => 1);
  visitors.came("10.0.0.1");
  for (let i = 0; i <= 10_000; i++) visitors.refused(`2001:db8:0:${i.toString(16)}::/64`);
  const all = visitors.list(Number.POSITIVE_INFINITY);
  expect(all).toHaveLength(10_001);
  expect(all.map(({ address }) => address)).not.toContain("2001:db8:0:0::/64");
  expect(all[0]).toMatchObject({ address: "10.0.0.1", connections: 1 });
});
