import {
  addEvents,
  CLOCK,
  CODEC,
  type Connection,
  type ConnMiddleware,
  type Container,
  checkInTime,
  checkMiddleware,
  checkOptions,
  defaultLogger,
  given,
  type Host,
  LIMITS,
  type Lifecycle,
  type LifecycleEvent,
  LOGGER,
  type Logger,
  lifecycleEvents,
  loadError,
  type MessageMiddleware,
  type MethodOptions,
  type Processor,
  ProcessorChain,
  RANDOM,
  registered,
  runEvents,
  startParts,
  stopParts,
  type Token,
} from "@rap/core";
import { createContainer } from "@rap/core/container";
import {
  type AnyFn,
  type Awaitable,
  type CallLimit,
  type Channel,
  type Clock,
  type Limits,
  limits,
  msgpack,
  noRefusals,
  type Random,
  RapError,
  systemClock,
  systemRandom,
} from "@rap/protocol";
import { type EndReason, type Listener, noPauses, type PauseLimit, type Socket, TimerWheel } from "@rap/transport";
import { registerAdministration } from "./administration";
import { Admission, type Rejection } from "./admission";
import { bindingOf } from "./binding";
import { Dispatcher } from "./dispatcher";
import { Health } from "./health";
import { Modules } from "./modules";
import { guardedLogger } from "./peer-log";
import { registerReflection } from "./reflection";
import { refusals } from "./refusals";
import { REGISTRY, Registry } from "./registry";
import { ServerConnections } from "./server-connections";
import type { ServerCore } from "./server-core";
import { checkListenOptions, checkServerOptions, type ListenOptions, type ServerOptions } from "./server-options";
import { type Ctor, registerService, type ServiceOptions } from "./service";
import { registerSessions } from "./sessions";
import { untilSignal } from "./signals";
import { WorkerPool } from "./worker";

export interface ServerStats {
  connections: number;
  /** Sockets whose handshake is not done, TLS included. */
  handshakes: number;
  /** Connections that were turned away as they were accepted, by the limit that did it, or `filtered`. */
  rejected: Readonly<Record<Rejection, number>>;
  /** Calls, sessions and messages that were refused, or ended before they were done, by the limit that did it. */
  refused: Readonly<Record<CallLimit, number>>;
  /** How often a peer was not read from for a while, as it did not take what was sent to it, by the limit. */
  paused: Readonly<Record<PauseLimit, number>>;
  /**
   * Connections that ended over a limit (for want of use, too) or for another reason, by that: `PROTOCOL_ERROR`,
   * `HANDSHAKE_FAILED`, `REFUSED` …, which may be the peer's. Only those that there were.
   */
  ended: Readonly<Partial<Record<EndReason, number>>>;
  /** Calls whose function has not finished. */
  inFlight: number;
  /** Entries of the timer wheel: deadlines and one watch per connection. */
  timers: number;
}

export type ServerState = "idle" | "starting" | "listening" | "draining" | "stopped";

/** Serves plain functions: `new Server().register({ sum })`, then `listen()` or `runForever()`. */
export class Server implements AsyncDisposable, Host {
  /** The server's own container: a child of the one it was given. */
  readonly container: Container;
  readonly #options: ServerOptions;
  readonly #registry: Registry;
  readonly #logger: Logger;
  readonly #core: ServerCore;
  readonly #connections: ServerConnections;
  readonly #events = lifecycleEvents();
  readonly #health = new Health();
  readonly #connMiddleware: ConnMiddleware[] = [];
  readonly #messageMiddleware: MessageMiddleware[] = [];
  readonly #processors = new ProcessorChain();
  /** All that was loaded, in that order. */
  readonly #parts: (Lifecycle | Processor)[] = [];
  #listeners: Listener[] = [];
  #state: ServerState = "idle";
  #starting: Promise<{ host: string; port: number }> | undefined;
  #stopping: Promise<void> | undefined;
  #overdue = false;

  /** Throws a TypeError or RangeError for an option that does not exist, or a value that it cannot have. */
  constructor(options: ServerOptions = {}) {
    checkServerOptions(options);
    this.#options = options;
    addEvents(this.#events.beforeStart, options.startEvents);
    addEvents(this.#events.afterStop, options.stopEvents);
    this.container = createContainer(options.container);
    this.#logger = guardedLogger(options.logger ?? this.#injected(LOGGER, () => defaultLogger()));
    const clock = this.#injected(CLOCK, () => systemClock);
    this.#registry = this.#injected(REGISTRY, () => new Registry(this.#logger));
    registerSessions(this.#registry);
    const modules = options.load === undefined ? undefined : new Modules(options.load);
    registerAdministration(this.#registry, modules, this.#logger);
    if (options.health !== false) this.#health.register(this.#registry);
    if (options.reflection === true) registerReflection(this.#registry);
    const table = limits(options.limits ?? this.#injected(LIMITS, limits));
    const refused = noRefusals();
    this.#core = {
      limits: table,
      clock,
      random: this.#injected<Random>(RANDOM, () => systemRandom),
      logger: this.#logger,
      exposeErrors: options.exposeErrors ?? false,
      wheel: new TimerWheel(clock),
      codecs: [
        this.#injected(CODEC, () =>
          msgpack({
            maxDepth: table.maxDepth,
            maxCost: table.maxDecodeBytes,
            maxMapEntries: table.maxMapEntries,
            onLimit: (limit) => void refused[limit]++,
          }),
        ),
      ],
      info: INFO,
      dispatcher: new Dispatcher(this.#registry),
      admission: new Admission(table, clock, this.#connMiddleware),
      workers: new WorkerPool(options.workers),
      connMiddleware: this.#connMiddleware,
      messageMiddleware: this.#messageMiddleware,
      processors: undefined,
      secure: undefined,
      inFlight: 0,
      refusals: refusals(table),
      refused,
      paused: noPauses(),
      left: (connection, error) => this.#connections.left(connection, error),
    };
    this.#connections = new ServerConnections(this.#core);
  }

  get state(): ServerState {
    return this.#state;
  }

  /** URL of the first listener, undefined while the server does not listen: `tcp://127.0.0.1:9000`. */
  get address(): string | undefined {
    return this.#listeners[0]?.address;
  }

  /**
   * Registers a function, or several by name. Throws a TypeError that says what and where for anything that cannot
   * be called, has no name, a bad one, or one that is taken.
   */
  register<F extends AnyFn>(fn: F, options?: MethodOptions): this;
  register(fns: Readonly<Record<string, AnyFn>>, options?: Pick<MethodOptions, "group" | "private">): this;
  register(fn: AnyFn | Readonly<Record<string, AnyFn>>, options: MethodOptions = {}): this {
    this.#registry.register(fn as AnyFn, options);
    return this;
  }

  /** Registers a duplex function of one `Channel`. */
  // biome-ignore lint/suspicious/noExplicitAny: a channel of any two types
  registerChannel<F extends (channel: Channel<never, any>) => Awaitable<void>>(
    fn: F,
    options: MethodOptions = {},
  ): this {
    this.#registry.registerChannel(fn, options);
    return this;
  }

  /** Registers the `@Rpc` and `@RapChannel` methods of a class, resolved from the container. */
  registerService<T>(cls: Ctor<T>, options: ServiceOptions = {}): this {
    registerService(this.#registry, this.container, cls, options);
    return this;
  }

  /**
   * Adds connection and message middleware; of each kind the first loaded is the outermost. Throws a TypeError for one
   * that is loaded already, and for one with an `onStart` once the server has started.
   */
  loadMiddleware(list: readonly (ConnMiddleware | MessageMiddleware)[]): this {
    if (!Array.isArray(list)) throw loadError(`loadMiddleware() takes a list of middleware, not ${given(list)}`);
    return this.#load(list, list, []);
  }

  /**
   * Adds processors; what is received goes through them in reverse, what is sent in order. Throws a TypeError for one
   * that is loaded already, and for one that makes connections secure or has an `onStart` once the server has started.
   */
  loadProcessor(list: readonly Processor[]): this {
    if (!Array.isArray(list)) throw loadError(`loadProcessor() takes a list of processors, not ${given(list)}`);
    return this.#load(list, [], list);
  }

  /** Adds middleware and processors alike: all of them or, when one cannot be loaded, none. */
  use(...list: (ConnMiddleware | MessageMiddleware | Processor)[]): this {
    if (list.some((part) => typeof part === "function"))
      throw loadError("use() takes a function in messageMiddleware() or connMiddleware()");
    const processors = list.filter((part) => !isMiddleware(part));
    return this.#load(list, list.filter(isMiddleware), processors);
  }

  /** Adds functions to run before the server listens; one that throws keeps it from starting. */
  loadBeforeStartEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.beforeStart, list);
    return this;
  }

  /** Adds functions to run once the server listens; one that throws is logged. */
  loadAfterStartEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.afterStart, list);
    return this;
  }

  /** Adds functions to run before the server begins to stop; one that throws is logged. */
  loadBeforeStopEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.beforeStop, list);
    return this;
  }

  /** Adds functions to run after the server has stopped; one that throws is logged. */
  loadAfterStopEvent(list: readonly LifecycleEvent[]): this {
    addEvents(this.#events.afterStop, list);
    return this;
  }

  /** Binds and accepts; resolves with the address once it does. May be called again for another address. */
  async listen(options: ListenOptions = {}): Promise<{ host: string; port: number }> {
    checkListenOptions(options);
    if (this.#state === "draining" || this.#state === "stopped")
      throw stateError(`a server that is ${this.#state} cannot listen`);
    options.signal?.throwIfAborted();
    if (this.#state === "starting") {
      await this.#starting?.catch(() => undefined);
      return this.listen(options);
    }
    if (this.#state !== "idle") return this.#listen(options, false);
    this.#state = "starting";
    this.#starting = this.#listen(options, true);
    return this.#starting;
  }

  async #listen(options: ListenOptions, first: boolean): Promise<{ host: string; port: number }> {
    if (first) {
      try {
        const stopped = () => this.#stopping !== undefined;
        await startParts(this.#events.beforeStart, this.#parts, this, this.#failed, stopped);
      } catch (error) {
        this.#backToIdle();
        throw error;
      }
    }
    let listener: Listener;
    try {
      const { transport, address } = bindingOf(options, this.#options, this.#core, this.#connections.ends);
      listener = await transport.listen(address, (socket) => this.#accept(socket));
    } catch (error) {
      if (first) {
        await stopParts(this.#parts, [], this, this.#failed);
        this.#backToIdle();
      }
      throw error;
    }
    if (this.#stopping !== undefined) {
      await listener.close();
      if (first) await stopParts(this.#parts, [], this, this.#failed);
      throw stateError("the server was stopped while it started");
    }
    this.#listeners.push(listener);
    this.#state = "listening";
    if (first) await runEvents(this.#events.afterStart, this.#failed);
    if (options.signal !== undefined) await this.#stopWith(options.signal);
    return { host: listener.host, port: listener.port };
  }

  /**
   * Listens if it does not yet and resolves when the server has stopped: by `shutdown`, or by SIGINT or SIGTERM,
   * which let running calls finish. The exit code is 0, or 1 if calls had to be aborted. A second signal ends the
   * process at once.
   */
  async runForever(): Promise<void> {
    if (this.#state === "stopped" && this.#stopping !== undefined) return this.#stopping;
    if (this.#listeners.length === 0) await this.listen();
    const { signals = ["SIGINT", "SIGTERM"] } = this.#options;
    const stopped = new Promise<void>((resolve) => {
      this.#events.afterStop.push(resolve);
    });
    const signalled = await untilSignal(signals === false ? [] : signals, stopped);
    if (!signalled) return;
    await this.shutdown();
    process.exitCode ??= this.#overdue ? 1 : 0;
  }

  /** Begins to stop: accepts nothing new, tells every client, lets running calls finish. */
  drain(): void {
    void this.shutdown();
  }

  /**
   * Stops: accepts nothing new, tells every client, lets running calls finish within `graceMs` (default
   * `drainTimeout`), aborts the rest with UNAVAILABLE, closes. Always resolves; later calls share the first one's end.
   */
  shutdown(options: { graceMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    checkOptions("shutdown()", options, { graceMs: "left", signal: "signal" });
    this.#stopping ??= this.#stop(options);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  get logger(): Logger {
    return this.#logger;
  }

  get clock(): Clock {
    return this.#core.clock;
  }

  get limits(): Limits {
    return this.#core.limits;
  }

  /** The connections that are open now. */
  connections(): readonly Connection[] {
    return this.#connections.list();
  }

  /**
   * What health checks say of a service; `""` is the whole server, which serves until it drains. Throws a TypeError for
   * another status.
   */
  setHealth(service: string, status: "SERVING" | "NOT_SERVING"): void {
    this.#health.set(service, status);
  }

  stats(): ServerStats {
    const { admission, inFlight, refused, paused, wheel } = this.#core;
    return {
      connections: this.#connections.size,
      handshakes: admission.counts.handshakes,
      rejected: { ...admission.rejected },
      refused: { ...refused },
      paused: { ...paused },
      ended: this.#connections.ends.counts(),
      inFlight,
      timers: wheel.size,
    };
  }

  /** Stops when the signal fires; rejects if it did while the server started. */
  async #stopWith(signal: AbortSignal): Promise<void> {
    if (signal.aborted) await this.shutdown();
    signal.throwIfAborted();
    const stop = () => void this.shutdown();
    signal.addEventListener("abort", stop);
    this.#events.afterStop.push(() => signal.removeEventListener("abort", stop));
  }

  async #stop({ graceMs, signal }: { graceMs?: number; signal?: AbortSignal }): Promise<void> {
    // A start that is under way undoes itself.
    const started = this.#state === "listening";
    this.#state = "draining";
    this.#health.drain();
    await runEvents(started ? this.#events.beforeStop : [], this.#failed);
    const grace = graceMs ?? this.#options.drainTimeout ?? this.#core.limits.shutdownGrace;
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    this.#connections.drain("the server is shutting down");
    if (!(await this.#connections.empty(grace, signal))) {
      this.#overdue = true;
      this.#connections.abortCalls(
        new RapError("UNAVAILABLE", "the server is shutting down and the call took too long to finish"),
      );
      await this.#connections.empty(this.#core.limits.abortGrace, undefined);
      this.#connections.close("the server is down");
    }
    await this.#core.workers.close();
    this.#core.wheel.stop();
    this.#state = "stopped";
    await stopParts(started ? this.#parts : [], this.#events.afterStop, this, this.#failed);
  }

  /** After a start that failed; one that was stopped meanwhile stays stopped. */
  #backToIdle(): void {
    if (this.#state === "starting") this.#state = "idle";
  }

  readonly #failed = (error: unknown): void => {
    this.#logger.error({ err: error }, "a lifecycle event failed");
  };

  /** Adds parts, which are middleware and processors: all of them or, when one cannot be loaded, none. */
  #load(
    parts: readonly (Lifecycle | Processor)[],
    middleware: readonly (ConnMiddleware | MessageMiddleware)[],
    processors: readonly Processor[],
  ): this {
    for (const [index, part] of middleware.entries()) {
      checkMiddleware(part);
      if (this.#parts.includes(part) || middleware.indexOf(part) < index)
        throw loadError("a middleware is loaded already");
      checkInTime(part, this.#state !== "idle");
    }
    this.#processors.load(processors, this.#state === "idle");
    this.#core.processors = this.#processors.active;
    this.#core.secure = this.#processors.secure;
    this.#connMiddleware.push(...middleware.filter((part) => part.kind === "conn"));
    this.#messageMiddleware.push(...middleware.filter((part) => part.kind === "message"));
    this.#parts.push(...parts);
    return this;
  }

  #accept(socket: Socket): void {
    if (this.#state === "stopped") socket.destroy();
    else this.#connections.accept(socket);
  }

  /** What the container has for a token, else the default, which is then registered for services to inject. */
  #injected<T>(token: Token<T>, make: () => T): T {
    const found = registered(this.container, token);
    if (found !== undefined) return found;
    const value = make();
    this.container.register(token, { useValue: value });
    return value;
  }
}

const INFO = "rap-js/0.1.0";

function stateError(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_RAP_STATE" });
}

function isMiddleware(
  part: ConnMiddleware | MessageMiddleware | Processor,
): part is ConnMiddleware | MessageMiddleware {
  if (typeof part !== "object" || part === null) return false;
  return "dispatch" in part || ["conn", "message"].includes(String(part.kind));
}
