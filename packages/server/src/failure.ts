import type { Logger } from "@rap/core";
import { CodecError, Metadata, messageOf, type Random, RapError, randomId } from "@rap/protocol";

export interface FailureOptions {
  logger: Logger;
  random: Random;
  /** Sends message and stack of any error to the caller: for development only. */
  exposeErrors: boolean;
}

/**
 * What a caller learns of an error that a handler threw. A RapError travels as it is, unless it tells of a connection of
 * ours: of that one the code travels. Anything else is nobody's business: the caller gets `UNKNOWN` (or `INTERNAL` for a
 * fault of ours). What does not travel goes to the log, under a random id that the caller gets.
 */
export function failureOf(error: unknown, method: string, options: FailureOptions): RapError {
  const own = ownWords(error);
  if (own !== undefined && own.origin !== "transport") return own;
  const internal = CodecError.is(error);
  const errorId = randomId(options.random, 8);
  options.logger.error({ err: error, errorId, method }, `${method} failed`);
  const code = own?.code ?? (internal ? "INTERNAL" : "UNKNOWN");
  const message = internal ? `the result of ${method} cannot be sent: ${error.message}` : `${method} failed`;
  if (!options.exposeErrors) return new RapError(code, `${message} (error id ${errorId})`, { details: [{ errorId }] });
  return new RapError(code, internal ? message : messageOf(error), {
    details: [{ errorId, stack: stackOf(error) }],
  });
}

/** A failure as it is sent: with the trailers of its call, and whether the function may have run. */
export function told(error: RapError, trailers: Metadata | undefined, ran: boolean): RapError {
  const maybeExecuted = ran && error.maybeExecuted;
  if (trailers === undefined && maybeExecuted === error.maybeExecuted) return error;
  const { code, message, reason, data, details, retryAfterMs } = error;
  const metadata = trailers ?? new Metadata();
  for (const [key, value] of error.metadata) metadata.append(key, value);
  return new RapError(code, message, { reason, data, details, retryAfterMs, metadata, maybeExecuted });
}

/** A RapError as its function means it; undefined for one that throws when it is looked at, and for anything else. */
function ownWords(error: unknown): RapError | undefined {
  if (!RapError.is(error)) return undefined;
  try {
    const { message, reason, data, details, retryAfterMs, metadata, origin, maybeExecuted } = error;
    if (maybeExecuted) return error;
    // The handler ran, whatever an error that it passed on from another call says of that one.
    return new RapError(error.code, message, { reason, data, details, retryAfterMs, metadata, origin, cause: error });
  } catch {
    return undefined;
  }
}

function stackOf(error: unknown): string | undefined {
  try {
    return error instanceof Error ? String(error.stack) : undefined;
  } catch {
    return undefined;
  }
}
