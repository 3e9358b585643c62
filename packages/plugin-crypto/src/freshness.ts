import { given } from "@rap/core";
import { type Awaitable, type Clock, systemClock } from "@rap/protocol";

/** Remembers nonces, for several servers together. A call that throws or rejects refuses the client. */
export interface NonceStore {
  /** Remembers a nonce for `ttlMs`; false when it was there already. Must be atomic. */
  add(nonce: string, ttlMs: number): Awaitable<boolean>;
}

/** What is fresh, and whose time it is by. */
export interface FreshnessOptions {
  /** Milliseconds that a message's time may differ from ours, in either direction. Default 60 000. */
  timeout?: number;
  /** Milliseconds that nonces are remembered; never less than twice `timeout`. Default 120 000. */
  nonceTimeout?: number;
  /** Where nonces are remembered. Default: in memory. */
  nonceStore?: NonceStore | undefined;
  /**
   * Nonces of one key that are remembered in memory in one nonce time; with more the key's clients are refused. Those of
   * two such times are kept, so there may be twice as many. Default 65 536.
   */
  maxNonces?: number;
  /** Wall time in milliseconds since 1970. Default `Date.now`. */
  now?: () => number;
  /** Measures how long nonces are remembered. Default: the machine's clock. */
  clock?: Clock;
}

const NONCE_BYTES = 16;

/** What was remembered in one stretch of time. */
interface Generation {
  /** By the id of the key, so that who has one key cannot use up the room of the others. */
  readonly nonces: Map<string, Set<string>>;
  /** The latest time that a message had. */
  latest: number;
}

/**
 * Tells messages that are new from old and repeated ones: by the time that they carry, and by a nonce as long as that
 * time is good. Messages whose nonce is forgotten are older than `#floor`, so no jump of the clock brings them back.
 */
export class Freshness {
  readonly now: () => number;
  readonly #clock: Clock;
  readonly #store: NonceStore | undefined;
  readonly #maxNonces: number;
  #timeout: number;
  #nonceTimeout: number;
  #current = generation();
  #previous = generation();
  #began: number;
  #floor = 0;

  constructor(options: FreshnessOptions) {
    const { maxNonces = 65_536, timeout = 60_000, nonceTimeout = 120_000 } = options;
    this.now = options.now ?? Date.now;
    this.#clock = options.clock ?? systemClock;
    this.#store = options.nonceStore;
    this.#maxNonces = positive("maxNonces", maxNonces);
    this.#timeout = positive("timeout", timeout);
    this.#nonceTimeout = positive("nonceTimeout", nonceTimeout);
    this.#began = this.#clock.now();
  }

  set timeout(ms: number) {
    this.#timeout = positive("timeout", ms);
  }

  set nonceTimeout(ms: number) {
    this.#nonceTimeout = positive("nonceTimeout", ms);
  }

  /** Nonces that are remembered in memory. */
  get size(): number {
    const counts = [this.#current, this.#previous].flatMap(({ nonces }) => [...nonces.values()]);
    return counts.reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether a message of that time may be new. */
  inTime(time: number): boolean {
    this.#turn();
    return time > this.#floor && Math.abs(this.now() - time) <= this.#timeout;
  }

  /** Remembers a message that is genuine and in time; false when it was here before, or there is no room to know. */
  admit(keyId: string, random: Uint8Array, time: number): Awaitable<boolean> {
    this.#current.latest = Math.max(this.#current.latest, time);
    if (this.#store !== undefined) return this.#store.add(`${keyId} ${hex(random)}`, this.#ttl);
    const nonce = Buffer.from(random.subarray(0, NONCE_BYTES)).toString("latin1");
    const known = this.#current.nonces.get(keyId) ?? new Set();
    if (known.has(nonce) || this.#previous.nonces.get(keyId)?.has(nonce)) return false;
    if (known.size >= this.#maxNonces) return false;
    this.#current.nonces.set(keyId, known.add(nonce));
    return true;
  }

  get #ttl(): number {
    return Math.max(this.#nonceTimeout, 2 * this.#timeout);
  }

  /** Forgets the generation before the last when a nonce time has gone by. */
  #turn(): void {
    const now = this.#clock.now();
    const passed = now - this.#began;
    if (passed < this.#ttl) return;
    this.#floor = Math.max(this.#floor, this.#previous.latest);
    this.#previous = this.#current;
    if (passed >= 2 * this.#ttl) {
      this.#floor = Math.max(this.#floor, this.#previous.latest);
      this.#previous = generation();
    }
    this.#current = generation();
    this.#began = now;
  }
}

/** Checks an option that is a positive whole number. Throws a RangeError. */
export function positive(name: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  const message = `${name} must be a positive whole number, not ${given(value)}`;
  throw Object.assign(new RangeError(message), { code: "ERR_RAP_CRYPTO" });
}

function generation(): Generation {
  return { nonces: new Map(), latest: 0 };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
