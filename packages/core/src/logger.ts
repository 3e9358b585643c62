import { types } from "node:util";
import { LIMITS } from "@rap/protocol";
import { checkOptions } from "./option-names";
import { oneOf } from "./option-values";

/** Where a client or server writes its log: any logger of pino's shape, an object with what is known, then a text. */
export interface Logger {
  debug(details: object, message?: string): void;
  info(details: object, message?: string): void;
  warn(details: object, message?: string): void;
  error(details: object, message?: string): void;
  /** A logger that adds `details` to every line. */
  child?(details: object): Logger;
}

/** The least important lines that are still written. */
export type LogLevel = "silent" | "error" | "warn" | "info" | "debug";

export interface LoggerOptions {
  /** Default: the environment variable `RAP_LOG_LEVEL`, else `"warn"`. */
  level?: LogLevel;
  /** Takes one line, line feed included. Default: standard error. */
  write?: (line: string) => void;
  /** The wall clock, for the lines' `time`. */
  now?: () => Date;
}

/**
 * A logger that writes warnings and errors to standard error: one line of JSON each, with `time`, `level`, `msg` and
 * the details. It never throws, whatever it is given to write. Strings are cut at 256 characters, and what could forge a
 * line or command a terminal is escaped. Throws a TypeError for an option that does not exist or cannot be.
 */
export function defaultLogger(options: LoggerOptions = {}): Logger {
  checkOptions("defaultLogger()", options, { level: oneOf(...LEVELS), write: "function", now: "function" });
  const { level = levelFromEnvironment(), write = toStandardError, now = () => new Date() } = options;
  return loggerOf(LEVELS.indexOf(level), {}, (line) => write(line), now);
}

const LEVELS: readonly string[] = ["silent", "error", "warn", "info", "debug"] satisfies LogLevel[];

function levelFromEnvironment(): LogLevel {
  const level = process.env.RAP_LOG_LEVEL?.toLowerCase() ?? "";
  return LEVELS.includes(level) ? (level as LogLevel) : "warn";
}

function loggerOf(most: number, bound: object, write: (line: string) => void, now: () => Date): Logger {
  const at = (level: LogLevel) => {
    if (LEVELS.indexOf(level) > most) return () => {};
    return (details: object, message?: string) => {
      try {
        const head = { time: now().toISOString(), level, ...(message !== undefined && { msg: message }) };
        write(line(head, bound, details));
      } catch {
        // A line that cannot be written is no reason to fail a call.
      }
    };
  };
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    child: (details) => loggerOf(most, { ...bound, ...(printable(details) as object) }, write, now),
  };
}

function line(head: object, bound: object, details: unknown): string {
  const given = printable(isError(details) ? { err: details } : details);
  const fields = typeof given !== "object" || Array.isArray(given) ? { details: given } : given;
  const first = printable(head) as object;
  // `first` once more: it stands first on the line, and no detail may replace it.
  return `${safe(JSON.stringify({ ...first, ...bound, ...fields, ...first }))}\n`;
}

const MAX_STRING = LIMITS.logStringLength;
const MAX_STACK = 4_096;
const MAX_ENTRIES = 32;
const MAX_DEPTH = 4;

/** A value as JSON can hold it: bounded in every direction, and read without trust. */
function printable(value: unknown, depth = 0): unknown {
  try {
    if (typeof value === "string") return cut(value);
    if (typeof value === "bigint") return `${cut(String(value))}n`;
    if (typeof value === "function" || typeof value === "symbol") return cut(`[${typeof value} ${nameOf(value)}]`);
    if (typeof value !== "object" || value === null) return Number.isNaN(value) ? "NaN" : value;
    if (depth === MAX_DEPTH) return Array.isArray(value) ? "[array]" : "[object]";
    if (isError(value)) return printableError(value, depth);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "[invalid date]" : value.toISOString();
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (value instanceof Map || value instanceof Set) return `[${value.constructor.name} of ${value.size}]`;
    if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((item) => printable(item, depth + 1));
    return printableObject(value, depth);
  } catch {
    return "[unreadable]";
  }
}

function printableObject(value: object, depth: number): object {
  const fields: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value).slice(0, MAX_ENTRIES)) {
    let field: unknown = "[unreadable]";
    try {
      field = printable((value as Record<string, unknown>)[key], depth + 1);
    } catch {
      // A getter that throws costs its own field only.
    }
    fields[cut(key)] = field;
  }
  return fields;
}

/** Not the `data` of a `RapError`: payloads are nothing for a log. */
function printableError(error: Error & { code?: unknown; reason?: unknown; errors?: unknown }, depth: number): object {
  const { code, reason, errors, cause } = error;
  const stack = String(error.stack);
  return {
    type: cut(String(error.name)),
    message: cut(String(error.message)),
    ...(code !== undefined && { code: printable(code, depth + 1) }),
    ...(reason !== undefined && { reason: printable(reason, depth + 1) }),
    stack: stack.length > MAX_STACK ? `${stack.slice(0, MAX_STACK)}…` : stack,
    ...(cause !== undefined && { cause: printable(cause, depth + 1) }),
    ...(errors !== undefined && { errors: printable(errors, depth + 1) }),
  };
}

/** Errors of other realms too, such as Node's own when run under Jest. A proxy may throw when it is asked. */
function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || types.isNativeError(value);
  } catch {
    return false;
  }
}

function nameOf(value: symbol | { name?: unknown }): string {
  return String(typeof value === "symbol" ? value.description : value.name);
}

function cut(text: string): string {
  return text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}…` : text;
}

/**
 * What JSON leaves as it is but a terminal or a log reader may obey: DEL and the C1 controls, the line separators, and
 * the characters that turn the direction of text. As JSON escapes, so the line still says what was there.
 */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function safe(json: string): string {
  return json.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Where standard error is closed, the `error` event of it must not end the process. */
function toStandardError(text: string): void {
  const { stderr } = process;
  if (stderr.listenerCount("error") === 0) stderr.once("error", ignore);
  stderr.write(text, (error) => {
    // After a failure the event is yet to come.
    if (!error) stderr.removeListener("error", ignore);
  });
}

function ignore(): void {}
