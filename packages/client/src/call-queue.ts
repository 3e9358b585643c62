import type { RapError, Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";

/** A call that waits for a connection with room for it. */
export interface Waiting {
  readonly shape: Shape;
  /** false: only while there is a connection or one is being dialled. */
  readonly waitsForReady: boolean;
  /** The queue that the call is in, and its neighbours there. The queue's own. */
  queue: CallQueue | undefined;
  nextWaiting: Waiting | undefined;
  previousWaiting: Waiting | undefined;
  /** There is a connection: go. */
  begin(connection: Connection): void;
  /** There will be none. */
  giveUp(error: RapError): void;
}

/**
 * Calls in the order in which they came, any of which may leave. They are linked to each other: a `Set` finds its
 * first element by walking over all that were deleted before it, and an array that is copied to lose its holes keeps
 * its calls alive, once it is old, until the next full garbage collection.
 */
export class CallQueue {
  #first: Waiting | undefined;
  #last: Waiting | undefined;
  size = 0;

  /** `shape` stands for all shapes that the server counts together with it. */
  constructor(readonly shape: Shape) {}

  push(call: Waiting): void {
    call.queue = this;
    call.previousWaiting = this.#last;
    if (this.#last === undefined) this.#first = call;
    else this.#last.nextWaiting = call;
    this.#last = call;
    this.size++;
  }

  /** Takes a call out; nothing happens if it is not in. */
  delete(call: Waiting): void {
    if (call.queue !== this) return;
    const { previousWaiting, nextWaiting } = call;
    if (previousWaiting === undefined) this.#first = nextWaiting;
    else previousWaiting.nextWaiting = nextWaiting;
    if (nextWaiting === undefined) this.#last = previousWaiting;
    else nextWaiting.previousWaiting = previousWaiting;
    call.queue = undefined;
    call.nextWaiting = undefined;
    call.previousWaiting = undefined;
    this.size--;
  }

  /** Takes the first call out. */
  shift(): Waiting | undefined {
    const call = this.#first;
    if (call !== undefined) this.delete(call);
    return call;
  }

  /** Takes out the calls that do not wait for an address that cannot be reached. */
  shiftImpatient(): Waiting[] {
    const calls: Waiting[] = [];
    for (let call = this.#first; call !== undefined; call = call.nextWaiting) if (!call.waitsForReady) calls.push(call);
    for (const call of calls) this.delete(call);
    return calls;
  }
}
