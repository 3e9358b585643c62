import type { Clock, Timer } from "@rap/protocol";
import type { Trace } from "./trace";

interface Event {
  readonly at: number;
  /** The order in which events were made, for those of the same time. */
  readonly order: number;
  callback: (() => void) | undefined;
}

/**
 * Time that passes only where something is due. Between two events everything that the first one set going (promises,
 * `nextTick`) comes to rest, so that nothing but the events' order decides what happens.
 */
export class VirtualTime {
  readonly #trace: Trace;
  /** A binary heap: the first is the next event. */
  readonly #heap: Event[] = [];
  #now = 0;
  #order = 0;
  /** Events that have happened. */
  events = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  now(): number {
    return this.#now;
  }

  /** Calls back in `ms`; what it returns prevents that. */
  after(ms: number, callback: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#push(event);
    return () => {
      event.callback = undefined;
    };
  }

  /** Lets everything happen that is due in the next `ms`, or until `done` holds. */
  run(ms: number, done?: () => boolean): Promise<void> {
    const end = this.#now + ms;
    return new Promise((resolve, reject) => {
      const goOn = () => {
        try {
          if (this.#next(end)) settle(this.events, look);
          else resolve();
        } catch (error) {
          reject(error as Error);
        }
      };
      const look = () => (done?.() ? resolve() : goOn());
      settle(0, goOn);
    });
  }

  /** Lets the next event happen; false if none is due by `end`, which is then the time. */
  #next(end: number): boolean {
    for (let event = this.#heap[0]; event !== undefined && event.at <= end; event = this.#heap[0]) {
      this.#pop();
      if (event.callback === undefined) continue;
      this.#now = event.at;
      this.events++;
      this.#trace.event(event.at, event.order);
      event.callback();
      return true;
    }
    this.#now = Math.max(this.#now, end);
    return false;
  }

  /** Makes `performance.now()` tell this time, and errors cheap; what it returns undoes that. */
  install(): () => void {
    const machine = performance.now;
    const stackTraceLimit = Error.stackTraceLimit;
    performance.now = () => this.#now;
    // Most of the errors are made on purpose: one line of each says enough, and says it faster.
    Error.stackTraceLimit = 1;
    return () => {
      performance.now = machine;
      Error.stackTraceLimit = stackTraceLimit;
    };
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** The clock of one process: when that is killed, its timers are no more. */
export class ProcessClock implements Clock {
  readonly #time: VirtualTime;
  readonly #timers = new Set<() => void>();
  readonly #lateness: () => number;
  #stopped = false;

  /** `lateness`: by how much each timer is late. */
  constructor(time: VirtualTime, lateness: () => number = () => 0) {
    this.#time = time;
    this.#lateness = lateness;
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#time.now();
  }

  setTimeout(callback: () => void, ms: number): Timer {
    if (this.#stopped) return undefined;
    const cancel = this.#time.after(ms + this.#lateness(), () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
    return cancel;
  }

  clearTimeout(timer: Timer): void {
    if (this.#timers.delete(timer as () => void)) (timer as () => void)();
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/**
 * Calls back once everything has come to rest. Each tick comes after all ticks and promises before it. Three of them are
 * cheaper than a turn of the event loop; what takes longer than that to settle is just as repeatable. Only now and then
 * the rest of Node needs a turn.
 */
function settle(events: number, then: () => void): void {
  if (events % TURN === 0) setImmediate(tick, TICKS, then);
  else tick(TICKS, then);
}

function tick(left: number, then: () => void): void {
  if (left === 0) then();
  else process.nextTick(afterPromises, left - 1, then);
}

function afterPromises(left: number, then: () => void): void {
  void SETTLED.then(() => tick(left, then));
}

const SETTLED = Promise.resolve();
const TICKS = 3;
const TURN = 64;
