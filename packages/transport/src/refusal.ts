import { type Code, type Codec, type ErrorWords, encodeError, Metadata } from "@rap/protocol";

/** The reason of a call that was refused though the peer was told the limit. */
export const REFUSED = "REFUSED";

/**
 * Why calls are refused. One of them may stand for all calls beyond a limit: an error and its encoding for each would
 * make a refused call cost more than one that runs.
 */
export class Refusal {
  readonly error: ErrorWords;
  #codec: Codec | undefined;
  #encoded: Uint8Array | undefined;

  constructor(error: ErrorWords) {
    this.error = error;
  }

  /** The payload of the RESET that says so. */
  encoded(codec: Codec): Uint8Array {
    if (this.#encoded === undefined || this.#codec !== codec) {
      this.#codec = codec;
      this.#encoded = encodeError(this.error, codec);
    }
    return this.#encoded;
  }
}

const NO_METADATA = new Metadata();

/** The refusal of a call that never ran. There is no Error to it: to take a stack costs more than a call that runs. */
export function refusal(code: Code, message: string, reason?: string, retryAfterMs?: number): Refusal {
  const rest = { data: undefined, details: [], metadata: NO_METADATA, maybeExecuted: false };
  return new Refusal({ code, message, reason, retryAfterMs, ...rest });
}

export const NO_CALLS = refusal("UNIMPLEMENTED", "this side takes no calls");
export const SHUTTING_DOWN = refusal("UNAVAILABLE", "the server is shutting down");
