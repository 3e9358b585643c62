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

/** For a proxy's `mangle`; counts what it did in `done`, and notes in `hit` since when it did, until the connection's end. */
export function mangling(name, { p, seed, after = 1, done = { count: 0 }, other = {}, hit = [] }) {
  let connections = 0;
  return (_, closed) => {
    // Another choice for each connection: one that never gets through its beginning would show nothing else.
    const dice = random(seed + 1_000 * connections++);
    const change = MANGLES[name](dice, other);
    let whole = true;
    return (frame, index) => {
      if (index < after || dice.chance() >= p) {
        other.next = Buffer.from(frame);
        return [frame];
      }
      const changed = change(frame);
      if (changed[0] === frame && changed.length === 1) return changed;
      done.count++;
      if (whole) {
        whole = false;
        const times = { began: performance.now(), ended: Infinity };
        hit.push(times);
        void closed.then(() => {
          times.ended = performance.now();
        });
      }
      return changed;
    };
  };
}
