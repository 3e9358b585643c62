import { random } from "./random.mjs";

/**
 * What can be done to frames on their way, each with probability `p`. The handshake's frame is left alone where `after`
 * says so. `other` gives a frame of another connection.
 */
export const MANGLES = {
  drop: () => () => [],
  dup: () => (frame) => [frame, frame],
  swap: () => {
    let held;
    return (frame) => {
      if (held === undefined) {
        held = frame;
        return [];
      }
      const out = [frame, held];
      held = undefined;
      return out;
    };
  },
  trunc:
    ({ upTo }) =>
    (frame) => [frame.subarray(0, upTo(frame.length))],
  flip:
    ({ upTo }) =>
    (frame) => {
      const flipped = Buffer.from(frame);
      flipped[upTo(frame.length)] ^= 1 << upTo(8);
      return [flipped];
    },
  inject: (_, other) => (frame) => (other.frame === undefined ? [frame] : [frame, other.frame]),
};

/** For a proxy's `mangle`; counts what it did in `done`. */
export function mangling(name, { p, seed, after = 1, done = { count: 0 }, other = {} }) {
  let connections = 0;
  return () => {
    // Another choice for each connection: one that never gets through its beginning would show nothing else.
    const dice = random(seed + 1_000 * connections++);
    const change = MANGLES[name](dice, other);
    return (frame, index) => {
      if (index < after || dice.chance() >= p) {
        other.next = Buffer.from(frame);
        return [frame];
      }
      done.count++;
      return change(frame);
    };
  };
}
