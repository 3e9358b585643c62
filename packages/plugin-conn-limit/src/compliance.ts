import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { ConnStore } from "./conn-store";

/** What a store needs to be tested. */
export interface ConnStoreSetup {
  store: ConnStore;
  /** The same counts as another process sees them, if the store is for several. */
  other?: ConnStore;
  /** Lets so much of the store's time pass. */
  pass(ms: number): Promise<void>;
  /** Called after each test. */
  dispose(): Promise<void>;
}

/**
 * The laws of a {@link ConnStore} as a Jest suite; each test begins with an empty store.
 *
 * ```ts
 * import { connStoreCompliance } from "@rap/plugin-conn-limit/compliance";
 * connStoreCompliance("mine", async () => ({ store: new Mine(), pass: sleep, dispose: async () => {} }));
 * ```
 */
export function connStoreCompliance(name: string, setup: () => Promise<ConnStoreSetup>): void {
  describe(`the connection store ${name}`, () => {
    let store: ConnStore;
    let other: ConnStore;
    let pass: ConnStoreSetup["pass"];
    let dispose: ConnStoreSetup["dispose"];

    beforeEach(async () => {
      const made = await setup();
      ({ store, pass, dispose } = made);
      other = made.other ?? made.store;
    });

    afterEach(() => dispose());

    test("gives as many places as the limit says, and each again that is given back", async () => {
      expect(await store.take("a", 2, 0)).toEqual({ taken: true, count: 1, blockedFor: 0 });
      expect(await store.take("a", 2, 0)).toEqual({ taken: true, count: 2, blockedFor: 0 });
      expect(await store.take("a", 2, 0)).toEqual({ taken: false, count: 2, blockedFor: 0 });
      await store.give("a");
      expect(await store.usage("a")).toEqual({ count: 1, blockedFor: 0 });
      expect(await store.take("a", 2, 0)).toEqual({ taken: true, count: 2, blockedFor: 0 });
    });

    test("goes by the limit of each asking: what is over a lower one stays", async () => {
      for (let i = 0; i < 3; i++) await store.take("a", 3, 0);
      expect(await store.take("a", 1, 0)).toMatchObject({ taken: false, count: 3 });
      await store.give("a");
      expect(await store.take("a", 2, 0)).toMatchObject({ taken: false, count: 2 });
      expect(await store.take("a", 3, 0)).toMatchObject({ taken: true, count: 3 });
    });

    test("keeps keys apart, whatever they are made of", async () => {
      const keys = ["a", "A", "", " ", "ip:2001:db8::/64", "{a}", "a\nb", "é😀", "__proto__", "servers"];
      for (const [index, key] of keys.entries()) {
        for (let i = 0; i <= index; i++) expect(await store.take(key, 100, 0)).toMatchObject({ taken: true });
      }
      for (const [index, key] of keys.entries()) expect(await store.usage(key)).toMatchObject({ count: index + 1 });
      await store.block("a", 60_000);
      expect(await store.take("A", 100, 0)).toMatchObject({ taken: true });
    });

    test("never counts below nothing", async () => {
      await store.give("a");
      await store.take("a", 1, 0);
      await store.give("a");
      await store.give("a");
      expect(await store.usage("a")).toEqual({ count: 0, blockedFor: 0 });
      expect(await store.take("a", 1, 0)).toMatchObject({ taken: true, count: 1 });
      expect(await store.take("a", 1, 0)).toMatchObject({ taken: false });
    });

    test("blocks a key for a while once it was over the limit, though places become free", async () => {
      await store.take("a", 1, 300);
      const { taken, blockedFor } = await store.take("a", 1, 300);
      expect(taken).toBe(false);
      expect(blockedFor).toBeGreaterThan(200);
      expect(blockedFor).toBeLessThanOrEqual(300);
      await store.give("a");
      await pass(100);
      // That one more is refused does not prolong it.
      const later = await store.take("a", 1, 300);
      expect(later).toMatchObject({ taken: false, count: 0 });
      expect(later.blockedFor).toBeLessThanOrEqual(200);
      await pass(220);
      expect(await store.take("a", 1, 300)).toEqual({ taken: true, count: 1, blockedFor: 0 });
    });

    test("is blocked and let go from outside", async () => {
      await store.take("a", 5, 0);
      await store.block("a", 60_000);
      expect((await store.usage("a")).blockedFor).toBeGreaterThan(50_000);
      expect(await store.take("a", 5, 0)).toMatchObject({ taken: false, count: 1 });
      await store.block("a", 0);
      expect(await store.usage("a")).toEqual({ count: 1, blockedFor: 0 });
      expect(await store.take("a", 5, 0)).toMatchObject({ taken: true, count: 2 });
      await store.block("b", 100);
      await pass(120);
      expect(await store.take("b", 5, 0)).toMatchObject({ taken: true });
    });

    test("gives no place twice, however many ask at once and wherever", async () => {
      const asked = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? store : other).take("a", 10, 0));
      expect((await Promise.all(asked)).filter(({ taken }) => taken)).toHaveLength(10);
      expect(await store.usage("a")).toMatchObject({ count: 10 });
    });

    test("counts together what several processes take, and blocks for all", async () => {
      await store.take("a", 3, 0);
      await other.take("a", 3, 0);
      expect(await store.take("a", 3, 0)).toMatchObject({ taken: true, count: 3 });
      expect(await other.take("a", 3, 60_000)).toMatchObject({ taken: false, count: 3 });
      expect((await store.usage("a")).blockedFor).toBeGreaterThan(50_000);
    });

    test("comes back to nothing when all places are given back", async () => {
      const held: [ConnStore, string][] = [];
      // A linear congruential generator: the same churn each time.
      for (let step = 0, chance = 1; step < 200; step++) {
        chance = (chance * 1_103_515_245 + 12_345) % 2 ** 31;
        const where = chance % 2 === 0 ? store : other;
        const key = `key ${(chance >> 4) % 3}`;
        if ((chance >> 8) % 3 > 0) {
          const { taken } = await where.take(key, 20, 0);
          if (taken) held.push([where, key]);
        } else {
          const [from, of] = held.splice((chance >> 12) % Math.max(1, held.length), 1)[0] ?? [];
          await from?.give(of as string);
        }
      }
      for (const key of ["key 0", "key 1", "key 2"]) {
        expect(await other.usage(key)).toMatchObject({ count: held.filter(([, of]) => of === key).length });
      }
      await Promise.all(held.map(([from, key]) => from.give(key)));
      for (const key of ["key 0", "key 1", "key 2"]) {
        expect(await store.usage(key)).toEqual({ count: 0, blockedFor: 0 });
      }
    });
  });
}
