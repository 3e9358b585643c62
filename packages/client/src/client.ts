import {
  addEvents,
  CLOCK,
  CODEC,
  checkOptions,
  given,
  isPort,
  type LifecycleEvent,
  lifecycleEvents,
  loadError,
  must,
  type Processor,
  ProcessorChain,
  RANDOM,
  registered,
  runEvents,
  startParts,
  stopParts,
  type Token,
  warn,
} from "@rap/core";
import {
  type AnyFn,
  type CallLimit,
  limits,
  msgpack,
  noRefusals,
  systemClock,
  systemRandom,
  toMetadata,
} from "@rap/protocol";
import {
  type EndReason,
  Ends,
  noPauses,
  type PauseLimit,
  parseAddress,
  pemFile,
  TimerWheel,
  type TlsClientOptions,
  type Transport,
  tcp,
  tls,
  unix,
} from "@rap/transport";
import { Callables, type Kind } from "./callables";
import { type ClientOptions, checkClientOptions } from "./client-options";
import type { Interceptor } from "./interceptor";
import { type CallOptions, checkFunction, checkRecord, invalid, mergeOptions } from "./options";
import { CLIENT_EVENTS, type ClientCore, type ClientEvent, Pool } from "./pool";
import type { KindArgs, Only, Remote, RemoteFn, RemoteService, Result } from "./remote-function";
import type { CallArguments } from "./send";
import { openSession, type Session } from "./session";
import { targetOf } from "./target";

export interface ClientStats {
  connections: number;
  /** Calls that take a place at a server: not over, or given up while their function still runs. */
  inFlight: number;
  /** Calls that wait for a connection, or for room on that of their session. */
  waiting: number;
  /** Entries of the timer wheel: deadlines and one watch per connection. */
  timers: number;
  /** Calls and messages that failed because of a limit, by that limit. Not there while there was none. */
  refused?: Readonly<Partial<Record<CallLimit, number>>>;
  /** How often a server was not read from for a while, by the limit. Not there while there was none. */
  paused?: Readonly<Partial<Record<PauseLimit, number>>>;
  /** Connections that ended over a limit (for want of use, too) or for another reason, by that. Not there while there was none. */
  ended?: Readonly<Partial<Record<EndReason, number>>>;
}

/** Calls functions on servers as if they were here: `client.register<typeof sum>("sum")`, then `await sum(1, 2)`. */
export class Client implements AsyncDisposable {
  readonly #core: ClientCore;
  readonly #pool: Pool;
  readonly #transports = new Map<string, Transport>();
  readonly #secure: boolean;
  readonly #interceptors: Interceptor[] = [];
  readonly #processors = new ProcessorChain();
  readonly #events = lifecycleEvents();
  #started = false;
  #stopping: Promise<void> | undefined;
  readonly #listeners = new Map(CLIENT_EVENTS.map((event) => [event, new Set<(event: unknown) => void>()]));
  readonly #callables: Callables;

  /** Throws a TypeError or RangeError for an option that does not exist, or a value that it cannot have. */
  constructor(options: ClientOptions = {}) {
    checkClientOptions(options);
    const { keepalive, reconnect } = options;
    addEvents(this.#events.beforeStart, options.startEvents);
    addEvents(this.#events.afterStop, options.stopEvents);
    const table = limits({
      ...(keepalive === false && { keepaliveInterval: Number.MAX_SAFE_INTEGER }),
      ...(keepalive && keepalive.interval !== undefined && { keepaliveInterval: keepalive.interval }),
      ...(keepalive && keepalive.timeout !== undefined && { keepaliveTimeout: keepalive.timeout }),
      ...(reconnect?.initial !== undefined && { reconnectInitialBackoff: reconnect.initial }),
      ...(reconnect?.max !== undefined && { reconnectMaxBackoff: reconnect.max }),
      ...options.limits,
    });
    const { container } = options;
    const injected = <T>(token: Token<T>, fallback: () => T): T =>
      (container && registered(container, token)) ?? fallback();
    const clock = injected(CLOCK, () => systemClock);
    const secure =
      options.sslCertPath === undefined ? options.tls : { ...options.tls, ...fromFile(options.sslCertPath) };
    this.#secure = secure !== undefined;
    for (const transport of [tcp(), tls(secure), unix(), ...(options.transports ?? [])]) {
      this.#transports.set(transport.scheme, transport);
    }
    const refused = noRefusals();
    const core = {
      limits: table,
      clock,
      random: injected(RANDOM, () => systemRandom),
      wheel: new TimerWheel(clock),
      codecs: [
        injected(CODEC, () =>
          msgpack({
            maxDepth: table.maxDepth,
            maxCost: table.maxDecodeBytes,
            maxMapEntries: table.maxMapEntries,
            onLimit: (limit) => void refused[limit]++,
          }),
        ),
      ],
      info: "rap-js/0.1.0",
      metadata: toMetadata(options.metadata),
      health: options.health === true ? "" : options.health === false ? undefined : options.health,
      timeout: options.timeout ?? table.timeout,
      ends: new Ends(),
      refused,
      paused: noPauses(),
      emit: (event: ClientEvent, detail: object) => this.#emit(event, detail),
    };
    this.#core = Object.assign(core, { pool: undefined as never as Pool, processors: undefined, secure: undefined });
    this.#pool = new Pool(this.#core);
    Object.assign(this.#core, { pool: this.#pool });
    this.#callables = new Callables(this.#core, this.#interceptors);
    for (const address of typeof options.target === "string" ? [options.target] : (options.target ?? []))
      this.#add(address);
  }

  /**
   * Adds a server to call. Calls are spread over all of them by the fewest in flight. Throws a TypeError for what is no
   * host, or no port from 1 to 65535.
   */
  addConn(host: string, port: number, options: { weight?: number } = {}): this {
    checkOptions("addConn()", options, { weight: equal });
    if (typeof host !== "string") throw invalid("ERR_RAP_ADDRESS", `a host is a text, not ${given(host)}`);
    if (!isPort(port, 1))
      throw invalid("ERR_RAP_ADDRESS", `a port is a whole number from 1 to 65535, not ${given(port)}`);
    const scheme = this.#secure ? "tls" : "tcp";
    this.#add(`${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`);
    return this;
  }

  /**
   * Connects; resolves when all addresses were tried and one or more answered, or 250 ms after the first answer, and goes
   * on trying the others. Without any address that is `localhost:9000`. Rejects with UNAVAILABLE when none answers; then
   * it may be called again.
   */
  async start(): Promise<this> {
    if (this.#pool.addresses.length === 0) this.addConn("localhost", 9000);
    this.#pool.prepare();
    try {
      await this.#startAll();
    } catch (error) {
      this.#pool.reset();
      throw error;
    }
    this.#started = true;
    await runEvents(this.#events.afterStart, warn);
    return this;
  }

  /**
   * Lets running calls finish for `graceMs` (default 2 000), cancels the rest and closes. Always resolves; later calls
   * share the first one's end.
   */
  stop(options: { graceMs?: number } = {}): Promise<void> {
    checkOptions("stop()", options, { graceMs: "left" });
    this.#stopping ??= this.#stop(options.graceMs ?? this.#core.limits.abortGrace);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Adds processors; what is sent goes through them in order, what is received in reverse. Throws a TypeError for one
   * that is loaded already, and for one that makes connections secure or has an `onStart` once the client has started.
   */
  loadProcessor(list: readonly Processor[]): this {
    if (!Array.isArray(list)) throw loadError(`loadProcessor() takes a list of processors, not ${given(list)}`);
    this.#processors.load(list, this.#pool.idle);
    this.#core.processors = this.#processors.active;
    this.#core.secure = this.#processors.secure;
    return this;
  }

  /**
   * Adds interceptors, which wrap every call; the first loaded is the outermost: all of them or, when one cannot be loaded,
   * none. Throws a TypeError for one that is loaded already.
   */
  use(...interceptors: Interceptor[]): this {
    for (const [index, interceptor] of interceptors.entries()) {
      if (typeof interceptor !== "function")
        throw loadError(
          `an interceptor is a function, client.use(async (call, next) => next(call)), not ${given(interceptor)}`,
        );
      if (this.#interceptors.includes(interceptor) || interceptors.indexOf(interceptor) < index)
        throw loadError("an interceptor is loaded already");
    }
    this.#interceptors.push(...interceptors);
    return this;
  }

  /** Adds functions to run before the client connects; one that throws keeps it from starting. */
  loadBeforeStartEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.beforeStart, list);
    return this;
  }

  /** Adds functions to run once the client is connected; one that throws is reported as a warning. */
  loadAfterStartEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.afterStart, list);
    return this;
  }

  /** Adds functions to run before the client begins to stop. */
  loadBeforeStopEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.beforeStop, list);
    return this;
  }

  /** Adds functions to run after the client has stopped. */
  loadAfterStopEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.afterStop, list);
    return this;
  }

  /** A function with one result, by its name and type: `client.register<typeof sum>("sum")`. */
  register<F extends AnyFn>(
    name: Only<F, "unary", "use registerGen() for an async generator, registerChannel() for a channel">,
    options?: CallOptions & { group?: string },
  ): Remote<F>;
  /**
   * The function itself, or a stub of it: its name, and whether it streams, or was marked as a channel by `channel()`,
   * are read from the value.
   */
  register<F extends AnyFn>(fn: F, options?: CallOptions & { name?: string; group?: string }): Remote<F>;
  register(what: unknown, options: CallOptions & { name?: string; group?: string } = {}): unknown {
    if (typeof what === "function") return this.#callables.of(what as AnyFn, options);
    return this.#callables.named("unary", what, options);
  }

  /** A function that gives a stream: an async generator, or one that returns an async iterable. */
  registerGen<F extends AnyFn>(
    name: Only<F, "stream", "not an async generator">,
    options: CallOptions & { group?: string } = {},
  ): Remote<F> {
    return this.#callables.named("stream", name, options) as Remote<F>;
  }

  /** A duplex function of one `Channel`. */
  registerChannel<F extends AnyFn>(
    name: Only<F, "channel", "not a function of one Channel">,
    options: CallOptions & { group?: string } = {},
  ): Remote<F> {
    return this.#callables.named("channel", name, options) as Remote<F>;
  }

  /**
   * A whole group as one typed object. Types are gone at run time, so methods that stream must be named:
   * `client.service<Bank>("bank", { statement: "stream" })`; the compiler checks that all are.
   */
  service<S>(group: string, ...rest: KindArgs<S>): RemoteService<S> {
    const [kinds = {}, own] = rest as [Readonly<Record<string, Kind>>?, CallOptions?];
    return this.#callables.group(group, kinds, own) as RemoteService<S>;
  }

  /** Calls a function that was registered here, or any function by its own name in the default group. */
  invoke<A extends readonly unknown[], R>(fn: RemoteFn<A, R>, args: A, options?: CallOptions): R;
  invoke<F extends AnyFn>(fn: F, args: Parameters<F> | Record<string, unknown>, options?: CallOptions): Result<F>;
  invoke(fn: AnyFn, args: CallArguments, options?: CallOptions): unknown {
    checkFunction(fn, "invoke() takes a function (for a name there is invokeByName())");
    return this.#callables.invoke(fn, args, options);
  }

  /** Calls a function by its name; arguments by position or, where the server declared names, by name. */
  invokeByName<R = unknown>(
    name: string,
    args: readonly unknown[] | Record<string, unknown> = [],
    options: CallOptions & { group?: string } = {},
  ): Promise<R> {
    try {
      const { group, ...call } = checkRecord(options);
      return this.#callables.unary(targetOf(group, name, mergeOptions({}, call)), args) as Promise<R>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Opens a session: calls with it go over one connection, to one server that can keep state for them. */
  async openSession(options: CallOptions = {}): Promise<Session> {
    return openSession(this, this.#core, mergeOptions({}, options));
  }

  /** Runs `fn` in a session of its own: every call made inside, however deep, belongs to it. */
  async withSession<R>(fn: (session: Session) => R): Promise<Awaited<R>> {
    checkFunction(fn, "withSession() takes a function");
    const session = await this.openSession();
    try {
      return await session.run(() => fn(session));
    } finally {
      await session.close();
    }
  }

  /**
   * Calls back at an event of a connection; dispose what it returns to stop that. Throws a TypeError for an event that
   * does not exist; `resolve` never comes yet.
   */
  on(event: ClientEvent, listener: (event: unknown) => void): Disposable {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) throw noEvent(event);
    if (typeof listener !== "function") throw loadError(`a listener is a function, not ${given(listener)}`);
    listeners.add(listener);
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  stats(): ClientStats {
    const { connections, sessions } = this.#pool;
    const refused = counted(this.#core.refused);
    const paused = counted(this.#core.paused);
    const ended = this.#core.ends.counts();
    const waiting = [...sessions].reduce((sum, session) => sum + session.waiting, this.#pool.waiting);
    return {
      connections: connections.length,
      inFlight: connections.reduce((sum, { streams }) => sum + streams, 0),
      waiting,
      timers: this.#core.wheel.size,
      ...(Object.keys(refused).length > 0 && { refused }),
      ...(Object.keys(paused).length > 0 && { paused }),
      ...(Object.keys(ended).length > 0 && { ended }),
    };
  }

  async #startAll(): Promise<void> {
    const { list } = this.#processors;
    await startParts(this.#events.beforeStart, list, undefined, warn, () => this.#stopping !== undefined);
    try {
      await this.#pool.start();
    } catch (error) {
      await stopParts(list, [], undefined, warn);
      throw error;
    }
  }

  async #stop(graceMs: number): Promise<void> {
    const started = this.#started;
    this.#started = false;
    if (started) await runEvents(this.#events.beforeStop, warn);
    await this.#pool.stop(graceMs);
    if (started) await stopParts(this.#processors.list, this.#events.afterStop, undefined, warn);
  }

  #add(address: string): void {
    const own = this.#transports.get(address.slice(0, address.indexOf(":")));
    // A scheme that is not ours is known to its transport alone.
    if (own !== undefined && !KNOWN.includes(own.scheme)) return this.#pool.add(own, address);
    const parsed = parseAddress(address);
    const transport = this.#transports.get(parsed.scheme);
    if (transport === undefined)
      throw invalid("ERR_RAP_ADDRESS", `no transport for ${address}: give one in "transports"`);
    if ("port" in parsed && parsed.port === 0) throw invalid("ERR_RAP_ADDRESS", `${address} has no port to connect to`);
    this.#pool.add(transport, address);
  }

  #emit(event: ClientEvent, detail: object): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        listener(detail);
      } catch (error) {
        warn(error, `a listener of the client's "${event}" event failed`);
      }
    }
  }
}

/** Schemes of addresses that `parseAddress` reads. */
const KNOWN: readonly string[] = ["tcp", "tls", "unix", "memory"];
/** What is so until servers can have weights. */
const equal = must("1, as calls are spread evenly", (value) => value === 1);

function noEvent(event: string): TypeError {
  const shown = typeof event === "string" ? JSON.stringify(event.slice(0, 64)) : given(event);
  return loadError(`a client has no event ${shown}: it has ${CLIENT_EVENTS.join(", ")}`);
}

/** The counters that have counted something. */
function counted<K extends string>(counters: Readonly<Record<K, number>>): Partial<Record<K, number>> {
  return Object.fromEntries(Object.entries<number>(counters).filter(([, count]) => count > 0)) as Partial<
    Record<K, number>
  >;
}

function fromFile(path: string | undefined): TlsClientOptions | undefined {
  return path === undefined ? undefined : { ca: pemFile("sslCertPath", path) };
}
