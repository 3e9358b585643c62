import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Shapes } from "../src/shapes";

const seed = Number(process.env.SEED ?? 20_261_126);

/** Keys as they stand in a message: each with its length in the byte before it. */
function keysInBytes(keys: readonly string[]): { bytes: Uint8Array; places: number[] } {
  const places: number[] = [];
  const parts: number[] = [];
  for (const key of keys) {
    const text = Buffer.from(key);
    parts.push(text.length < 32 ? 0xa0 | text.length : 0xd9, ...(text.length < 32 ? [] : [text.length]));
    places.push(parts.length);
    parts.push(...text);
  }
  return { bytes: Uint8Array.from(parts), places };
}

/** The shapes of objects with these keys, in one message; and how many of the steps were new. */
function shapesOf(objects: readonly (readonly string[])[], shapes = new Shapes()): { ids: number[]; fresh: number } {
  const { bytes, places } = keysInBytes(objects.flat());
  let key = 0;
  let fresh = 0;
  const ids = objects.map((keys) => {
    let shape = 0;
    for (const each of keys) {
      const { last } = shapes;
      shape = shapes.extend(shape, bytes, places[key++]!, Buffer.byteLength(each));
      if (shape > last) fresh++;
    }
    return shape;
  });
  return { ids, fresh };
}

describe("shapes", () => {
  test("are equal for equal keys in equal order, and only then", () => {
    const { ids, fresh } = shapesOf([["a", "b"], ["a", "b"], ["b", "a"], ["a"], [], ["a", "b", "c"]]);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[4]).toBe(0);
    expect(new Set(ids).size).toBe(5);
    // a, ab, b, ba, abc.
    expect(fresh).toBe(5);
  });

  test("of a thousand records cost as those of one", () => {
    const record = ["id", "name", "email"];
    expect(shapesOf(new Array(1_000).fill(record)).fresh).toBe(3);
  });

  test("tell keys of one length, one beginning and one end apart", () => {
    const { ids } = shapesOf([["axxb"], ["ayyb"], ["axyb"], ["ab"]]);
    expect(new Set(ids).size).toBe(4);
  });

  test("of keys longer than 31 bytes count as new each time", () => {
    const long = "k".repeat(32);
    expect(shapesOf([[long], [long], [long]]).fresh).toBe(3);
    expect(shapesOf([["k".repeat(31)], ["k".repeat(31)]]).fresh).toBe(1);
  });

  test("know an empty key", () => {
    expect(shapesOf([[""], [""], ["", ""]]).fresh).toBe(2);
  });

  test("of the last message are forgotten", () => {
    const shapes = new Shapes();
    expect(shapesOf([["a", "b"]], shapes).fresh).toBe(2);
    shapes.clear();
    expect(shapes.last).toBe(0);
    expect(shapesOf([["a", "b"]], shapes).fresh).toBe(2);
  });

  test(`never take two keys for one, however many there are (seed ${seed})`, () => {
    // More than the table holds, so that places are taken over again and again.
    const objects = fc.array(fc.array(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 6 }), { maxLength: 400 });
    fc.assert(
      fc.property(objects, (list) => {
        const seen = new Map<number, string>();
        const { ids } = shapesOf(list);
        ids.forEach((id, index) => {
          const keys = JSON.stringify(list[index]);
          expect(seen.get(id) ?? keys).toBe(keys);
          seen.set(id, keys);
        });
      }),
      { seed, numRuns: 100 },
    );
  });
});
