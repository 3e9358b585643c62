import { messageOf } from "@rap/protocol";

/** Makes a warning of the process of something that went wrong where nobody can be told. Never throws. */
export function warn(thrown: unknown, detail?: string): void {
  const options = detail === undefined ? {} : { detail };
  try {
    process.emitWarning(thrown as Error, options);
  } catch {
    // Node takes nothing but text and errors, and those of its own realm only.
    process.emitWarning(messageOf(thrown), options);
  }
}
