import type { ConnectionLimit, GoawayCode } from "@rap/protocol";

/** What a peer did that no peer may do. Ends the connection. */
export class Violation extends Error {
  constructor(
    readonly code: GoawayCode,
    message: string,
    readonly limit?: ConnectionLimit,
  ) {
    super(message);
  }
}
