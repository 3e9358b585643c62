import {
  checkArguments,
  checkMethodOptions,
  contractOf,
  isChannel,
  type Logger,
  type MethodOptions,
  type Token,
} from "@rap/core";
import { type AnyFn, type ErrorDef, LIMITS, RapError } from "@rap/protocol";
import { parameterNames } from "./parameter-names";
import { type WorkerTask, workerTask } from "./worker";

type Schema = NonNullable<MethodOptions["output"]>;

/** A registered function, with all that calls need worked out. Frozen. */
export interface Method {
  /** `group/name`: what callers ask for. */
  readonly target: string;
  readonly group: string;
  readonly name: string;
  readonly kind: "function" | "channel";
  /** Whether it is known to stream. false says nothing: compiled to an old target, an async generator is a function. */
  readonly streams: boolean;
  /** For loopback peers only. */
  readonly private: boolean;
  readonly idempotent: boolean;
  /** Milliseconds; undefined: the server's limits hold. */
  readonly timeout: number | undefined;
  readonly maxTimeout: number | undefined;
  readonly params: readonly string[] | undefined;
  readonly contract: {
    readonly input: readonly Schema[] | undefined;
    readonly output: Schema | undefined;
  };
  readonly errors: Readonly<Record<string, ErrorDef>> | undefined;
  readonly summary: string | undefined;
  readonly doc: string | undefined;
  readonly deprecated: boolean | string;
  /**
   * Turns what a caller sent into the arguments; see `checkArguments`, whose errors it has. Not needed for a list when
   * `checked` is false. Names that are not declared are those of the function's text.
   */
  readonly bind: (args: unknown, streamIndex: number) => unknown[] | Promise<unknown[]>;
  /** Whether there are schemas for the arguments. */
  readonly checked: boolean;
  /**
   * Checks a result, or one item of a stream; a promise only if the schema is asynchronous. Throws (or rejects with)
   * `INTERNAL` after it has logged why. undefined without `output`.
   */
  readonly checkResult: ((value: unknown) => unknown) | undefined;
  /** Set if calls go to the worker pool instead of `call`. */
  readonly worker: WorkerTask | undefined;
  readonly call: AnyFn;
}

/** One function to register. */
export interface Registration {
  readonly fn: AnyFn;
  readonly kind: Method["kind"];
  readonly options: MethodOptions;
  /** Name for when neither options nor contract have one. Default: the function's own. */
  readonly key?: string;
  /** Contract of a function that has none of its own. */
  readonly contract?: Readonly<MethodOptions> | undefined;
  /** The server's own, in one of the groups that are reserved for it. */
  readonly own?: boolean | undefined;
}

/** The functions of a server. Default: an empty `Registry` of its own. */
export const REGISTRY: Token<Registry> = Symbol.for("rap.registry");

/** The functions of a server, by group and name. A function and a channel may share both. */
export class Registry {
  readonly #logger: Logger;
  readonly #methods = new Map<string, { readonly method: Method; readonly registration: Registration }>();
  #version = 0;
  #warned = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Grows whenever something is registered or replaced. */
  get version(): number {
    return this.#version;
  }

  /**
   * Registers a function, or all functions of a record under their keys; one that `channel()` marked is a channel.
   * Options win over the contract that `rpc()` attached, and a `name` over the key. All are registered or none.
   *
   * @throws TypeError with code `ERR_RAP_REGISTER` for what is no function or cannot be called, and for a name that is
   * missing, malformed or taken, or a group that is the server's own; `ERR_RAP_OPTION` for an option that does not exist.
   */
  register(fns: AnyFn | Readonly<Record<string, AnyFn>>, options: MethodOptions = {}): void {
    if (typeof fns === "function") {
      this.add([{ fn: fns, kind: kindOf(fns), options }]);
      return;
    }
    if (typeof fns !== "object" || fns === null || Array.isArray(fns)) {
      throw registerError(`a function or a record of functions is expected, not ${describe(fns)}`);
    }
    if (options.name !== undefined) throw registerError("a name is for one function, not for a record of them");
    const entries = Object.entries(fns);
    if (entries.length === 0) {
      throw registerError("the record has no functions of its own (for the methods of a class use registerService)");
    }
    this.add(entries.map(([key, fn]) => ({ fn, kind: kindOf(fn), options, key })));
  }

  /** Registers functions of the server itself, in a group (`rap.…`, `registry`) that is refused to everybody else. */
  registerOwn(fns: Readonly<Record<string, AnyFn>>, options: Pick<MethodOptions, "group" | "private">): void {
    this.add(Object.entries(fns).map(([key, fn]) => ({ fn, kind: "function", options, key, own: true })));
  }

  /** Registers a function of one `Channel`. Options, precedence and errors are those of `register`. */
  registerChannel(fn: AnyFn, options: MethodOptions = {}): void {
    this.add([{ fn, kind: "channel", options }]);
  }

  /** Registers a list, all or none. Errors are those of `register`; that of a taken name has `taken: true`. */
  add(registrations: readonly Registration[]): readonly Method[] {
    const added = new Map<string, { method: Method; registration: Registration }>();
    for (const registration of registrations) {
      const method = compile(registration, this.#logger);
      const id = idOf(method.kind, method.target);
      if (this.#methods.has(id) || added.has(id)) {
        const { kind, name, group } = method;
        const message = `there is a ${kind} "${name}" in group "${group}" already: give one of them another name`;
        throw Object.assign(registerError(message), { taken: true });
      }
      added.set(id, { method, registration });
    }
    for (const [id, entry] of added) this.#methods.set(id, entry);
    this.#version++;
    for (const registration of registrations) this.#warnOfMangledName(registration);
    return [...added.values()].map(({ method }) => method);
  }

  /**
   * Puts another function into the place of a registered one: same name, kind and privacy, and the options that it was
   * registered with unless `changes` says otherwise; its contract too, unless the new function has its own. Calls that
   * run end with the old one. Errors are those of `register`.
   */
  replace({ kind, target, group, name, private: hidden }: Method, fn: AnyFn, changes: MethodOptions = {}): Method {
    const id = idOf(kind, target);
    if (kind === "function" && isChannel(fn))
      throw registerError(`${target} is a function, and not to become a channel`);
    const old = this.#methods.get(id)!.registration;
    const registration = {
      fn,
      kind,
      options: { ...old.options, ...defined(changes), group, name, private: hidden },
      contract: contractOf(old.fn) ?? old.contract,
      own: old.own,
    };
    const method = compile(registration, this.#logger);
    this.#methods.set(id, { method, registration });
    this.#version++;
    return method;
  }

  /** The function (or channel) of a target, `group/name`. */
  find(target: string, kind: Method["kind"] = "function"): Method | undefined {
    return this.#methods.get(idOf(kind, target))?.method;
  }

  /** Everything that is registered, in that order. */
  list(): readonly Method[] {
    return Array.from(this.#methods.values(), ({ method }) => method);
  }

  #warnOfMangledName({ fn, options, key }: Registration): void {
    if (this.#warned || key !== undefined || fn.name.length !== 1) return;
    if ((options.name ?? contractOf(fn)?.name) !== undefined) return;
    this.#warned = true;
    this.#logger.warn(
      { name: fn.name },
      `a function was registered as "${fn.name}": if a minifier made that name, register({ name: fn }) keeps the real one`,
    );
  }
}

function compile({ fn, kind, options, key, contract, own }: Registration, logger: Logger): Method {
  if (typeof fn !== "function") {
    throw registerError(`${key === undefined ? "what is registered" : `"${key}"`} is ${describe(fn)}, not a function`);
  }
  const attached = contractOf(fn) ?? contract;
  checkMethodOptions("register()", options);
  const settings: MethodOptions = { ...attached, ...defined(options) };
  const group = settings.group ?? "default";
  const name = settings.name ?? key ?? fn.name;
  checkGroup(group);
  if (isReserved(group) && !own) throw registerError(`the group "${group}" is the server's own: choose another`);
  checkName(name, group);
  const target = `${group}/${name}`;
  checkCallable(fn, kind, target);
  checkSettings(settings, target);
  const { input, output, params } = settings;
  return Object.freeze<Method>({
    target,
    group,
    name,
    kind,
    streams: kind === "function" && tagOf(fn) === "AsyncGeneratorFunction",
    private: settings.private ?? false,
    idempotent: settings.idempotent ?? false,
    timeout: settings.timeout,
    maxTimeout: settings.maxTimeout,
    params,
    contract: Object.freeze({ input, output }),
    errors: settings.errors,
    summary: settings.summary,
    doc: settings.doc,
    deprecated: settings.deprecated ?? false,
    bind: (args, streamIndex) => {
      const names = params ?? (Array.isArray(args) ? undefined : parameterNames(fn));
      return checkArguments(input, names, args, streamIndex);
    },
    checked: input !== undefined,
    checkResult: output && ((value) => checkResult(output, value, target, logger)),
    worker: settings.worker ? asRegisterError(target, () => workerTask(fn, kind, settings.worker!)) : undefined,
    call: fn,
  });
}

/** The result as its schema gives it. What is wrong with it is ours to know: the caller is told nothing of it. */
function checkResult(schema: Schema, value: unknown, target: string, logger: Logger): unknown {
  const accept = (result: Awaited<ReturnType<Schema["~standard"]["validate"]>>): unknown => {
    if (result.issues === undefined) return result.value;
    const issues = result.issues.slice(0, 16).map(({ path = [], message }) => {
      const keys = Array.from(path, (segment) => String(typeof segment === "object" ? segment.key : segment));
      return { path: keys.join("."), message };
    });
    logger.error({ method: target, issues }, `a result of ${target} does not match its output schema`);
    throw new RapError("INTERNAL", `the result of ${target} does not match its schema`);
  };
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(accept) : accept(result);
}

const NAME = /^[\w.$/-]+$/;

/** Whether a group is the server's own: nobody else registers functions there. */
export function isReserved(group: string): boolean {
  return group === "registry" || group.startsWith("rap.");
}

function checkGroup(group: unknown): void {
  if (typeof group !== "string" || !NAME.test(group) || group.includes("/") || group.length > LIMITS.maxNameBytes) {
    throw registerError(`a group is 1 to ${LIMITS.maxNameBytes} of letters, digits and _ . $ - : not ${quote(group)}`);
  }
}

function checkName(name: unknown, group: string): void {
  if (name === "") {
    throw registerError(
      `a function without a name for group "${group}": use register({ name: fn }) or the option name`,
    );
  }
  if (typeof name !== "string" || !NAME.test(name) || name.length > LIMITS.maxNameBytes) {
    const rule = `1 to ${LIMITS.maxNameBytes} of letters, digits and _ . $ / -`;
    throw registerError(`a name is ${rule}: not ${quote(name)}, for group "${group}"; the option name sets another`);
  }
}

function checkCallable(fn: AnyFn, kind: Method["kind"], target: string): void {
  // Of all functions only classes, and built-in constructors, have a prototype that cannot be replaced.
  if (Object.getOwnPropertyDescriptor(fn, "prototype")?.writable === false) {
    throw registerError(`${target} is a class: register its methods with registerService`);
  }
  const tag = tagOf(fn);
  if (tag === "GeneratorFunction") throw registerError(`${target} is a synchronous generator: use async function*`);
  if (kind === "channel" && tag === "AsyncGeneratorFunction") {
    throw registerError(`${target} is an async generator, which cannot be a channel: use register`);
  }
}

/** What the options say together; each for itself was checked where it was given. */
function checkSettings({ input, params }: MethodOptions, target: string): void {
  if (params === undefined) return;
  if (new Set(params).size < params.length) throw registerError(`params of ${target} has a name twice`);
  if (params.length < (input?.length ?? 0)) {
    throw registerError(`${target} has ${input?.length} schemas but names for ${params.length} parameters`);
  }
}

function asRegisterError<T>(target: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw registerError(`${target} cannot run in a worker: ${(error as Error).message}`);
  }
}

function registerError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_REGISTER" });
}

function kindOf(fn: AnyFn): Method["kind"] {
  return isChannel(fn) ? "channel" : "function";
}

function idOf(kind: Method["kind"], target: string): string {
  return `${kind} ${target}`;
}

/** The kind of a function, whichever realm it is of: `""`, `AsyncFunction`, `AsyncGeneratorFunction` … */
function tagOf(fn: AnyFn): string {
  return (fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? "";
}

/** Without what is undefined, so that it does not hide what the contract says. */
export function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : `of type ${typeof value}`;
}

/** A name that somebody gave, for a message: no more of it than the longest name that there may be. */
export function quote(value: unknown): string {
  return JSON.stringify(String(value).slice(0, LIMITS.maxNameBytes));
}
