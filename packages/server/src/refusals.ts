import { type Limits, RapError } from "@rap/protocol";
import { REFUSED, Refusal } from "@rap/transport";

/** The limits of calls at one time. */
export type PlaceLimit = "maxInFlight" | "maxChannels" | "maxStreams" | "maxServerInFlight";

/** What is said to calls for which there is no place. A peer that goes too far beyond what it was told has to go. */
export function refusals(limits: Limits): Readonly<Record<PlaceLimit, Refusal>> {
  return {
    maxInFlight: refusal(REFUSED, `this connection has ${limits.maxInFlight} calls in flight`),
    maxChannels: refusal(REFUSED, `this connection has ${limits.maxChannels} channels open`),
    maxStreams: refusal(REFUSED, `this connection has ${limits.maxStreams} streams open`),
    maxServerInFlight: refusal("OVERLOADED", "the server is at its limit of calls"),
  };
}

function refusal(reason: string, why: string): Refusal {
  const error = new RapError("RESOURCE_EXHAUSTED", `refused: ${why}`, {
    reason,
    maybeExecuted: false,
    retryAfterMs: 100,
  });
  return new Refusal(error);
}
