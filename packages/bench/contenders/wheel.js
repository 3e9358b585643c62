const SLOTS = 512;
const TICK_MS = 100;

/**
 * Deadlines of many entries with one timer: coarse, but adding and removing cost a few pointers. An entry has `before`
 * and `after`, which are the wheel's, and `late()`, called when its time is up.
 */
class Wheel {
  #slots = Array.from({ length: SLOTS }, () => {
    const ring = { before: undefined, after: undefined };
    ring.before = ring.after = ring;
    return ring;
  });
  #now = 0;

  constructor() {
    setInterval(() => {
      this.#now = (this.#now + 1) % SLOTS;
      const ring = this.#slots[this.#now];
      while (ring.after !== ring) {
        const late = ring.after;
        this.remove(late);
        late.late();
      }
    }, TICK_MS).unref();
  }

  add(entry, ms) {
    const ticks = Math.min(SLOTS - 1, 1 + Math.ceil(ms / TICK_MS));
    const ring = this.#slots[(this.#now + ticks) % SLOTS];
    entry.after = ring;
    entry.before = ring.before;
    ring.before.after = entry;
    ring.before = entry;
  }

  remove(entry) {
    entry.before.after = entry.after;
    entry.after.before = entry.before;
  }
}

module.exports = { Wheel };
