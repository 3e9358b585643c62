import { type ConnectionLimit, GoawayCode, type RapError } from "@rap/protocol";

/** Why a connection ended: the limit over which this side ended it, or the name of another reason, or of the peer's. */
export type EndReason = ConnectionLimit | Exclude<keyof typeof GoawayCode, "NO_ERROR" | "IDLE">;

/** How many connections ended, by the reason. A peer that says why it went counts too; one that just went does not. */
export class Ends {
  readonly #counts = new Map<EndReason, number>();

  /** A connection is over, because of a limit of this side if there is one. */
  add(error: RapError | undefined, limit: ConnectionLimit | undefined): void {
    if (limit !== undefined) return this.count(limit);
    const reason = error?.reason;
    // A peer's goaway may have any number.
    if (reason === undefined || !Object.hasOwn(GoawayCode, reason)) return;
    this.count(reason as EndReason);
  }

  /** A connection is over, of which nobody had to be told. */
  count(reason: EndReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  /** Those reasons that there were. */
  counts(): Readonly<Partial<Record<EndReason, number>>> {
    return Object.fromEntries(this.#counts);
  }
}
