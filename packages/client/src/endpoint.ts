import { type CallLimit, GoawayCode, messageOf, RapError, type Timer } from "@rap/protocol";
import { Connection, type ConnectionHost, type PauseLimit, type Transport } from "@rap/transport";
import { Backoff } from "./backoff";
import { HealthWatch } from "./health-watch";
import type { ClientCore, Pool } from "./pool";

/**
 * One address and the connection to it. Keeps one alive: dials again, with backoff, when it is lost, and also when
 * the server says goodbye, while calls on the old connection finish.
 */
export class Endpoint implements ConnectionHost {
  readonly address: string;
  readonly #core: ClientCore;
  readonly #pool: Pool;
  readonly #transport: Transport;
  readonly #backoff: Backoff;
  /** Connections that take no new calls and still have some to finish. */
  readonly #leaving = new Set<Connection>();
  #connection: Connection | undefined;
  /** What the server of `#connection` says of itself; undefined when the client does not ask. */
  #health: HealthWatch | undefined;
  #dialling: AbortController | undefined;
  /** Until the next dial. */
  #timer: Timer | undefined;
  /** What is left of `connectTimeout`, until the handshake of `#connection` is done. */
  #connectTimer: Timer | undefined;
  #readyAt = 0;
  #wasReady = false;
  #idle = false;
  #stopped = true;
  #settleFirst: { resolve(): void; reject(error: RapError): void } | undefined;
  /** Why the last try to connect failed, or the last connection was lost. */
  lastError: RapError | undefined;

  constructor(core: ClientCore, pool: Pool, transport: Transport, address: string) {
    this.#core = core;
    this.#pool = pool;
    this.#transport = transport;
    this.address = address;
    this.#backoff = new Backoff(core.limits, core.random);
  }

  /** The connection that takes new calls. */
  get connection(): Connection | undefined {
    return this.#health === undefined || this.#health.serving ? this.#connection : undefined;
  }

  get connections(): readonly Connection[] {
    return this.#connection === undefined ? [...this.#leaving] : [this.#connection, ...this.#leaving];
  }

  /** Connected, or at it: not known to be down, or not to serve. */
  get alive(): boolean {
    if (this.#connection === undefined) return this.#dialling !== undefined || this.#idle;
    return this.#health?.status === undefined || this.#health.serving;
  }

  /** Dials; resolves when the handshake is done, rejects when this first try fails (more follow until `stop`). */
  connect(): Promise<void> {
    this.#stopped = false;
    return new Promise((resolve, reject) => {
      this.#settleFirst = { resolve, reject };
      void this.#dial();
    });
  }

  /** A call waits: a connection that was closed for want of use is needed again. */
  wake(): void {
    if (!this.#idle) return;
    this.#idle = false;
    void this.#dial();
  }

  /** Dials no more. */
  stop(): void {
    this.#stopped = true;
    this.#idle = false;
    if (this.#timer !== undefined) this.#core.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#health?.stop();
    this.#dialling?.abort(new RapError("UNAVAILABLE", "the client was stopped"));
  }

  close(code: GoawayCode, reason: string): void {
    this.stop();
    for (const connection of this.connections) connection.close(code, reason);
  }

  // From the connection.

  onReady(connection: Connection): void {
    this.#endHandshake();
    this.#readyAt = this.#core.clock.now();
    this.lastError = undefined;
    this.#core.emit(this.#wasReady ? "reconnect" : "connect", { address: this.address });
    this.#wasReady = true;
    this.#settleFirst?.resolve();
    this.#settleFirst = undefined;
    if (connection !== this.#connection) return;
    this.#watchHealth(connection);
    this.#pool.serve();
  }

  onRoom(): void {
    this.#pool.serve();
  }

  onGoaway(connection: Connection, reason: string): void {
    // A server says it in two steps.
    if (connection !== this.#connection) return;
    this.#core.emit("goaway", { address: this.address, reason });
    // Whoever listens may have closed it.
    if (connection.closed) return;
    this.#lose();
    this.#leaving.add(connection);
    this.#forgiveIfOld();
    this.#dialAgain();
  }

  onRefused(limit: CallLimit): void {
    this.#core.refused[limit]++;
  }

  onPaused(limit: PauseLimit): void {
    this.#core.paused[limit]++;
  }

  onClose(connection: Connection, error: RapError | undefined): void {
    this.#core.ends.add(error, connection.endedBy);
    if (this.#leaving.delete(connection)) {
      this.#pool.serve();
      return;
    }
    if (connection !== this.#connection) return;
    this.#lose();
    if (!connection.ready) {
      this.#failed(error ?? new RapError("UNAVAILABLE", "the connection was closed during the handshake"));
      return;
    }
    if (error !== undefined) this.lastError = error;
    this.#core.emit("disconnect", { address: this.address, ...(error !== undefined && { error }) });
    this.#forgiveIfOld();
    // This side closed it because nobody used it: the next call dials.
    const unused = error === undefined && connection.closedHere;
    if (unused && !this.#stopped && this.#pool.waiting === 0) this.#idle = true;
    else this.#dialAgain();
    this.#pool.serve();
  }

  /** Asks how the server is, if the client is to know. Until it has said so it gets no calls. */
  #watchHealth(connection: Connection): void {
    const { health } = this.#core;
    if (health === undefined) return;
    const watch = new HealthWatch(this.#core, connection, health, () => {
      if (watch !== this.#health) return;
      if (watch.serving) {
        this.lastError = undefined;
        this.#pool.serve();
      } else {
        this.lastError = new RapError("UNAVAILABLE", `the server says ${watch.status}`, { maybeExecuted: false });
        this.#pool.endpointDown();
      }
    });
    this.#health = watch;
    watch.start();
  }

  #lose(): void {
    this.#connection = undefined;
    this.#endHandshake();
    // A connection that is only to finish its calls must not wait for one without end.
    this.#health?.stop();
    this.#health = undefined;
  }

  #endHandshake(): void {
    if (this.#connectTimer !== undefined) this.#core.clock.clearTimeout(this.#connectTimer);
    this.#connectTimer = undefined;
  }

  /** A connection that has lived for a while makes up for the tries before it. */
  #forgiveIfOld(): void {
    if (this.#core.clock.now() - this.#readyAt >= this.#core.limits.reconnectResetAfter) this.#backoff.reset();
  }

  async #dial(): Promise<void> {
    this.#timer = undefined;
    const dialling = new AbortController();
    this.#dialling = dialling;
    const { clock, limits, wheel, codecs, info, metadata, secure } = this.#core;
    let connection: Connection | undefined;
    // One time for the dial and the handshake together: a server that accepts and is silent is none either.
    const timer = clock.setTimeout(() => {
      const text = `no connection within ${limits.connectTimeout} ms (connectTimeout)`;
      if (connection === undefined) dialling.abort(new RapError("UNAVAILABLE", text));
      else connection.abort(GoawayCode.HANDSHAKE_FAILED, text, "connectTimeout");
    }, limits.connectTimeout);
    try {
      const socket = await this.#transport.dial(this.address, dialling.signal);
      if (dialling.signal.aborted) {
        socket.destroy();
        throw dialling.signal.reason;
      }
      connection = new Connection(socket, {
        role: "client",
        host: this,
        limits,
        wheel,
        codecs,
        info,
        metadata,
        secure,
      });
      this.#connection = connection;
      this.#connectTimer = timer;
    } catch (error) {
      clock.clearTimeout(timer);
      // Not one that was given up, when the client dials again already.
      if (this.#dialling === dialling) this.#failed(this.#dialError(error));
    } finally {
      if (this.#dialling === dialling) this.#dialling = undefined;
    }
  }

  #failed(error: RapError): void {
    this.lastError = error;
    this.#dialling = undefined;
    const first = this.#settleFirst;
    this.#settleFirst = undefined;
    first?.reject(error);
    this.#dialAgain();
    this.#pool.endpointDown();
  }

  #dialAgain(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    // As a connection would, the way to the next one keeps the process alive.
    this.#timer = this.#core.clock.setTimeout(() => void this.#dial(), this.#backoff.next(), true);
  }

  #dialError(error: unknown): RapError {
    if (RapError.is(error)) return error;
    const reason = messageOf(error);
    // Our own transports say it themselves.
    const message = reason.includes(this.address) ? reason : `cannot connect to ${this.address}: ${reason}`;
    return new RapError("UNAVAILABLE", message, { cause: error, origin: "transport", maybeExecuted: false });
  }
}
