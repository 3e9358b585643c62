import { must } from "@rap/core";
import { systemClock } from "@rap/protocol";
import type { ConnStore, Taken, Usage } from "./conn-store";

const isClock = must("a function", (value) => typeof value === "function");

interface Entry {
  count: number;
  blockedUntil: number;
}

/** Counts the connections of this process. Holds nothing for a key without connections and without a block. */
export class MemoryConnStore implements ConnStore {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  /** `now` gives milliseconds that only go forward. Default: the machine's. */
  constructor(now: () => number = systemClock.now) {
    isClock(now, "the clock of MemoryConnStore");
    this.#now = now;
  }

  /** Keys that it holds anything for. */
  get size(): number {
    return this.#entries.size;
  }

  async take(key: string, limit: number, blockTime: number): Promise<Taken> {
    const entry = this.#find(key) ?? { count: 0, blockedUntil: 0 };
    const taken = entry.count < limit && !this.#isBlocked(entry);
    if (taken) entry.count++;
    else if (!this.#isBlocked(entry)) entry.blockedUntil = this.#now() + blockTime;
    this.#keep(key, entry);
    return { taken, ...this.#usage(entry) };
  }

  async give(key: string): Promise<void> {
    const entry = this.#find(key);
    if (entry === undefined) return;
    entry.count = Math.max(0, entry.count - 1);
    this.#keep(key, entry);
  }

  async usage(key: string): Promise<Usage> {
    const entry = this.#find(key);
    return entry === undefined ? { count: 0, blockedFor: 0 } : this.#usage(entry);
  }

  async block(key: string, ms: number): Promise<void> {
    this.#keep(key, { count: this.#find(key)?.count ?? 0, blockedUntil: this.#now() + ms });
  }

  /** The entry of a key; one that says nothing any more is dropped. */
  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#keep(key, entry);
    return this.#entries.get(key);
  }

  #keep(key: string, entry: Entry): void {
    if (entry.count > 0 || this.#isBlocked(entry)) this.#entries.set(key, entry);
    else this.#entries.delete(key);
  }

  #isBlocked({ blockedUntil }: Entry): boolean {
    return blockedUntil > this.#now();
  }

  #usage({ count, blockedUntil }: Entry): Usage {
    return { count, blockedFor: Math.max(0, blockedUntil - this.#now()) };
  }
}
