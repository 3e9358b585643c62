import type { Chance } from "./chance";

/** How bytes come out at the end of a road: as they were sent, in parts, or a few at a time. */
export type Chunking = "whole" | "parts" | "dust";

/** The way between two machines, which all their connections take. */
export class Road {
  readonly chunking: Chunking;
  readonly #chance: Chance;
  readonly #latency: number;
  readonly #jitter: number;
  /** Nothing gets through before. */
  clearAt = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
    this.#latency = chance.size(1, 40) - 0.5;
    this.#jitter = chance.oneOf([0, 0.2, 1, 3]) * this.#latency;
    this.chunking = chance.once(0.7) ? "whole" : chance.once(0.6) ? "parts" : "dust";
  }

  /** Milliseconds that something needs that leaves now. */
  transit(): number {
    return this.#latency + this.#chance.float() * this.#jitter;
  }

  /** How many of the next bytes come out together. */
  piece(bytes: number): number {
    if (this.chunking === "whole") return bytes;
    return this.chunking === "parts" ? this.#chance.integer(1, bytes) : this.#chance.integer(1, 9);
  }
}
