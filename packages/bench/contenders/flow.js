const WINDOW = 256;
const REFILL = 128;

/** What a sender may still send: `WINDOW` messages, and more as the reader tells that it took some. */
class Credit {
  #left = WINDOW;
  #wake;

  /** Whether one more may be sent; if not, wait first. */
  take() {
    return this.#left-- > 0;
  }

  /** After a `take` that gave false: resolves once that message may be sent. */
  wait() {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  grant(count) {
    this.#left += count;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** Messages that came and were not read. Tells `grant` each time the reader has taken `REFILL` of them. */
class Inbox {
  #queue = [];
  #head = 0;
  #taken = 0;
  #ended = false;
  #wake;
  #grant;

  constructor(grant) {
    this.#grant = grant;
  }

  push(value) {
    if (this.#wake === undefined) this.#queue.push(value);
    else this.#hand({ value, done: false });
  }

  end() {
    this.#ended = true;
    if (this.#wake !== undefined) this.#hand({ value: undefined, done: true });
  }

  next() {
    if (this.#head < this.#queue.length) {
      const value = this.#queue[this.#head++];
      if (this.#head === this.#queue.length) {
        this.#queue = [];
        this.#head = 0;
      }
      this.#count();
      return Promise.resolve({ value, done: false });
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #hand(result) {
    const wake = this.#wake;
    this.#wake = undefined;
    if (!result.done) this.#count();
    wake(result);
  }

  #count() {
    if (++this.#taken % REFILL === 0) this.#grant(REFILL);
  }
}

module.exports = { Credit, Inbox };
