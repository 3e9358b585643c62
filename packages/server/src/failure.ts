import type { Logger } from "@rap/core";
import { CodecError, messageOf, type Random, RapError, randomId } from "@rap/protocol";

export interface FailureOptions {
  logger: Logger;
  random: Random;
  /** Sends message and stack of any error to the caller: for development only. */
  exposeErrors: boolean;
}

/**
 * What a caller learns of an error that a handler threw. A RapError travels as it is. Anything else is nobody's
 * business: the caller gets `UNKNOWN` (or `INTERNAL` for a fault of ours) with a random id, and the whole error goes
 * to the log under that id.
 */
export function failureOf(error: unknown, method: string, options: FailureOptions): RapError {
  // The handler ran, whatever an error that it passed on from another call says of that one.
  if (RapError.is(error)) return error.maybeExecuted ? error : ran(error);
  const internal = CodecError.is(error);
  const errorId = randomId(options.random, 8);
  options.logger.error({ err: error, errorId, method }, `${method} failed`);
  const code = internal ? "INTERNAL" : "UNKNOWN";
  const message = internal ? `the result of ${method} cannot be sent: ${error.message}` : `${method} failed`;
  if (!options.exposeErrors) return new RapError(code, `${message} (error id ${errorId})`, { details: [{ errorId }] });
  return new RapError(code, internal ? message : messageOf(error), {
    details: [{ errorId, stack: stackOf(error) }],
  });
}

function ran(error: RapError): RapError {
  const { message, reason, data, details, retryAfterMs, metadata } = error;
  return new RapError(error.code, message, { reason, data, details, retryAfterMs, metadata, cause: error });
}

function stackOf(error: unknown): string | undefined {
  try {
    return error instanceof Error ? String(error.stack) : undefined;
  } catch {
    return undefined;
  }
}
