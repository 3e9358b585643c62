import { type Code, isCode } from "./code";
import { isMetadata, Metadata, type MetadataInit } from "./metadata";

/** Marks a `RapError` of any copy of this package, in any realm. */
const BRAND: unique symbol = Symbol.for("rap.error") as never;

/** Where an error arose: the far handler, this process, or the connection between (also if no answer came in time). */
export type ErrorOrigin = "remote" | "local" | "transport";

export interface RapErrorInit<D = unknown> {
  /** Application-level name such as `"INSUFFICIENT_FUNDS"`; few distinct values. */
  reason?: string | undefined;
  /** Typed data of the reason; anything the codec can send. */
  data?: D;
  /** Further facts for a person or a tool. */
  details?: readonly unknown[] | undefined;
  /** Milliseconds to wait before another try; -1: do not retry. */
  retryAfterMs?: number | undefined;
  /** Trailers that travel with the error. */
  metadata?: MetadataInit | undefined;
  cause?: unknown;
  /** Default "local". */
  origin?: ErrorOrigin | undefined;
  /** false only where the far side provably never started the handler. Default true. */
  maybeExecuted?: boolean | undefined;
}

/**
 * The one error of rap: everything a call can fail with is a `RapError`, and only a `RapError` that a handler throws
 * crosses the wire. Recognise it with `RapError.is`, which also knows one of another copy of the package.
 */
export class RapError<C extends Code = Code, D = unknown> extends Error {
  readonly code: C;
  readonly reason: string | undefined;
  readonly data: D;
  readonly details: readonly unknown[];
  /** Milliseconds to wait before another try, as the server asks; -1: do not retry; undefined: it did not say. */
  readonly retryAfterMs: number | undefined;
  readonly metadata: Metadata;
  readonly origin: ErrorOrigin;
  /** Whether the handler may have run: false only where it provably never started, so that a retry is safe. */
  readonly maybeExecuted: boolean;

  /** `init` may also be what was caught: a `RapError` gives all that it says, any other error is the cause. */
  constructor(code: C, message?: string, init: RapErrorInit<D> | Error = {}) {
    const given = initOf<D>(init);
    super(message ?? code, "cause" in given ? { cause: given.cause } : undefined);
    if (!isCode(code)) throw Object.assign(new TypeError(`${String(code)} is not a code`), { code: "ERR_RAP_CODE" });
    this.code = code;
    this.reason = given.reason;
    this.data = given.data as D;
    this.details = given.details ?? [];
    this.retryAfterMs = given.retryAfterMs;
    this.metadata = metadataOf(given.metadata);
    this.origin = given.origin ?? "local";
    this.maybeExecuted = given.maybeExecuted ?? true;
  }

  /** The same as `retryAfterMs`. */
  get retryAfter(): number | undefined {
    return this.retryAfterMs;
  }

  /** The opposite of `maybeExecuted`. */
  get neverProcessed(): boolean {
    return !this.maybeExecuted;
  }

  /**
   * Whether a value is a `RapError`, of this or another copy of the package, and (if given) has this code. Never throws,
   * whatever the value does; one that bears the mark without a code that can be read is none.
   */
  static is(value: unknown): value is RapError;
  static is<C extends Code>(value: unknown, code: C): value is RapError<C>;
  static is(value: unknown, code?: Code): boolean {
    try {
      if (typeof value !== "object" || value === null || !(BRAND in value)) return false;
      const { code: own } = value as { code?: unknown };
      return code === undefined ? isCode(own) : own === code;
    } catch {
      return false;
    }
  }

  /**
   * Any thrown value as a `RapError`: itself if it is one, an abort as `CANCELLED`, a `TimeoutError` as
   * `DEADLINE_EXCEEDED`, everything else as `UNKNOWN` with the value as `cause`.
   */
  static from(value: unknown): RapError {
    if (RapError.is(value)) return value;
    const name = nameOf(value);
    if (name === "AbortError") return new RapError("CANCELLED", messageOf(value), { cause: value });
    if (name === "TimeoutError") return new RapError("DEADLINE_EXCEEDED", messageOf(value), { cause: value });
    return new RapError("UNKNOWN", messageOf(value), { cause: value });
  }

  toJSON(): object {
    const { name, code, message, reason, data, details, retryAfterMs, maybeExecuted, origin } = this;
    return { name, code, message, reason, data, details, retryAfterMs, maybeExecuted, origin };
  }
}

Object.defineProperty(RapError.prototype, BRAND, { value: true });
Object.defineProperty(RapError.prototype, "name", { value: "RapError", configurable: true, writable: true });

/** The text of any thrown value; never throws itself, whatever the value does. */
export function messageOf(value: unknown): string {
  try {
    if (isErrorLike(value)) return value.message;
    return typeof value === "string" ? value : `a value of type ${value === null ? "null" : typeof value} was thrown`;
  } catch {
    return "a value that cannot be read was thrown";
  }
}

/**
 * What an error is told beside its message: a record, or an error that was caught. Throws a TypeError (`ERR_RAP_CODE`)
 * for anything else, such as a text.
 */
export function initOf<D>(init: RapErrorInit<D> | Error): RapErrorInit<D> {
  if (typeof init !== "object" || init === null) {
    const message = "what else a RapError says is a record: { cause, data, reason, … }";
    throw Object.assign(new TypeError(message), { code: "ERR_RAP_CODE" });
  }
  return init instanceof Error && !RapError.is(init) ? { cause: init } : (init as RapErrorInit<D>);
}

function metadataOf(init: MetadataInit | undefined): Metadata {
  return init !== undefined && isMetadata(init) ? init : new Metadata(init);
}

function nameOf(value: unknown): string | undefined {
  try {
    return isErrorLike(value) ? value.name : undefined;
  } catch {
    return undefined;
  }
}

/** Not `instanceof`: an error may be of another realm, as every error of Node's is inside a vm context. */
function isErrorLike(value: unknown): value is Error {
  return typeof value === "object" && value !== null && typeof (value as Error).message === "string";
}
