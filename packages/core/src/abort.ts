import { messageOf, RapError } from "@rap/protocol";

/**
 * What a call fails with when a signal fired: `DEADLINE_EXCEEDED` for a timeout, code, words and origin of a
 * `RapError`, else `CANCELLED`; the signal's reason is the `cause`.
 */
export function abortError(signal: AbortSignal, maybeExecuted = true): RapError {
  const { reason } = signal as { reason: unknown };
  const init = { cause: reason, maybeExecuted };
  if (RapError.is(reason)) return new RapError(reason.code, reason.message, { ...init, origin: reason.origin });
  const code = RapError.from(reason).code === "DEADLINE_EXCEEDED" ? "DEADLINE_EXCEEDED" : "CANCELLED";
  return new RapError(code, `the call was aborted: ${messageOf(reason)}`, init);
}

/** What `promise` gives, or a rejection with `abortError` if `signal` fires first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
