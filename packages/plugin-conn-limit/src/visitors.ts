/** What is known of an address that connects. */
export interface Visitor {
  /** IPv4 address, or IPv6 /64. */
  readonly address: string;
  /** Connections that are open. */
  readonly connections: number;
  /** Connections that were refused since it is known. */
  readonly refused: number;
}

interface Entry {
  readonly address: string;
  connections: number;
  refused: number;
  /** When it last had a connection or wanted one. */
  seenAt: number;
}

/** Addresses without a connection that are remembered at most. */
const MAX_ABSENT = 10_000;

/** Remembers who connects, and those who are gone for as long as `timeout` says. */
export class Visitors {
  /** Milliseconds. */
  timeout: number;
  readonly #now: () => number;
  readonly #present = new Map<string, Entry>();
  /** In the order in which they were last seen. */
  readonly #absent = new Map<string, Entry>();

  constructor(timeout: number, now: () => number) {
    this.timeout = timeout;
    this.#now = now;
  }

  came(address: string): void {
    const entry = this.#find(address);
    entry.connections++;
    this.#absent.delete(address);
    this.#present.set(address, entry);
    this.#forget();
  }

  left(address: string): void {
    const entry = this.#present.get(address);
    if (entry === undefined || --entry.connections > 0) return;
    this.#present.delete(address);
    this.#remember(entry);
  }

  refused(address: string): void {
    const entry = this.#find(address);
    entry.refused++;
    if (entry.connections === 0) this.#remember(entry);
  }

  /** The addresses with the most connections, and then those that were refused most. */
  list(limit: number): Visitor[] {
    this.#forget();
    return [...this.#present.values(), ...this.#absent.values()]
      .sort((a, b) => b.connections - a.connections || b.refused - a.refused)
      .slice(0, limit)
      .map(({ address, connections, refused }) => ({ address, connections, refused }));
  }

  #find(address: string): Entry {
    const known = this.#present.get(address) ?? this.#absent.get(address);
    return known ?? { address, connections: 0, refused: 0, seenAt: 0 };
  }

  #remember(entry: Entry): void {
    entry.seenAt = this.#now();
    this.#absent.delete(entry.address);
    this.#absent.set(entry.address, entry);
    this.#forget();
  }

  #forget(): void {
    const before = this.#now() - this.timeout;
    for (const [address, { seenAt }] of this.#absent) {
      if (seenAt > before && this.#absent.size <= MAX_ABSENT) return;
      this.#absent.delete(address);
    }
  }
}
