import { CODES, type Code, codeFromNumber } from "./code";
import type { Codec } from "./codec";
import { RapError, type RapErrorInit } from "./error";
import { ResetFlag } from "./frame";
import { NO_BYTES } from "./framing";
import { decodeMetadata } from "./metadata";
import { blockEnd, metadataBlock, PayloadError } from "./payload";

/** What of an error travels: a `RapError` has it all. */
export type ErrorWords = Pick<
  RapError,
  "code" | "message" | "reason" | "retryAfterMs" | "data" | "details" | "metadata" | "maybeExecuted"
>;

/**
 * A RESET's payload: `u8 code · u8 flags · [metadata block] · [message, reason, retryAfterMs, data, details]`, the
 * last encoded by the connection's codec and left out when there is nothing to say.
 *
 * Data that cannot be sent, or is over 48 KiB, is left out rather than losing the error.
 */
export function encodeError(error: ErrorWords, codec: Codec): Uint8Array {
  const metadata = error.metadata.size > 0 ? metadataBlock(error.metadata) : NO_BYTES;
  const body = encodeBody(error, codec);
  const bytes = new Uint8Array(2 + metadata.length + body.length);
  bytes[0] = CODES[error.code];
  bytes[1] = (error.maybeExecuted ? 0 : ResetFlag.NEVER_PROCESSED) | (metadata.length > 0 ? ResetFlag.METADATA : 0);
  bytes.set(metadata, 2);
  bytes.set(body, 2 + metadata.length);
  return bytes;
}

/** An error travels in one frame, so its body is bounded: what does not fit is left out, data before words. */
const MAX_BODY_BYTES = 48 * 1024;
const MAX_MESSAGE_LENGTH = 4 * 1024;

function encodeBody(error: ErrorWords, codec: Codec): Uint8Array {
  const { message, reason, retryAfterMs, data, details } = error;
  const whole = encoded([message, reason, retryAfterMs, data, details], codec);
  if (whole !== undefined) return whole;
  const words = wellFormed(message.slice(0, MAX_MESSAGE_LENGTH));
  return encoded([words, reason, retryAfterMs], codec) ?? encoded([words], codec) ?? NO_BYTES;
}

/** undefined for what cannot be sent, or is too large. */
function encoded(body: readonly unknown[], codec: Codec): Uint8Array | undefined {
  try {
    const bytes = codec.encode(body, "error");
    return bytes.length <= MAX_BODY_BYTES ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Reads a RESET's payload, as an error without a stack. Throws PayloadError or CodecError. */
export function decodeError(bytes: Uint8Array, start: number, end: number, codec: Codec): RapError {
  if (end - start < 2) throw new PayloadError("RESET is cut short");
  const code = codeFromNumber(bytes[start]!);
  const flags = bytes[start + 1]!;
  const hasMetadata = (flags & ResetFlag.METADATA) !== 0;
  const at = hasMetadata ? blockEnd(bytes, start + 2, end) : start + 2;
  const body: unknown = at < end ? codec.decode(bytes, at, end, false) : [];
  if (!Array.isArray(body)) throw new PayloadError("RESET's body is not an array");
  const [message, reason, retryAfterMs, data, details] = body as unknown[];
  return peersError(code, typeof message === "string" ? message : undefined, {
    reason: typeof reason === "string" ? reason : undefined,
    retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined,
    data,
    details: Array.isArray(details) ? details : [],
    metadata: hasMetadata ? decodeMetadata(bytes, start + 4, at) : undefined,
    origin: "remote",
    maybeExecuted: (flags & ResetFlag.NEVER_PROCESSED) === 0,
  });
}

/**
 * An error of the other side, without a stack, which would cost five times as much as all else and lead from the socket to
 * here, to no call.
 */
export function peersError(code: Code, message: string | undefined, init: RapErrorInit): RapError {
  const { stackTraceLimit } = Error;
  // Not by `=`, which throws where a program froze what is built in.
  Reflect.set(Error, "stackTraceLimit", 0);
  try {
    return new RapError(code, message, init);
  } finally {
    Reflect.set(Error, "stackTraceLimit", stackTraceLimit);
  }
}

/** A message with a lone surrogate still gets through, with the surrogate replaced. */
function wellFormed(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}
