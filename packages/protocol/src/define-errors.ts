import type { StandardSchemaV1 } from "@standard-schema/spec";
import { CODES, type Code, isCode } from "./code";
import { initOf, RapError } from "./error";
import { nearest } from "./nearest";
import { isSchema } from "./schema";

/** One typed error: its code and, if it has data, the schema of it. */
export interface ErrorDef {
  code: Code;
  /** Any Standard Schema (zod, valibot, arktype …). */
  data?: StandardSchemaV1;
  /** Default: the error's name. */
  message?: string;
  /** Milliseconds after which a caller may try again. */
  retryAfterMs?: number;
}

/** The data of an error definition, `undefined` when it has none. */
export type ErrorData<E> = E extends { data: infer S extends StandardSchemaV1 }
  ? StandardSchemaV1.InferOutput<S>
  : undefined;

type ErrorArgs<D> = undefined extends D
  ? [data?: D, init?: { message?: string; cause?: unknown }]
  : [data: D, init?: { message?: string; cause?: unknown }];

/** Makes errors of one kind and recognises them, also after they crossed the wire. */
export interface ErrorFactory<K extends string, E extends ErrorDef> {
  (...args: ErrorArgs<ErrorData<E>>): RapError<E["code"], ErrorData<E>> & { reason: K };
  /** Whether a caught value is this error: same reason, same code, and data that its schema accepts. */
  is(value: unknown): value is RapError<E["code"], ErrorData<E>> & { reason: K };
}

export type ErrorFactories<T extends Record<string, ErrorDef>> = {
  readonly [K in keyof T & string]: ErrorFactory<K, T[K]>;
};

/**
 * Typed errors that cross the wire: `defineErrors({ NO_SUCH_ACCOUNT: { code: "NOT_FOUND" } })` gives a factory per
 * name. The server throws `errors.NO_SUCH_ACCOUNT()`, the caller tests `errors.NO_SUCH_ACCOUNT.is(e)`. Throws a
 * TypeError (`ERR_RAP_CODE`) for a code that is none, and whatever else is no definition.
 */
export function defineErrors<const T extends Record<string, ErrorDef>>(definitions: T): ErrorFactories<T> {
  if (typeof definitions !== "object" || definitions === null || Array.isArray(definitions)) {
    throw invalid("errors are a record of definitions by their names");
  }
  const factories: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const reason of Object.keys(definitions)) factories[reason] = factory(reason, definitions[reason]!);
  return Object.freeze(factories) as ErrorFactories<T>;
}

/** Throws a TypeError (`ERR_RAP_CODE`) that says what is wrong with the definition of an error. */
export function checkErrorDef(reason: string, definition: ErrorDef): void {
  if (typeof definition !== "object" || definition === null) {
    throw invalid(`${reason} is defined by a record with a code: { code: "NOT_FOUND" }`);
  }
  for (const name of Object.keys(definition)) {
    // What else is in it may be the program's own; a name that is nearly one of these is not.
    const meant = NAMES.includes(name) ? undefined : nearest(name, NAMES);
    if (meant !== undefined) {
      throw invalid(
        `the definition of ${reason} has no ${JSON.stringify(name.slice(0, 64))}: did you mean "${meant}"?`,
      );
    }
  }
  const { code, data, message, retryAfterMs } = definition;
  if (!isCode(code))
    throw invalid(`${reason}: ${String(code)} is not a code; they are ${Object.keys(CODES).join(", ")}`);
  if (data !== undefined && !isSchema(data)) {
    throw invalid(`${reason}: its data is a Standard Schema (zod, valibot, arktype …)`);
  }
  if (message !== undefined && typeof message !== "string") throw invalid(`${reason}: its message is a text`);
  if (retryAfterMs !== undefined && !(typeof retryAfterMs === "number" && retryAfterMs >= -1)) {
    throw invalid(`${reason}: its retryAfterMs is a number of milliseconds, or -1`);
  }
}

const NAMES: readonly string[] = ["code", "data", "message", "retryAfterMs"] satisfies (keyof ErrorDef)[];

function invalid(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_CODE" });
}

function factory(reason: string, definition: ErrorDef): unknown {
  checkErrorDef(reason, definition);
  const { code, message = reason, retryAfterMs } = definition;
  const make = (data?: unknown, init: { message?: string; cause?: unknown } = {}) => {
    const { cause, message: own } =
      init instanceof Error ? { cause: init, message: undefined } : (initOf(init) as typeof init);
    return new RapError(code, own ?? message, { reason, data, retryAfterMs, ...(cause !== undefined && { cause }) });
  };
  const is = (value: unknown): boolean =>
    RapError.is(value, code) && value.reason === reason && accepts(definition.data, value.data);
  return Object.assign(make, { is });
}

/** A schema that validates asynchronously cannot be asked here: the reason and the code must do. */
function accepts(schema: StandardSchemaV1 | undefined, data: unknown): boolean {
  if (schema === undefined) return true;
  const result = schema["~standard"].validate(data);
  return result instanceof Promise || result.issues === undefined;
}
