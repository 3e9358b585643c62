import type { Random } from "@rap/protocol";

/** All that is left to chance in a scenario, drawn from its seed: the same seed makes the same choices. */
export class Chance implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
    // Seeds are small and near to each other; what is drawn of them should not be.
    for (let i = 0; i < 4; i++) this.float();
  }

  /** Another chance, drawn from this one: what one part draws must not change what another does. */
  fork(): Chance {
    return new Chance(Math.floor(this.float() * 2 ** 32));
  }

  /** Mulberry32. */
  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.float() * 256);
  }

  /** A number from `least` up to, but not, `most`. */
  between(least: number, most: number): number {
    return least + this.float() * (most - least);
  }

  /** An integer from `least` to `most`, both included. */
  integer(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1));
  }

  /** true once in `1 / share` times. */
  once(share: number): boolean {
    return this.float() < share;
  }

  oneOf<T>(list: readonly T[]): T {
    return list[Math.floor(this.float() * list.length)]!;
  }

  /** An integer from `least` to `most`, of which small ones are as likely as large ones are wide. */
  size(least: number, most: number): number {
    return Math.floor(least * ((most + 1) / least) ** this.float());
  }
}
