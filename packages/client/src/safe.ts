import { RapError } from "@rap/protocol";

/**
 * A promise's outcome as a value: never throws for a `RapError`, and lets any other error through. Rejects with a TypeError
 * (`ERR_RAP_CALL`) for a function, which was to be called.
 */
export async function safe<T>(promise: Promise<T>): Promise<{ ok: true; value: T } | { ok: false; error: RapError }> {
  if (typeof promise === "function") {
    const message = "safe() takes a promise, safe(fn(…)), not a function";
    throw Object.assign(new TypeError(message), { code: "ERR_RAP_CALL" });
  }
  try {
    return { ok: true, value: await promise };
  } catch (error) {
    if (RapError.is(error)) return { ok: false, error };
    throw error;
  }
}
