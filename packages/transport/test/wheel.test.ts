import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "@rap/testing";
import fc from "fast-check";
import { TimerWheel, WheelEntry } from "../src/wheel";

const seed = Number(process.env.SEED ?? 20_261_129);
/** How late an entry may be. */
const TICK = 4;

class Entry extends WheelEntry {
  firedAt: number[] = [];

  constructor(
    readonly clock: ManualClock,
    readonly also: () => void = () => {},
  ) {
    super();
  }

  override expire(): void {
    this.firedAt.push(this.clock.now());
    this.also();
  }
}

function newWheel(start = 0): { clock: ManualClock; wheel: TimerWheel; entry: (also?: () => void) => Entry } {
  const clock = new ManualClock(start);
  return { clock, wheel: new TimerWheel(clock), entry: (also) => new Entry(clock, also) };
}

describe("an entry", () => {
  test.each([0, 1, 3, 4, 5, 100, 8_191, 8_192, 8_193, 30_000, 600_000, 86_400_000])(
    "of %d ms fires once, never early and at most a tick late",
    (ms) => {
      for (const start of [0, 0.5, 3.999, 1_234_567.8]) {
        const { clock, wheel, entry } = newWheel(start);
        const it = entry();
        wheel.add(it, ms);
        clock.advance(ms * 2 + 100);
        expect(it.firedAt).toHaveLength(1);
        expect(it.firedAt[0]! - start).toBeGreaterThanOrEqual(ms);
        expect(it.firedAt[0]! - start).toBeLessThanOrEqual(ms + TICK + 1);
        expect([wheel.size, it.slot, clock.timers]).toEqual([0, -1, 0]);
      }
    },
  );

  test("is on time though another took long to fire", () => {
    const { clock, wheel, entry } = newWheel();
    const it = entry();
    wheel.add(
      entry(() => clock.advance(1_000)),
      100,
    );
    wheel.add(it, 1_500);
    clock.advance(10_000);
    expect(it.firedAt[0]).toBeLessThanOrEqual(1_500 + TICK + 1);
  });

  test("that is removed never fires", () => {
    const { clock, wheel, entry } = newWheel();
    const it = entry();
    wheel.add(it, 50);
    wheel.remove(it);
    wheel.remove(it);
    clock.advance(10_000);
    expect([it.firedAt, wheel.size, it.slot]).toEqual([[], 0, -1]);
  });

  test("that is added again moves", () => {
    const { clock, wheel, entry } = newWheel();
    const it = entry();
    wheel.add(it, 50);
    clock.advance(40);
    wheel.add(it, 50);
    expect(wheel.size).toBe(1);
    clock.advance(40);
    expect(it.firedAt).toEqual([]);
    clock.advance(20);
    expect(it.firedAt).toHaveLength(1);
    wheel.add(it, 5);
    clock.advance(20);
    expect(it.firedAt).toHaveLength(2);
  });

  test("may remove, move and add others, and itself, when it fires", () => {
    const { clock, wheel, entry } = newWheel();
    const others = [entry(), entry(), entry()];
    const again = entry(() => {
      if (again.firedAt.length < 3) wheel.add(again, 0);
    });
    const first = entry(() => {
      wheel.remove(others[0]!);
      wheel.add(others[1]!, 100);
      wheel.add(others[2]!, 0);
      wheel.add(again, 10);
    });
    // All in one slot.
    for (const each of [others[0]!, others[1]!, first]) wheel.add(each, 50);
    clock.advance(1_000);
    expect(others.map(({ firedAt }) => firedAt.length)).toEqual([0, 1, 1]);
    expect(again.firedAt).toHaveLength(3);
    expect(wheel.size).toBe(0);
  });

  test("of a later round waits for it, in the slot of earlier ones", () => {
    const { clock, wheel, entry } = newWheel();
    const round = 2_048 * TICK;
    const entries = [0, 1, 2].map((rounds) => {
      const it = entry();
      wheel.add(it, 100 + rounds * round);
      return it;
    });
    clock.advance(150);
    expect(entries.map(({ firedAt }) => firedAt.length)).toEqual([1, 0, 0]);
    clock.advance(round);
    expect(entries.map(({ firedAt }) => firedAt.length)).toEqual([1, 1, 0]);
    clock.advance(round);
    expect(entries.map(({ firedAt }) => firedAt.length)).toEqual([1, 1, 1]);
  });

  test("fires when the clock jumps over many rounds, as when a machine wakes up", () => {
    const clock = new ManualClock();
    let jump = 0;
    const wheel = new TimerWheel({
      now: () => clock.now() + jump,
      setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
      clearTimeout: (timer) => clock.clearTimeout(timer),
    });
    const entries = Array.from({ length: 100 }, () => new Entry(clock));
    entries.forEach((each, index) => {
      wheel.add(each, 5 + index * 1_000);
    });
    jump = 1e7;
    clock.advance(10);
    expect(entries.every(({ firedAt }) => firedAt.length === 1)).toBe(true);
    expect([wheel.size, clock.timers]).toEqual([0, 0]);
  });
});

describe("a wheel", () => {
  test("has one timer, which sleeps until the next entry, and none when it is empty", () => {
    const { clock, wheel, entry } = newWheel();
    expect(clock.timers).toBe(0);
    const entries = [3_000, 1_000, 2_000].map((ms) => {
      const it = entry();
      wheel.add(it, ms);
      return it;
    });
    expect([clock.timers, wheel.size]).toEqual([1, 3]);
    clock.advance(10_000);
    expect(entries.map(({ firedAt }) => Math.round(firedAt[0]! / 1_000))).toEqual([3, 1, 2]);
    expect([clock.timers, wheel.size]).toEqual([0, 0]);
  });

  test("asks the clock for no more than it can do", () => {
    const asked: number[] = [];
    const wheel = new TimerWheel({
      now: () => 0,
      setTimeout: (_, ms) => asked.push(ms),
      clearTimeout: () => {},
    });
    const { entry } = newWheel();
    // A year; Node calls back at once for more than 2^31 - 1 ms.
    wheel.add(entry(), 365 * 86_400_000);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toBeLessThan(2 ** 31);
  });

  test("drops its timer when it is stopped, and goes on when something is added", () => {
    const { clock, wheel, entry } = newWheel();
    wheel.add(entry(), 50);
    wheel.stop();
    wheel.stop();
    expect(clock.timers).toBe(0);
    const it = entry();
    wheel.add(it, 50);
    clock.advance(100);
    expect(it.firedAt).toHaveLength(1);
  });

  test(`fires what a list of entries would, whatever is added, moved and removed (seed ${seed})`, () => {
    const step = fc.oneof(
      fc.record({ what: fc.constant("add" as const), entry: fc.nat(9), ms: fc.oneof(fc.nat(50), fc.nat(40_000)) }),
      fc.record({ what: fc.constant("remove" as const), entry: fc.nat(9), ms: fc.constant(0) }),
      fc.record({
        what: fc.constant("wait" as const),
        entry: fc.constant(0),
        ms: fc.oneof(fc.nat(20), fc.nat(20_000)),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, wheel, entry } = newWheel(17.3);
        const entries = Array.from({ length: 10 }, () => entry());
        const due = new Map<Entry, number>();
        for (const { what, entry: index, ms } of steps) {
          const it = entries[index]!;
          if (what === "add") {
            wheel.add(it, ms);
            due.set(it, clock.now() + ms);
          } else if (what === "remove") {
            wheel.remove(it);
            due.delete(it);
          } else {
            const counts = new Map(entries.map((each) => [each, each.firedAt.length]));
            clock.advance(ms);
            for (const each of entries) {
              const fired = each.firedAt.length - counts.get(each)!;
              const at = due.get(each);
              if (at === undefined || at > clock.now()) expect(fired).toBe(0);
              else if (at + TICK + 1 <= clock.now()) expect(fired).toBe(1);
              if (fired > 0) {
                expect(each.firedAt.at(-1)! - at!).toBeGreaterThanOrEqual(0);
                expect(each.firedAt.at(-1)! - at!).toBeLessThanOrEqual(TICK + 1);
                due.delete(each);
              }
            }
          }
          expect(wheel.size).toBe(due.size);
          expect(clock.timers).toBeLessThanOrEqual(1);
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});

describe("the process stays alive", () => {
  /** Knows which of its timers keep the process alive. */
  class HoldingClock extends ManualClock {
    holding = new Set<unknown>();

    override setTimeout(callback: () => void, ms: number, keepAlive = false): unknown {
      const timer = super.setTimeout(() => {
        this.holding.delete(timer);
        callback();
      }, ms);
      if (keepAlive) this.holding.add(timer);
      return timer;
    }

    override clearTimeout(timer: unknown): void {
      this.holding.delete(timer);
      super.clearTimeout(timer);
    }
  }

  const awaited = (entry: Entry): Entry => Object.assign(entry, { awaited: true });

  test("for an entry that is awaited, also behind others that are not, and for no other", () => {
    const clock = new HoldingClock();
    const wheel = new TimerWheel(clock);
    wheel.add(new Entry(clock), 100);
    wheel.add(new Entry(clock), 1_000);
    expect(clock.holding.size).toBe(0);
    wheel.add(awaited(new Entry(clock)), 500);
    expect([clock.holding.size, clock.timers]).toEqual([1, 1]);
    clock.advance(200);
    expect(clock.holding.size).toBe(1);
    clock.advance(400);
    expect([clock.holding.size, clock.timers]).toEqual([0, 1]);
  });

  test("until the next entry is due if the one that is awaited is removed, so that nothing is set anew for a call", () => {
    const clock = new HoldingClock();
    const wheel = new TimerWheel(clock);
    wheel.add(new Entry(clock), 100);
    wheel.add(new Entry(clock), 1_000);
    const call = awaited(new Entry(clock));
    for (let calls = 0; calls < 3; calls++) {
      wheel.add(call, 500);
      wheel.remove(call);
    }
    expect(clock.holding.size).toBe(1);
    clock.advance(200);
    expect([clock.holding.size, clock.timers]).toEqual([0, 1]);
  });

  test("no longer than the only entry is in the wheel", () => {
    const clock = new HoldingClock();
    const wheel = new TimerWheel(clock);
    const call = awaited(new Entry(clock));
    wheel.add(call, 30_000);
    expect(clock.holding.size).toBe(1);
    wheel.remove(call);
    expect([clock.holding.size, clock.timers]).toEqual([0, 0]);
    wheel.add(call, 500);
    clock.advance(505);
    expect(call.firedAt).toHaveLength(1);
    expect([clock.holding.size, clock.timers]).toEqual([0, 0]);
  });
});
