import type { Awaitable } from "@rap/protocol";
import type { Connection, RequestContext } from "./context";
import type { Host } from "./host";
import { checkHooks, loadError } from "./lifecycle";
import { given } from "./option-values";
import { isPromise } from "./processor";

/** What a part of a server may do when it starts and stops. */
export interface Lifecycle {
  /** Before the server listens; one that throws keeps it from starting. */
  onStart?(host: Host): Awaitable<void>;
  /** After the server has stopped, in reverse order; one that throws is logged. */
  onStop?(host: Host): Awaitable<void>;
}

/** A connection that was accepted, before anything was read from it. */
export interface Arrival {
  /** IP address, path of the Unix socket, or `"memory"`. */
  readonly remoteAddress: string;
  /** 0 where there are no ports. */
  readonly remotePort: number;
  /** Whether the peer is on this machine, as the kernel sees it. */
  readonly local: boolean;
  /** Whether a TLS handshake comes next. */
  readonly tls: boolean;
}

/** Sees every connection once, after it introduced itself and before it may call anything. */
export interface ConnMiddleware extends Lifecycle {
  readonly kind: "conn";
  /**
   * Asked as a connection is accepted, before its first byte and before TLS; false drops it without a word. For what
   * must cost nothing: it must be quick, and is not told what becomes of the connection.
   */
  filter?(arrival: Arrival): boolean;
  /**
   * `await next()` admits the connection and resolves when it is over; `conn.close(reason)` refuses it, and the
   * client's error shows the reason. A connection that is neither admitted nor closed is refused.
   */
  dispatch(conn: Connection, next: () => Promise<void>): Promise<void> | void;
}

/** Wraps every call: may change its arguments, answer it itself, or turn its error into another. */
export interface MessageMiddleware extends Lifecycle {
  readonly kind: "message";
  /**
   * `await next(args)` runs the rest and gives its result: for a call that streams, the async iterable; for a
   * channel, nothing, once the function has returned.
   */
  dispatch(ctx: RequestContext, args: unknown[], next: (args?: unknown[]) => Promise<unknown>): Promise<unknown>;
}

/** A function as connection middleware. Throws a TypeError (`ERR_RAP_LOAD`) for what is none. */
export function connMiddleware(dispatch: ConnMiddleware["dispatch"]): ConnMiddleware {
  checkDispatch(dispatch, "connMiddleware() takes a function (conn, next) => …");
  return { kind: "conn", dispatch };
}

/** A function as message middleware. Throws a TypeError (`ERR_RAP_LOAD`) for what is none. */
export function messageMiddleware(dispatch: MessageMiddleware["dispatch"]): MessageMiddleware {
  checkDispatch(dispatch, "messageMiddleware() takes a function (ctx, args, next) => …");
  return { kind: "message", dispatch };
}

/** Throws a TypeError (`ERR_RAP_LOAD`) for what is no middleware. */
export function checkMiddleware(middleware: ConnMiddleware | MessageMiddleware): void {
  const { kind, dispatch } = (middleware ?? {}) as Partial<ConnMiddleware>;
  checkDispatch(dispatch, "a middleware has a dispatch function");
  if (kind !== "conn" && kind !== "message") throw loadError(`a middleware's kind is "conn" or "message"`);
  const hooks = kind === "conn" ? ["filter", "onStart", "onStop"] : ["onStart", "onStop"];
  checkHooks("a middleware", middleware as object as Record<string, unknown>, hooks);
}

function checkDispatch(dispatch: unknown, message: string): void {
  if (typeof dispatch !== "function") throw loadError(`${message}, not ${given(dispatch)}`);
}

/**
 * Runs a call through a list of middleware, the first outermost, and then `call`. Each may go on once. Throws what the
 * outermost throws.
 */
export function runMessageMiddleware<C extends RequestContext>(
  list: readonly MessageMiddleware[],
  ctx: C,
  args: unknown[],
  call: (args: unknown[], ctx: C) => unknown,
): unknown {
  return list.length === 0 ? call(args, ctx) : new Step(list, 0, ctx, args, call).run();
}

const AsyncFunction = (async () => {}).constructor;

/** One middleware of a call. An object, as closures take twice its memory. */
class Step<C extends RequestContext> {
  readonly #list: readonly MessageMiddleware[];
  readonly #index: number;
  readonly #ctx: C;
  readonly #args: unknown[];
  readonly #call: (args: unknown[], ctx: C) => unknown;
  #called = false;
  /** What comes of the rest, and what `next` made of it. */
  #value: unknown = undefined;
  #given: Promise<unknown> | undefined = undefined;

  constructor(
    list: readonly MessageMiddleware[],
    index: number,
    ctx: C,
    args: unknown[],
    call: (args: unknown[], ctx: C) => unknown,
  ) {
    this.#list = list;
    this.#index = index;
    this.#ctx = ctx;
    this.#args = args;
    this.#call = call;
  }

  run(): unknown {
    const middleware = this.#list[this.#index]!;
    const result: unknown = middleware.dispatch(this.#ctx, this.#args, (changed) => this.#next(changed));
    // Middleware that only passes on what it got from `next` needs no turn of the event loop.
    return result !== undefined && result === this.#given ? this.#value : result;
  }

  #next(changed = this.#args): Promise<unknown> {
    if (this.#called) return Promise.reject(calledTwice());
    this.#called = true;
    try {
      this.#value = this.#rest(changed);
      // First, as a value may throw when it is looked at.
      if (isPromise(this.#value)) this.#value = this.#given = Promise.resolve(this.#value);
      else this.#given = this.#awaits ? Promise.resolve(this.#value) : new Given(this.#value);
    } catch (error) {
      this.#value = this.#given = Promise.reject(error);
    }
    return this.#given;
  }

  /** Whether this middleware is an async function, which takes longer to await anything but a promise of Node's. */
  get #awaits(): boolean {
    return this.#list[this.#index]!.dispatch.constructor === AsyncFunction;
  }

  #rest(args: unknown[]): unknown {
    const index = this.#index + 1;
    if (index === this.#list.length) return this.#call(args, this.#ctx);
    return new Step(this.#list, index, this.#ctx, args, this.#call).run();
  }
}

/**
 * A promise of a value that is there, made when somebody asks for it: most middleware passes it on and never does, and with
 * `AsyncLocalStorage` on a promise costs Node 20 0.5 us, a fifth of a small call.
 */
class Given implements Promise<unknown> {
  declare readonly catch: Promise<unknown>["catch"];
  declare readonly finally: Promise<unknown>["finally"];
  declare readonly [Symbol.toStringTag]: string;
  readonly #value: unknown;

  constructor(value: unknown) {
    this.#value = value;
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise
  then<A = unknown, B = never>(
    onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return Promise.resolve(this.#value).then(onFulfilled, onRejected);
  }
}

// It is an instance of Promise to whoever asks, and has the methods that are made of `then`.
Object.setPrototypeOf(Given.prototype, Promise.prototype);

/** Runs a connection through a list of middleware, the first outermost, and then `admit`. */
export function runConnMiddleware(
  list: readonly ConnMiddleware[],
  conn: Connection,
  admit: () => Promise<void>,
): Promise<void> {
  const run = async (index: number): Promise<void> => {
    const middleware = list[index];
    if (middleware === undefined) return admit();
    await middleware.dispatch(
      conn,
      once(() => run(index + 1)),
    );
  };
  return run(0);
}

/** Going on twice would run a call twice. */
function once<A extends unknown[], R>(next: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
  let called = false;
  return async (...args) => {
    if (called) throw calledTwice();
    called = true;
    return next(...args);
  };
}

function calledTwice(): TypeError {
  return Object.assign(new TypeError("next() was called twice"), { code: "ERR_RAP_MIDDLEWARE" });
}
