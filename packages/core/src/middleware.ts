import type { Awaitable } from "@rap/protocol";
import type { Connection, RequestContext } from "./context";
import type { Host } from "./host";
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

/** A function as connection middleware. */
export function connMiddleware(dispatch: ConnMiddleware["dispatch"]): ConnMiddleware {
  return { kind: "conn", dispatch };
}

/** A function as message middleware. */
export function messageMiddleware(dispatch: MessageMiddleware["dispatch"]): MessageMiddleware {
  return { kind: "message", dispatch };
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
  index = 0,
): unknown {
  if (index === list.length) return call(args, ctx);
  let called = false;
  let value: unknown;
  let promise: Promise<unknown> | undefined;
  const next = (changed = args): Promise<unknown> => {
    if (called) return Promise.reject(calledTwice());
    called = true;
    try {
      value = runMessageMiddleware(list, ctx, changed, call, index + 1);
      // First, as a value may throw when it is looked at.
      const waits = isPromise(value);
      promise = Promise.resolve(value);
      if (waits) value = promise;
    } catch (error) {
      promise = Promise.reject(error);
      value = promise;
    }
    return promise;
  };
  const result: unknown = list[index]!.dispatch(ctx, args, next);
  // Middleware that only passes on what it got from `next` needs no turn of the event loop.
  return result === promise ? value : result;
}

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
