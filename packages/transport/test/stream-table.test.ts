import { expect, test } from "@jest/globals";
import fc from "fast-check";
import type { Stream } from "../src/stream";
import { StreamTable } from "../src/stream-table";

const stream = (id: number): Stream => ({ id }) as Stream;

test("finds what was added, by its own id only", () => {
  const table = new StreamTable("client");
  const first = stream(1);
  table.add(first);
  expect(table.get(1)).toBe(first);
  // The same place in a ring of any size.
  expect(table.get(1 + 2 * 512)).toBeUndefined();
  expect(table.delete(stream(1 + 2 * 512))).toBe(false);
  expect(table.delete(first)).toBe(true);
  expect(table.delete(first)).toBe(false);
  expect(table.size).toBe(0);
});

test("keeps a stream that outlives any number of others", () => {
  const table = new StreamTable("client");
  const long = stream(3);
  table.add(long);
  for (let id = 5; id < 4_000; id += 2) {
    const short = stream(id);
    table.add(short);
    expect(table.get(3)).toBe(long);
    expect(table.get(id)).toBe(short);
    table.delete(short);
  }
  expect(table.list()).toEqual([long]);
});

test("does what a Map does, whatever comes and goes", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 3_000 }), (steps) => {
      const table = new StreamTable("client");
      const model = new Map<number, Stream>();
      let id = 1;
      for (const step of steps) {
        const victim = [...model.values()][step - 20];
        if (victim === undefined) {
          const added = stream(id);
          table.add(added);
          model.set(id, added);
          id += 2;
        } else {
          expect(table.delete(victim)).toBe(model.delete(victim.id));
          expect(table.get(victim.id)).toBeUndefined();
        }
        expect(table.size).toBe(model.size);
      }
      for (const [key, value] of model) expect(table.get(key)).toBe(value);
      expect(table.list()).toEqual([...model.values()]);
      table.clear();
      expect([table.size, table.list()]).toEqual([0, []]);
    }),
    { numRuns: 50 },
  );
});
