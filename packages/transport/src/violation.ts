import type { GoawayCode } from "@rap/protocol";

/** What a peer did that no peer may do. Ends the connection. */
export class Violation extends Error {
  constructor(
    readonly code: GoawayCode,
    message: string,
  ) {
    super(message);
  }
}

/** A peer that is not who it must be, or bytes that it did not send. The connection ends without a word to it. */
export class Untrusted extends Error {}
