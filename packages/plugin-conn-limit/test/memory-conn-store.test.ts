import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { MemoryConnStore } from "../src";
import { connStoreCompliance } from "../src/compliance";

connStoreCompliance("in memory", async () => {
  let now = 0;
  return {
    store: new MemoryConnStore(() => now),
    pass: async (ms) => {
      now += ms;
    },
    dispose: async () => {},
  };
});

describe("a store in memory", () => {
  test("holds nothing for a key without connections once its block is over", async () => {
    let now = 0;
    const store = new MemoryConnStore(() => now);
    await store.take("a", 1, 100);
    await store.take("a", 1, 100);
    await store.give("a");
    expect(store.size).toBe(1);
    now = 100;
    await store.usage("a");
    await store.block("b", 0);
    await store.give("c");
    expect(store.size).toBe(0);
  });

  test("comes back to nothing after any churn, and is never over the limit", async () => {
    const step = fc.record({ key: fc.constantFrom("a", "b", "c"), take: fc.boolean(), ms: fc.nat(30) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 100 }), fc.integer({ min: 1, max: 5 }), async (steps, limit) => {
        let now = 0;
        const store = new MemoryConnStore(() => now);
        const held: Record<string, number> = { a: 0, b: 0, c: 0 };
        for (const { key, take, ms } of steps) {
          now += ms;
          if (take && (await store.take(key, limit, 20)).taken) held[key]!++;
          if (!take && held[key]! > 0) {
            held[key]!--;
            await store.give(key);
          }
          expect((await store.usage(key)).count).toBe(held[key]);
          expect(held[key]).toBeLessThanOrEqual(limit);
        }
        for (const key of Object.keys(held)) while (held[key]!-- > 0) await store.give(key);
        now += 20;
        for (const key of Object.keys(held)) expect(await store.usage(key)).toEqual({ count: 0, blockedFor: 0 });
        expect(store.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
