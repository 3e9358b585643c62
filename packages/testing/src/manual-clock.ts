import { must } from "@rap/core";
import type { Clock, Timer } from "@rap/protocol";

const isTime = must("a number of milliseconds", Number.isFinite);
const isWait = must("0 or more milliseconds", (value) => Number.isFinite(value) && Number(value) >= 0);

interface Alarm {
  readonly at: number;
  readonly callback: () => void;
}

/**
 * A clock that stands still until a test moves it, for deadlines, backoff and keepalive without waiting. Register it
 * under `CLOCK` of `@rap/core` in the container of a server or client.
 */
export class ManualClock implements Clock {
  #now: number;
  readonly #alarms = new Set<Alarm>();

  /** `start`: what `now` says first, in milliseconds. Default 0. */
  constructor(start = 0) {
    isTime(start, "the start of a ManualClock");
    this.#now = start;
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#alarms.size;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): Timer {
    const alarm: Alarm = { at: this.#now + Math.max(0, ms), callback };
    this.#alarms.add(alarm);
    return alarm;
  }

  clearTimeout(timer: Timer): void {
    this.#alarms.delete(timer as Alarm);
  }

  /**
   * Moves time forward by `ms`. Timers that become due on the way, also those set by others, are called in the order
   * of their times, each at its own time. One of them may do so as well: then the process was busy for that long. Throws a
   * TypeError for what is no number of milliseconds.
   */
  advance(ms: number): void {
    isWait(ms, "the time of advance()");
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#alarms.delete(next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = Math.max(this.#now, end);
  }

  /** The first of the timers that are due by `end`; of equal ones that which was set first. */
  #next(end: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.at <= end && (first === undefined || alarm.at < first.at)) first = alarm;
    }
    return first;
  }
}
