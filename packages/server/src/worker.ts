import { availableParallelism } from "node:os";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { deserialize } from "node:v8";
import { Script } from "node:vm";
import { abortError, checkOptions, type MethodOptions, type OptionNames, rpc, wholeNumber } from "@rap/core";
import { type AnyFn, Metadata, type MetadataValue, RapError, type RapErrorInit } from "@rap/protocol";
import type { Piscina } from "piscina";

/** What a thread runs: an exported function of a module, or an expression whose value is one. */
export type WorkerTask =
  | { readonly url: string; readonly name: string; readonly source?: undefined }
  | { readonly source: string; readonly name: string };

/** What a thread answers; see `thread.js`. */
export type Reply = { readonly value: unknown; readonly error?: undefined } | { readonly error: Thrown };

/** What was thrown there: a value that is no error, an error, or a `RapError`. Or there is no clone to send. */
type Thrown =
  | { readonly thrown: unknown }
  | { readonly uncloneable: string }
  | { readonly name: string; readonly message: string; readonly stack?: string }
  | {
      readonly message: string;
      readonly stack?: string;
      readonly rap: RapErrorInit & Pick<RapError, "code">;
      readonly metadata: readonly (readonly [string, MetadataValue])[];
    };

/** How a function looks to those who call it when it runs elsewhere. */
export type Elsewhere<F extends AnyFn> = (...args: Parameters<F>) => Promise<Awaited<ReturnType<F>>>;

/**
 * A function of a module that is loaded in worker threads only: `register({ heavy: worker(new URL("./heavy.js",
 * import.meta.url), "heavy") })`. The module is an absolute path or a `file:` URL of JavaScript that Node runs as it
 * is, ES module or CommonJS; `name` is its export, by default the default one. Arguments and results are cloned, and
 * `context()` is not there. To call the function in this thread import it from its module: this stand-in only throws.
 */
export function worker<F extends AnyFn = AnyFn>(module: string | URL, name = "default"): Elsewhere<F> {
  const url = moduleUrl(module);
  const standIn = () => {
    throw workerError(`${name} of ${url} runs in the worker threads of a server: import it to call it here`);
  };
  // A default export has no name of its own to be registered under.
  Object.defineProperty(standIn, "name", { value: name === "default" ? "" : name });
  return rpc({ worker: { module: url, export: name } }, standIn) as Elsewhere<F>;
}

/**
 * The task of a function that is registered with the option `worker`.
 *
 * @throws TypeError with code `ERR_RAP_WORKER` for what cannot run in a thread: streams, channels, and with `true`
 * functions whose text alone is not a function.
 */
export function workerTask(
  fn: AnyFn,
  kind: "function" | "channel",
  option: NonNullable<MethodOptions["worker"]>,
): WorkerTask {
  if (kind === "channel") throw workerError("a channel lives in the thread of its connection");
  if ((fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === "AsyncGeneratorFunction") {
    throw workerError("a stream lives in the thread of its connection");
  }
  if (typeof option === "object") {
    return { url: moduleUrl(option.module), name: option.export ?? (fn.name || "default") };
  }
  const source = `(${Function.prototype.toString.call(fn)}\n)`;
  try {
    new Script(source);
  } catch {
    throw workerError(
      `${fn.name || "the function"} is native, bound or a method, and its text alone is not a function: ` +
        "write it as a function or an arrow function, or name a module (worker: { module })",
    );
  }
  return { source, name: fn.name };
}

export interface WorkerPoolOptions {
  /** Threads that run at the same time. Default: one per core. */
  maxThreads?: number;
  /** Milliseconds after which a thread without work ends; the last one stays. Default 30 000. */
  idleTimeout?: number;
}

const OPTIONS: OptionNames<WorkerPoolOptions> = { maxThreads: wholeNumber(1), idleTimeout: "wait" };

/**
 * Threads that run functions off the event loop, one task each at a time; further tasks wait. Nothing is started, nor
 * the library behind it loaded, before the first task. Idle threads do not keep the process alive.
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  #threads: Piscina | undefined;
  #closed = false;

  constructor(options: WorkerPoolOptions = {}) {
    checkOptions("workers", options, OPTIONS);
    this.#options = options;
  }

  /**
   * The result of a task: a clone of what the function gave. A `RapError` that it throws is one here too. When `signal`
   * fires, the task is dropped, or the thread that runs it is ended in the middle of what it does.
   *
   * @throws RapError `INVALID_ARGUMENT` for arguments that cannot be cloned, `UNAVAILABLE` once the pool is closed, and
   * what `abortError` says when `signal` fires.
   */
  async run(task: WorkerTask, args: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    if (signal?.aborted) throw abortError(signal, false);
    if (this.#closed) throw closed(false);
    this.#threads ??= startThreads(this.#options);
    let reply: Reply;
    try {
      reply = deserialize((await this.#threads.run({ task, args }, { signal: signal ?? null })) as Uint8Array) as Reply;
    } catch (error) {
      if (signal?.aborted) throw abortError(signal);
      if (this.#closed) throw closed(true);
      if ((error as { name?: unknown } | undefined)?.name !== "DataCloneError") throw error;
      throw new RapError("INVALID_ARGUMENT", `${task.name} runs in a worker thread, where a stream cannot be sent`);
    }
    if (reply.error === undefined) return reply.value;
    throw rebuilt(reply.error, task);
  }

  /** Ends all threads; what waits or runs there fails with `UNAVAILABLE`. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#threads?.destroy();
  }
}

function startThreads({ maxThreads = availableParallelism(), idleTimeout = 30_000 }: WorkerPoolOptions): Piscina {
  // Not at the top: a server without workers never loads it.
  const { Piscina: Threads } = require("piscina") as { Piscina: new (options: object) => Piscina };
  const threads = new Threads({
    // The way to it is the same from src and from dist.
    filename: join(__dirname, "../src/thread.js"),
    name: "run",
    // With none, tasks that wait when the last thread is ended by a signal would wait for ever.
    minThreads: 1,
    maxThreads,
    idleTimeout,
    // A thread that waits in Atomics.wait when an error of an earlier task kills it can neither die nor be ended.
    atomics: "disabled",
  });
  // A thread that dies between two tasks (say of a timer that throws) is replaced; the process must not die of it.
  threads.on("error", () => {});
  return threads;
}

function rebuilt(error: Thrown, task: WorkerTask): unknown {
  if ("thrown" in error) return error.thrown;
  if ("uncloneable" in error) {
    return new TypeError(`the result of ${task.name} cannot be sent from its worker thread: ${error.uncloneable}`);
  }
  const { message, stack } = error;
  if ("rap" in error) {
    const metadata = new Metadata();
    for (const [key, value] of error.metadata) metadata.append(key, value);
    return Object.assign(new RapError(error.rap.code, message, { ...error.rap, metadata }), { stack });
  }
  const { name } = error;
  if (name !== "ReferenceError" || task.source === undefined) return Object.assign(new Error(message), { name, stack });
  return new ReferenceError(
    `${message}: ${task.name} was sent to a worker thread as text (worker: true) and has nothing of the file around ` +
      "it. Pass what it needs as an argument, or put it into a module (worker: { module })",
  );
}

function closed(maybeExecuted: boolean): RapError {
  return new RapError("UNAVAILABLE", "the server is shutting down", { maybeExecuted });
}

function moduleUrl(module: string | URL): string {
  const text = String(module);
  if (text.startsWith("file:")) return text;
  if (typeof module === "string" && isAbsolute(module)) return pathToFileURL(module).href;
  throw workerError(`a module is an absolute path or a file: URL (new URL("./x.js", import.meta.url)), not ${text}`);
}

function workerError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_WORKER" });
}
