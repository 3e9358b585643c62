import { expect, test } from "@jest/globals";
import { ManualClock } from "@rap/testing";
import fc from "fast-check";
import { Freshness } from "../src/freshness";

const START = 1_700_000_000_000;
const seed = Date.now() % 2 ** 31;
const NONCES = Array.from({ length: 6 }, (_, i) => new Uint8Array(16).fill(i));

interface Step {
  readonly pass: number;
  /** How far the time of day jumps. */
  readonly jump: number;
  /** How far the message's time is off ours; it may also be a message that was sent before. */
  readonly off: number;
  readonly nonce: number;
  readonly again: number | undefined;
}

const steps = (jumps: boolean): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      pass: fc.oneof(fc.nat(300), fc.nat(5_000)),
      jump: jumps ? fc.oneof(fc.constant(0), fc.integer({ min: -20_000, max: 20_000 })) : fc.constant(0),
      off: fc.integer({ min: -1_500, max: 1_500 }),
      nonce: fc.nat(NONCES.length - 1),
      again: fc.option(fc.nat(30), { nil: undefined }),
    }),
    { maxLength: 40, size: "max" },
  );

/** Lets messages come, new ones and repeated ones; `look` is told of each, and of those that were taken before it. */
function run(list: readonly Step[], look: (taken: boolean, inTime: boolean, known: boolean) => void): void {
  const clock = new ManualClock();
  let wall = START;
  const freshness = new Freshness({ timeout: 1_000, nonceTimeout: 2_000, clock, now: () => wall });
  const sent: { time: number; nonce: number }[] = [];
  const taken = new Set<string>();
  for (const { pass, jump, off, nonce, again } of list) {
    clock.advance(pass);
    wall += pass + jump;
    const message = (again === undefined ? undefined : sent[again]) ?? { time: wall + off, nonce };
    sent.push(message);
    const name = `${message.time} ${message.nonce}`;
    const fresh = freshness.inTime(message.time);
    const admitted = fresh && freshness.admit("id", NONCES[message.nonce]!, message.time) === true;
    look(admitted, Math.abs(wall - message.time) <= 1_000, taken.has(name));
    if (admitted) taken.add(name);
  }
}

test(`a message is taken once at most and only in time, however the clocks go and jump (seed ${seed})`, () => {
  fc.assert(
    fc.property(steps(true), (list) => {
      run(list, (taken, inTime, known) => {
        if (taken) expect([inTime, known]).toEqual([true, false]);
      });
    }),
    { seed, numRuns: 3_000 },
  );
});

test(`a nonce that nobody used is taken whenever its time is good, as long as no clock jumps (seed ${seed})`, () => {
  const clock = new ManualClock();
  const freshness = new Freshness({ timeout: 1_000, nonceTimeout: 2_000, clock, now: () => START + clock.now() });
  let used = 0;
  fc.assert(
    fc.property(fc.nat(3_000), fc.integer({ min: -1_000, max: 1_000 }), (pass, off) => {
      clock.advance(pass);
      const nonce = new Uint8Array(16);
      new DataView(nonce.buffer).setUint32(0, ++used);
      const time = START + clock.now() + off;
      expect(freshness.inTime(time)).toBe(true);
      expect(freshness.admit("id", nonce, time)).toBe(true);
    }),
    { seed, numRuns: 5_000 },
  );
});
