import { describe, expect, test } from "@jest/globals";
import { spares } from "../../transport/src/outbox";
import { findBug, runCampaign } from "../simulation/campaign";
import { PLANTED_BUGS } from "../simulation/planted-bugs";
import { runScenario } from "../simulation/scenario";

/** New ones at each run: what fails here is repeated with `npm run simulate -- --seed N`. */
const FRESH = 1_000_000 + (Date.now() % 1_000_000);

describe("in a simulated network", () => {
  test.each([
    ["known", 1, 40],
    ["new", FRESH, 20],
  ])(
    "every promise is kept, whatever befalls (%s seeds from %i on)",
    async (_, from, seeds) => {
      const { broken, scenarios } = await runCampaign(from, seeds);
      expect(scenarios).toBe(seeds);
      expect(broken.map(({ seed, violations }) => [seed, violations])).toEqual([]);
    },
    60_000,
  );

  test("the same seed gives the same trace, whatever ran before it, and another seed another", async () => {
    const seeds = [7, 8, 9];
    const hashes = async (list: number[]) => {
      const found = new Map<number, string>();
      for (const seed of list) found.set(seed, (await runScenario(seed)).hash);
      return seeds.map((seed) => found.get(seed));
    };
    const first = await hashes(seeds);
    expect(await hashes([...seeds].reverse())).toEqual(first);
    // Memory for all connections' writes of which little is left: each frame would be a write of its own.
    for (let slab = 0; slab < 64; slab++) spares.push({ buffer: Buffer.alloc(300), used: 0 });
    expect(await hashes(seeds)).toEqual(first);
    expect(new Set(first).size).toBe(3);
  });

  test.each(PLANTED_BUGS.map((bug) => [bug.name, bug] as const))(
    "a planted bug is found: %s",
    async (_, bug) => {
      expect(await findBug(bug, bug.seenFrom ?? 1, 100)).toMatchObject({ violations: expect.anything() });
    },
    60_000,
  );
});
