import type { Limits } from "@rap/protocol";
import { REFUSED, type Refusal, refusal } from "@rap/transport";

/** The limits of calls at one time. */
export type PlaceLimit = "maxInFlight" | "maxChannels" | "maxStreams" | "maxServerInFlight" | "maxInFlightPerIp";

/** What is said to calls for which there is no place. A peer that goes too far beyond what it was told has to go. */
export function refusals(limits: Limits): Readonly<Record<PlaceLimit, Refusal>> {
  return {
    maxInFlight: full(REFUSED, `this connection has ${limits.maxInFlight} calls in flight`),
    maxChannels: full(REFUSED, `this connection has ${limits.maxChannels} channels open`),
    maxStreams: full(REFUSED, `this connection has ${limits.maxStreams} streams open`),
    maxServerInFlight: full("OVERLOADED", "the server is at its limit of calls"),
    maxInFlightPerIp: full("OVERLOADED", "the server is at its limit of calls of one address"),
  };
}

function full(reason: string, why: string): Refusal {
  return refusal("RESOURCE_EXHAUSTED", `refused: ${why}`, reason, 100);
}
