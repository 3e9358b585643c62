import type { Clock, Timer } from "@rap/protocol";

/** Milliseconds of one slot: how late an entry may fire, at most. */
const TICK = 4;
const SLOTS = 2048;
const MASK = SLOTS - 1;
/** Node calls back at once, with a warning, for a longer time than this. */
const LONGEST_SLEEP = 2 ** 31 - 1;

/** Something that a `TimerWheel` fires. An entry is in one wheel, once, and links itself to its neighbours. */
export abstract class WheelEntry {
  /** Clock time at which the entry fires; meaningful while it is in a wheel. */
  due = 0;
  /** Slot in the wheel; -1 while it is in none. */
  slot = -1;
  nextEntry: WheelEntry | undefined = undefined;
  previousEntry: WheelEntry | undefined = undefined;
  /** Whether somebody awaits it: then the process stays alive until it fires. Not to be changed in a wheel. */
  awaited = false;

  /** Called once, when `due` has come; the entry has left the wheel. */
  abstract expire(): void;
}

/** An entry that calls back. */
export class Watch extends WheelEntry {
  constructor(readonly callback: () => void) {
    super();
  }

  override expire(): void {
    this.callback();
  }
}

/**
 * Many deadlines on one timer: adding and removing are O(1) and allocate nothing, and the timer sleeps until the
 * next slot that holds an entry (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987, scheme 6).
 * Nothing fires early; an entry fires at most 4 ms late, plus what the event loop is late.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: (WheelEntry | undefined)[] = new Array<WheelEntry | undefined>(SLOTS).fill(undefined);
  #timer: Timer | undefined;
  #wakeTick = 0;
  /** The last tick whose slot was looked at. */
  #doneTick: number;
  #size = 0;
  /** How many of the entries are awaited, and whether the timer keeps the process alive: it may for longer than due. */
  #awaited = 0;
  #keepsAlive = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#doneTick = Math.floor(clock.now() / TICK);
  }

  /** Entries that wait. */
  get size(): number {
    return this.#size;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Fires `entry` `ms` after `since`, by default the present. Moves it if it already waits. */
  add(entry: WheelEntry, ms: number, since = this.#clock.now()): void {
    if (entry.slot >= 0) this.remove(entry);
    const due = since + ms;
    if (this.#size === 0) this.#doneTick = Math.floor(since / TICK);
    const tick = Math.max(Math.floor(due / TICK) + 1, this.#doneTick + 1);
    const slot = tick & MASK;
    const first = this.#slots[slot];
    entry.due = due;
    entry.slot = slot;
    entry.nextEntry = first;
    if (first !== undefined) first.previousEntry = entry;
    this.#slots[slot] = entry;
    this.#size++;
    if (entry.awaited) this.#awaited++;
    if (this.#timer === undefined || tick < this.#wakeTick) this.#wakeAt(tick);
    else if (entry.awaited && !this.#keepsAlive) this.#wakeAt(this.#wakeTick);
  }

  /** Takes an entry out; nothing happens if it waits in no wheel. */
  remove(entry: WheelEntry): void {
    if (entry.slot < 0) return;
    const { previousEntry, nextEntry } = entry;
    if (previousEntry === undefined) this.#slots[entry.slot] = nextEntry;
    else previousEntry.nextEntry = nextEntry;
    if (nextEntry !== undefined) nextEntry.previousEntry = previousEntry;
    entry.nextEntry = undefined;
    entry.previousEntry = undefined;
    entry.slot = -1;
    this.#size--;
    if (entry.awaited) this.#awaited--;
    // A process must not stay for the sake of nothing. One with a connection has that to stay for, and to watch.
    if (this.#size === 0 && this.#keepsAlive) this.stop();
  }

  /** Drops the timer. The wheel must be empty, or what waits in it never fires. */
  stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wakeAt(tick: number): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#wakeTick = tick;
    const ms = Math.min(Math.max(1, Math.ceil(tick * TICK - this.#clock.now())), LONGEST_SLEEP);
    this.#keepsAlive = this.#awaited > 0;
    this.#timer = this.#clock.setTimeout(this.#wake, ms, this.#keepsAlive);
  }

  readonly #wake = (): void => {
    this.#timer = undefined;
    const now = this.#clock.now();
    const tick = Math.floor(now / TICK);
    const first = Math.max(this.#doneTick + 1, tick - MASK);
    for (let each = first; each <= tick; each++) this.#fire(each & MASK, now);
    this.#doneTick = tick;
    // An expired entry may have added another and with it the timer, and taken its time.
    if (this.#size > 0) this.#sleep(tick);
  };

  #fire(slot: number, now: number): void {
    let entry = this.#slots[slot];
    while (entry !== undefined) {
      const next: WheelEntry | undefined = entry.nextEntry;
      if (entry.due <= now) {
        this.remove(entry);
        entry.expire();
        // What expire() did may have moved `next`, so look from the start again.
        entry = this.#slots[slot];
        while (entry !== undefined && entry.due > now) entry = entry.nextEntry;
      } else entry = next;
    }
  }

  /** Sets the timer for the next slot that holds anything, be it for a later round. */
  #sleep(tick: number): void {
    for (let ahead = 1; ahead <= SLOTS; ahead++) {
      if (this.#slots[(tick + ahead) & MASK] === undefined) continue;
      if (this.#timer === undefined || tick + ahead < this.#wakeTick) this.#wakeAt(tick + ahead);
      return;
    }
  }
}
