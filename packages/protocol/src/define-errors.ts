import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type Code, isCode } from "./code";
import { RapError } from "./error";

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
 * TypeError (`ERR_RAP_CODE`) for a code that is none, or what is no record.
 */
export function defineErrors<const T extends Record<string, ErrorDef>>(definitions: T): ErrorFactories<T> {
  if (typeof definitions !== "object" || definitions === null) {
    throw Object.assign(new TypeError("errors are a record of definitions by their names"), { code: "ERR_RAP_CODE" });
  }
  const factories: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const reason of Object.keys(definitions)) factories[reason] = factory(reason, definitions[reason]!);
  return Object.freeze(factories) as ErrorFactories<T>;
}

function factory(reason: string, definition: ErrorDef): unknown {
  const { code, message = reason, retryAfterMs } = definition;
  if (!isCode(code))
    throw Object.assign(new TypeError(`${reason}: ${String(code)} is not a code`), { code: "ERR_RAP_CODE" });
  const make = (data?: unknown, init: { message?: string; cause?: unknown } = {}) =>
    new RapError(code, init.message ?? message, {
      reason,
      data,
      retryAfterMs,
      ...("cause" in init && { cause: init.cause }),
    });
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
