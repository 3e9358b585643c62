import {
  type ConnectionLimit,
  FramingError,
  GoawayCode,
  goawayName,
  messageOf,
  PayloadError,
  RapError,
} from "@rap/protocol";
import { Violation } from "./violation";

/** The error of calls whose connection is over; `code` and `reason` are those of a goaway, `what` says whose. */
export function lost(code: GoawayCode, reason: string, cause?: Error, what = "the connection was closed"): RapError {
  const name = code === GoawayCode.NO_ERROR ? "" : ` (${goawayName(code)})`;
  return new RapError("UNAVAILABLE", `${what}${name}: ${reason}`, {
    origin: "transport",
    reason: code === GoawayCode.NO_ERROR ? undefined : goawayName(code),
    ...(cause !== undefined && { cause }),
  });
}

/** What to tell a peer that sent what made `error`; INTERNAL where the fault is ours. */
export function faultOf(error: unknown): { code: GoawayCode; reason: string; limit?: ConnectionLimit | undefined } {
  const message = messageOf(error);
  if (error instanceof Violation) return { code: error.code, reason: message, limit: error.limit };
  if (error instanceof FramingError) {
    const code = error.problem === "PREAMBLE" ? GoawayCode.HANDSHAKE_FAILED : GoawayCode.FRAME_TOO_LARGE;
    return { code, reason: message };
  }
  const { name, code, stack } = (error ?? {}) as { name?: unknown; code?: unknown; stack?: unknown };
  if (error instanceof PayloadError || code === "ERR_RAP_METADATA") {
    return { code: GoawayCode.PROTOCOL_ERROR, reason: message };
  }
  if (name === "CodecError") {
    return { code: GoawayCode.PROTOCOL_ERROR, reason: `an error that cannot be read: ${message}` };
  }
  return { code: GoawayCode.INTERNAL, reason: `a fault of rap: ${String(stack ?? error)}` };
}
