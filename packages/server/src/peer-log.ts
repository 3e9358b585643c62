import type { Logger } from "@rap/core";
import type { Bucket } from "@rap/transport";

/** A logger that leaves out what goes beyond `budget`; the next line that is written says how many were left out. */
export function limitedLogger(logger: Logger, budget: Bucket, now: () => number): Logger {
  let dropped = 0;
  const limited = (level: "debug" | "info" | "warn" | "error") => (details: object, message?: string) => {
    if (!budget.take(now())) {
      dropped++;
      return;
    }
    const line = dropped === 0 ? details : { ...details, dropped };
    dropped = 0;
    try {
      logger[level](line, message);
    } catch {
      // A logger that fails is no reason to fail a call, or the process.
    }
  };
  return { debug: limited("debug"), info: limited("info"), warn: limited("warn"), error: limited("error") };
}
