import { type Codec, encodeError, RapError } from "@rap/protocol";

/** The reason of a call that was refused though the peer was told the limit. */
export const REFUSED = "REFUSED";

/**
 * Why calls are refused. One of them may stand for all calls beyond a limit: an error and its encoding for each would
 * make a refused call cost more than one that runs.
 */
export class Refusal {
  readonly error: RapError;
  #codec: Codec | undefined;
  #encoded: Uint8Array | undefined;

  constructor(error: RapError) {
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

export const NO_CALLS = new Refusal(
  new RapError("UNIMPLEMENTED", "this side takes no calls", { maybeExecuted: false }),
);
export const SHUTTING_DOWN = new Refusal(
  new RapError("UNAVAILABLE", "the server is shutting down", { maybeExecuted: false }),
);
