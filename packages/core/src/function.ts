import {
  type AnyFn,
  type Awaitable,
  type Channel,
  checkErrorDef,
  type ErrorDef,
  isSchema,
  messageOf,
  RapError,
} from "@rap/protocol";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkOptions, type OptionNames } from "./option-names";
import { type Check, given, listOf, must, optionError, VALUES } from "./option-values";

/** What is known of a function beside its code: how it is called, checked and documented. */
export interface MethodOptions {
  /** Name that callers use. Default: the key it is registered under, else the function's own name. */
  name?: string;
  /** Default `"default"`. */
  group?: string;
  /** Callable from loopback peers only. Default false. */
  private?: boolean;
  /** One schema per positional argument, of any Standard Schema library. What they give is what the function gets. */
  input?: readonly StandardSchemaV1[];
  /** Schema of the result. A result that does not match is an `INTERNAL` error and stays on the server. */
  output?: StandardSchemaV1;
  /**
   * The parameters' names, in order, for calls with named arguments and for reflection. Default, for calls only: those of
   * the function's own text, if they are plain names; a minifier changes them.
   */
  params?: readonly string[];
  /** The errors that callers should expect, by reason. For reflection. */
  errors?: Record<string, ErrorDef>;
  /** Safe to run twice: allows a retry after the call was sent. Default false. */
  idempotent?: boolean;
  /** Milliseconds that a call may take, unless its caller asks for less. Default: the server's limit. */
  timeout?: number;
  /** Milliseconds that a call may take at most, instead of the server's limit. */
  maxTimeout?: number;
  /**
   * Runs the function in a worker thread, off the event loop. `true` sends the function's own source text there, so
   * it must not use anything of the file around it; `{ module, export }` names a function of a module (absolute path
   * or `file:` URL; `export` defaults to the function's own name). Arguments and results are cloned. Default false.
   */
  worker?: boolean | { module: string | URL; export?: string };
  /** One line for reflection. */
  summary?: string;
  /** Longer text for reflection. */
  doc?: string;
  /** For reflection: `true`, or what to use instead. */
  deprecated?: boolean | string;
}

/** Why one argument was refused: an entry of the `details` of the `INVALID_ARGUMENT` that the caller gets. */
export interface ArgumentIssue {
  /** The parameter's name, or `args[1]` where names are not declared. */
  param: string;
  /** Where in the argument: keys and indices, empty for the argument itself. */
  path: readonly (string | number)[];
  message: string;
}

type Arguments<S extends readonly StandardSchemaV1[]> = {
  -readonly [K in keyof S]: S[K] extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<S[K]> : never;
};

// Symbols of the global registry, so that a function keeps its contract where two copies of this package meet.
const CONTRACT = Symbol.for("rap.contract");
const CHANNEL = Symbol.for("rap.channel");

/**
 * Attaches a contract to a plain function: `rpc({ input: [z.int(), z.int()] }, (a, b) => a + b)`. The function stays
 * what it was and is called directly in tests, without any check. After the arguments that have a schema only
 * streamed ones may follow. A function that has a contract already keeps it: a copy that does the same is returned.
 * Throws a TypeError if `fn` is not a function (`ERR_RAP_REGISTER`), and for an option that does not exist or a value that
 * it cannot have (`ERR_RAP_OPTION`).
 */
export function rpc<
  const I extends readonly StandardSchemaV1[],
  // biome-ignore lint/suspicious/noExplicitAny: functions of any items and any result
  F extends (...args: [...Arguments<I>, ...AsyncIterable<any>[]]) => any,
>(options: MethodOptions & { input: I }, fn: F): F;
export function rpc<F extends AnyFn>(options: MethodOptions & { input?: undefined }, fn: F): F;
export function rpc(options: MethodOptions, fn: AnyFn): AnyFn {
  checkMethodOptions("rpc()", options);
  return mark(fn, CONTRACT, Object.freeze({ ...options }));
}

const schema = must("a Standard Schema (zod, valibot, arktype …)", isSchema);

const limit = must(
  "a positive number of milliseconds",
  (value) => typeof value === "number" && value > 0 && Number.isFinite(value),
);

const errors: Check = (value, what) => {
  VALUES.object(value, what);
  for (const [reason, definition] of Object.entries(value as Record<string, ErrorDef>)) {
    try {
      checkErrorDef(reason, definition);
    } catch (error) {
      throw optionError(`${what}: ${messageOf(error)}`);
    }
  }
};

const worker: Check = (value, what) => {
  if (typeof value === "boolean") return;
  if (typeof value !== "object" || value === null) {
    throw optionError(`${what} is a boolean or { module, export }, not ${given(value)}`);
  }
  checkOptions("worker", value, {
    module: must("a path or a URL", (module) => typeof module === "string" || module instanceof URL),
    export: "name",
  });
};

const METHOD_OPTIONS: OptionNames<MethodOptions> = {
  name: "string",
  group: "string",
  private: "boolean",
  input: listOf(schema, "a list with one Standard Schema per argument"),
  output: schema,
  params: listOf("name", "a list of the names of arguments"),
  errors,
  idempotent: "boolean",
  timeout: limit,
  maxTimeout: limit,
  worker,
  summary: "string",
  doc: "string",
  deprecated: must("a boolean or a text", (value) => typeof value === "boolean" || typeof value === "string"),
};

/**
 * Throws a TypeError (`ERR_RAP_OPTION`) for an option that no function has, or a value that it cannot have; `of` is who
 * was given it.
 */
export function checkMethodOptions(of: string, options: MethodOptions): void {
  checkOptions(of, options, METHOD_OPTIONS);
}

/** The contract that `rpc` attached to a function. */
export function contractOf(fn: AnyFn): Readonly<MethodOptions> | undefined {
  return Object.hasOwn(fn, CONTRACT) ? (fn as { [CONTRACT]?: MethodOptions })[CONTRACT] : undefined;
}

/**
 * Marks a function of one `Channel`, for `register({ echo: channel(fn) })`. The function itself is returned; only a
 * frozen one is copied. Throws a TypeError if `fn` is not a function.
 */
// biome-ignore lint/suspicious/noExplicitAny: a channel of any two types
export function channel<F extends (channel: Channel<never, any>) => Awaitable<void>>(fn: F): F {
  return isChannel(fn) ? fn : mark(fn, CHANNEL, true);
}

/** Whether `channel` marked a function. */
export function isChannel(fn: AnyFn): boolean {
  return typeof fn === "function" && Object.hasOwn(fn, CHANNEL);
}

function mark<F extends AnyFn>(fn: F, key: symbol, value: unknown): F {
  if (typeof fn !== "function") {
    throw Object.assign(new TypeError(`a function is expected, not ${typeof fn}`), { code: "ERR_RAP_REGISTER" });
  }
  const target = Object.hasOwn(fn, key) || !Object.isExtensible(fn) ? copyOf(fn) : fn;
  return Object.defineProperty(target, key, { value });
}

/** Another function object that does the same. Binding keeps the kind: an async generator's copy is one too. */
function copyOf<F extends AnyFn>(fn: F): F {
  const copy = Object.defineProperty(fn.bind(undefined) as F, "name", { value: fn.name, configurable: true });
  for (const key of [CONTRACT, CHANNEL]) {
    const mark = Object.getOwnPropertyDescriptor(fn, key);
    if (mark !== undefined) Object.defineProperty(copy, key, { ...mark, configurable: true });
  }
  return copy;
}

/**
 * The positional arguments that a function is called with: named ones in order, each as its schema gives it. A promise
 * only if a schema is asynchronous. `streamIndex` is the place of a streamed argument (-1: none): it has no value yet
 * and must come right after the arguments that have schemas. Throws (or rejects with) a `RapError` `INVALID_ARGUMENT`
 * whose `details` are `ArgumentIssue`s; an error that a schema itself throws passes through.
 */
export function checkArguments(
  schemas: readonly StandardSchemaV1[] | undefined,
  params: readonly string[] | undefined,
  args: unknown,
  streamIndex = -1,
): unknown[] | Promise<unknown[]> {
  const list = Array.isArray(args) ? args : byPosition(params, args, schemas !== undefined, streamIndex);
  return schemas === undefined ? list : validate(schemas, params, list, streamIndex);
}

function validate(
  schemas: readonly StandardSchemaV1[],
  params: readonly string[] | undefined,
  args: readonly unknown[],
  streamIndex: number,
): unknown[] | Promise<unknown[]> {
  const count = schemas.length;
  const issues: ArgumentIssue[] = [];
  const refuse = (index: number, message: string, path: ArgumentIssue["path"] = []) => {
    if (issues.length < MAX_ISSUES) issues.push({ param: params?.[index] ?? `args[${index}]`, path, message });
  };
  const known = streamIndex === count ? count + 1 : count;
  if (args.length > known)
    refuse(known, `is one too many: ${count} ${count === 1 ? "argument is" : "arguments are"} due`);
  if (streamIndex > count) refuse(streamIndex, "is a stream that nothing expects");

  const checked = args.slice(0, known);
  const from = (start: number): unknown[] | Promise<unknown[]> => {
    for (let index = start; index < count; index++) {
      if (index === streamIndex) {
        refuse(index, "is a stream where a value is due");
        continue;
      }
      const result = schemas[index]!["~standard"].validate(args[index]);
      if (result instanceof Promise) {
        return result.then((settled) => {
          accept(index, settled);
          return from(index + 1);
        });
      }
      accept(index, result);
    }
    if (issues.length > 0) throw invalid(issues);
    return checked;
  };
  const accept = (index: number, result: StandardSchemaV1.Result<unknown>) => {
    if (result.issues === undefined) checked[index] = result.value;
    else if (args[index] === undefined) refuse(index, "is missing");
    else for (const issue of result.issues) refuse(index, issue.message, pathOf(issue));
  };
  return from(0);
}

/** Named arguments in the order of `params`. Absent ones are left to the schemas, if there are any. */
function byPosition(
  params: readonly string[] | undefined,
  args: unknown,
  checkedLater: boolean,
  streamIndex: number,
): unknown[] {
  if (!isRecord(args)) {
    throw new RapError("INVALID_ARGUMENT", "arguments are a list of values, or a record of named ones");
  }
  if (params === undefined) {
    throw new RapError("INVALID_ARGUMENT", "arguments go by position here: no parameter names are declared");
  }
  const issues: ArgumentIssue[] = [];
  for (const name of Object.keys(args)) {
    if (issues.length === MAX_ISSUES) break;
    if (!params.includes(name)) issues.push({ param: cut(name), path: [], message: "is not the name of a parameter" });
  }
  const list = params.map((name, index) => {
    const given = Object.hasOwn(args, name);
    if (!given && !checkedLater && index !== streamIndex) issues.push({ param: name, path: [], message: "is missing" });
    return given ? args[name] : undefined;
  });
  if (issues.length > 0) throw invalid(issues);
  return list;
}

// A hostile argument can be wrong in as many places as it has values.
const MAX_ISSUES = 16;
const MAX_SHOWN = 3;
const MAX_TEXT = 256;

function invalid(issues: readonly ArgumentIssue[]): RapError {
  const shown = issues.slice(0, MAX_SHOWN).map(describe).join("; ");
  const rest = issues.length > MAX_SHOWN ? `; and ${issues.length - MAX_SHOWN} more` : "";
  return new RapError("INVALID_ARGUMENT", shown + rest, { details: issues });
}

function describe({ param, path, message }: ArgumentIssue): string {
  const where = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
  return cut(`${param}${where}${where === "" && message.startsWith("is ") ? "" : ":"} ${message}`);
}

function pathOf({ path = [] }: StandardSchemaV1.Issue): (string | number)[] {
  // Not path.map: arktype's paths are a class of their own, of which map makes another with an entry too many.
  return Array.from(path, (segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    return typeof key === "number" ? key : cut(String(key));
  });
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
