import type { RapError, Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";

/** A call that waits for a connection with room for it. */
export interface Waiting {
  readonly shape: Shape;
  /** Its place in the queue; -1 while it is in none. The queue's own. */
  position: number;
  /** There is a connection: go. */
  begin(connection: Connection): void;
  /** There will be none. */
  giveUp(error: RapError): void;
}

/** Holes at the front that are worth a copy of the rest. */
const COMPACT = 1024;

/**
 * Calls in the order in which they came, any of which may leave. A `Set` would do the same, but finds its first
 * element by walking over all that were deleted before it.
 */
export class CallQueue {
  #calls: (Waiting | undefined)[] = [];
  #first = 0;
  size = 0;

  /** `shape` stands for all shapes that the server counts together with it. */
  constructor(readonly shape: Shape) {}

  push(call: Waiting): void {
    call.position = this.#calls.length;
    this.#calls.push(call);
    this.size++;
  }

  /** Takes a call out; nothing happens if it is not in. */
  delete(call: Waiting): void {
    if (call.position < 0) return;
    this.#calls[call.position] = undefined;
    call.position = -1;
    this.size--;
    if (this.#calls.length - this.size > COMPACT && this.size * 2 < this.#calls.length) this.#compact();
  }

  /** Takes the first call out. */
  shift(): Waiting | undefined {
    while (this.#first < this.#calls.length) {
      const call = this.#calls[this.#first++];
      if (call === undefined) continue;
      this.delete(call);
      return call;
    }
    return undefined;
  }

  #compact(): void {
    const calls: Waiting[] = [];
    for (const call of this.#calls) {
      if (call === undefined) continue;
      call.position = calls.length;
      calls.push(call);
    }
    this.#calls = calls;
    this.#first = 0;
  }
}
