import type { Logger } from "@rap/core";
import type { Bucket } from "@rap/transport";

/** The same logger, but one that throws is no reason to fail a call, a stop or the process. */
export function guardedLogger(logger: Logger): Logger {
  const guarded = (level: "debug" | "info" | "warn" | "error") => (details: object, message?: string) => {
    try {
      logger[level](details, message);
    } catch {
      // There is nobody to tell.
    }
  };
  return {
    debug: guarded("debug"),
    info: guarded("info"),
    warn: guarded("warn"),
    error: guarded("error"),
    ...(logger.child !== undefined && { child: (details: object) => guardedLogger(logger.child!(details)) }),
  };
}

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
    logger[level](line, message);
  };
  return { debug: limited("debug"), info: limited("info"), warn: limited("warn"), error: limited("error") };
}
