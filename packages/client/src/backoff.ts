import type { Limits, Random } from "@rap/protocol";

/**
 * How long to wait before each try to connect again: exponential with jitter, capped, as gRPC's connection backoff.
 * The very first wait is anywhere between nothing and the initial one, so that the clients of a server that was
 * restarted do not come back all at once.
 */
export class Backoff {
  readonly #limits: Limits;
  readonly #random: Random;
  #tries = 0;

  constructor(limits: Limits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Milliseconds until the next try. */
  next(): number {
    const { reconnectInitialBackoff, reconnectMultiplier, reconnectMaxBackoff, reconnectJitter } = this.#limits;
    const tries = this.#tries++;
    if (tries === 0) return this.#random.float() * reconnectInitialBackoff;
    const base = Math.min(reconnectInitialBackoff * reconnectMultiplier ** tries, reconnectMaxBackoff);
    return Math.min(base * (1 + reconnectJitter * (2 * this.#random.float() - 1)), reconnectMaxBackoff);
  }

  reset(): void {
    this.#tries = 0;
  }
}
