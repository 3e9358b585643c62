import { describe, expect, test } from "@jest/globals";
import { Shape } from "@rap/protocol";
import fc from "fast-check";
import { CallQueue, type Waiting } from "../src/call-queue";

const seed = Number(process.env.SEED ?? 20_261_132);

interface Call extends Waiting {
  readonly name: number;
}

const call = (name: number, waitsForReady = true): Call => ({
  name,
  shape: Shape.UNARY,
  waitsForReady,
  queue: undefined,
  nextWaiting: undefined,
  previousWaiting: undefined,
  begin: () => {},
  giveUp: () => {},
});

function newQueue(...calls: Call[]): CallQueue {
  const queue = new CallQueue(Shape.UNARY);
  for (const each of calls) queue.push(each);
  return queue;
}

function names(queue: CallQueue): number[] {
  const found: number[] = [];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) found.push((next as Call).name);
  return found;
}

describe("calls that wait", () => {
  test("go in the order in which they came", () => {
    const queue = newQueue(call(1), call(2), call(3));
    expect(queue.size).toBe(3);
    expect([names(queue), queue.size, queue.shift()]).toEqual([[1, 2, 3], 0, undefined]);
  });

  test("may leave from anywhere", () => {
    const calls = [1, 2, 3, 4].map((name) => call(name));
    for (const leaving of [[0], [3], [1, 2], [0, 1, 2, 3], [3, 0]]) {
      const queue = newQueue(...calls);
      for (const index of leaving) queue.delete(calls[index]!);
      expect(queue.size).toBe(4 - leaving.length);
      expect(names(queue)).toEqual([1, 2, 3, 4].filter((_, index) => !leaving.includes(index)));
    }
  });

  test("leave once, and only the queue that they are in", () => {
    const [one, other] = [call(1), call(2)];
    const queue = newQueue(one);
    const second = newQueue(other);
    queue.delete(other);
    queue.delete(one);
    queue.delete(one);
    expect([queue.size, second.size, other.queue]).toEqual([0, 1, second]);
  });

  test("hold no other calls once they have left", () => {
    const calls = [1, 2, 3].map((name) => call(name));
    const queue = newQueue(...calls);
    queue.delete(calls[1]!);
    names(queue);
    for (const { queue: home, nextWaiting, previousWaiting } of calls) {
      expect([home, nextWaiting, previousWaiting]).toEqual([undefined, undefined, undefined]);
    }
  });

  test("can come back, at the end", () => {
    const [one, other] = [call(1), call(2)];
    const queue = newQueue(one, other);
    queue.push(queue.shift()!);
    expect(names(queue)).toEqual([2, 1]);
  });

  test("and would not wait for a connection are taken out together, in order", () => {
    const queue = newQueue(call(1), call(2, false), call(3), call(4, false));
    expect(queue.shiftImpatient().map((each) => (each as Call).name)).toEqual([2, 4]);
    expect([queue.size, names(queue)]).toEqual([2, [1, 3]]);
    expect(newQueue().shiftImpatient()).toEqual([]);
  });

  test("are found at once, though a hundred thousand before them have left", () => {
    const calls = Array.from({ length: 100_000 }, (_, name) => call(name));
    const queue = newQueue(...calls);
    for (const each of calls.slice(0, -1)) queue.delete(each);
    expect(names(queue)).toEqual([99_999]);
  });

  test(`are those of a list, whatever comes and goes (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("push"), fc.constant("shift"), fc.nat(20))), (steps) => {
        const queue = new CallQueue(Shape.UNARY);
        const list: Call[] = [];
        const all: Call[] = [];
        for (const step of steps) {
          if (step === "push") {
            const added = call(all.length);
            all.push(added);
            list.push(added);
            queue.push(added);
          } else if (step === "shift") expect(queue.shift()).toBe(list.shift());
          else {
            const leaving = all[step as number];
            if (leaving === undefined) continue;
            queue.delete(leaving);
            if (list.includes(leaving)) list.splice(list.indexOf(leaving), 1);
          }
          expect(queue.size).toBe(list.length);
        }
        expect(names(queue)).toEqual(list.map(({ name }) => name));
      }),
      { seed, numRuns: 300 },
    );
  });
});
