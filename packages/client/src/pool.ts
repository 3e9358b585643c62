import type { ProcessorChain } from "@rap/core";
import {
  type CallLimit,
  type Clock,
  type Codec,
  GoawayCode,
  type Limits,
  type Metadata,
  type Random,
  RapError,
  type SecureLayer,
  type Shape,
  type Timer,
} from "@rap/protocol";
import type { Connection, Ends, PauseLimit, TimerWheel, Transport } from "@rap/transport";
import { leastInFlight } from "./balancer";
import type { Waiting } from "./call-queue";
import { Endpoint } from "./endpoint";
import type { ClientSession } from "./session";
import { WaitingCalls } from "./waiting-calls";

/**
 * Milliseconds between the first answer and the end of a start: as long as RFC 8305 waits for an address before it tries
 * the next. A healthy server answers in that time also on a busy machine.
 */
const PATIENCE = 250;

/** `resolve` is for addresses that are looked up: nothing does that yet, so it never comes. */
export const CLIENT_EVENTS = ["connect", "disconnect", "reconnect", "goaway", "resolve"] as const;

export type ClientEvent = (typeof CLIENT_EVENTS)[number];

/** What the parts of a client share. */
export interface ClientCore {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly codecs: readonly Codec[];
  readonly info: string;
  readonly metadata: Metadata | undefined;
  readonly pool: Pool;
  /** undefined while none looks at messages: then nothing on a call's way asks for them. */
  processors: ProcessorChain | undefined;
  /** What makes connections secure, if one of the processors does. */
  secure: SecureLayer | undefined;
  /** The service whose health decides whether a server gets calls; undefined: servers are not asked. */
  readonly health: string | undefined;
  /** The default timeout of calls with one result. */
  readonly timeout: number;
  /** How connections ended. */
  readonly ends: Ends;
  /** Calls and messages that failed because of a limit. */
  readonly refused: Record<CallLimit, number>;
  /** How often a server was not read from for a while, because of a limit. */
  readonly paused: Record<PauseLimit, number>;
  emit(event: ClientEvent, detail: { address: string; error?: RapError; reason?: string }): void;
}

/** The client's connections, one to each address, and the calls that wait for one of them. */
export class Pool {
  readonly #core: ClientCore;
  readonly #endpoints: Endpoint[] = [];
  readonly #waiting = new WaitingCalls();
  #state: "idle" | "starting" | "started" | "stopped" = "idle";
  #onQuiet: (() => void) | undefined;
  /** Open sessions, which have connections and queues of their own. */
  readonly sessions = new Set<ClientSession>();

  constructor(core: ClientCore) {
    this.#core = core;
  }

  get addresses(): readonly string[] {
    return this.#endpoints.map(({ address }) => address);
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get connections(): readonly Connection[] {
    return this.#endpoints.flatMap((endpoint) => endpoint.connections);
  }

  /** Adds an address; a pool that has started dials it at once. */
  add(transport: Transport, address: string): void {
    const endpoint = new Endpoint(this.#core, this, transport, address);
    this.#endpoints.push(endpoint);
    if (this.#state === "started") void endpoint.connect().catch(() => undefined);
  }

  /** Whether no start has begun. */
  get idle(): boolean {
    return this.#state === "idle";
  }

  /** Before anything else of a start: there is one at a time. Throws for a client that is not idle. */
  prepare(): void {
    if (this.#state !== "idle") throw stateError(`a client that is ${this.#state} cannot be started`);
    this.#state = "starting";
  }

  /**
   * Dials all addresses. Resolves when all were tried and one answered, or soon after the first answer: an address that
   * takes its time is not waited for. Rejects with UNAVAILABLE when none answers.
   */
  async start(): Promise<void> {
    if (this.#stopped) throw stopped();
    this.#state = "started";
    const dials = this.#endpoints.map((endpoint) => endpoint.connect());
    try {
      await Promise.any(dials);
      await this.#patience(Promise.allSettled(dials));
    } catch (error) {
      this.#close(GoawayCode.NO_ERROR, "no address could be reached");
      throw (error as AggregateError).errors[0];
    }
    if (this.#stopped) throw stopped();
  }

  /** The start failed: another may be tried, unless the client was stopped meanwhile. */
  reset(): void {
    if (!this.#stopped) this.#state = "idle";
  }

  /** The least busy connection with room for a call of this shape. */
  pick(shape: Shape): Connection | undefined {
    if (this.#state === "stopped") return undefined;
    return leastInFlight(this.#endpoints, shape);
  }

  readonly #pick = (shape: Shape) => this.pick(shape);

  /** Lets a call wait. Throws RapError when it may not. */
  enqueue(call: Waiting): void {
    if (this.#state === "idle" || this.#state === "starting") {
      throw new RapError("FAILED_PRECONDITION", "the client is not started: await client.start() first", {
        maybeExecuted: false,
      });
    }
    if (this.#stopped) throw stopped();
    if (!call.waitsForReady && !this.#alive) throw this.#unreachable();
    this.#waiting.add(call, this.#core);
    for (const endpoint of this.#endpoints) endpoint.wake();
  }

  /** An address cannot be reached, or its server does not serve: if it was the last, not all calls want to wait. */
  endpointDown(): void {
    if (!this.#alive) this.#waiting.dropImpatient(() => this.#unreachable());
  }

  /** There may be room: lets waiting calls go, first come first served. */
  serve(): void {
    if (this.#waiting.size > 0) this.#waiting.serve(this.#pick);
    if (this.sessions.size > 0) for (const session of this.sessions) session.serve();
    if (this.#onQuiet !== undefined && this.#quiet()) this.#onQuiet();
  }

  /** Why there is no connection, for an error's text; empty when there is one. */
  trouble(): string {
    const texts = this.#endpoints.flatMap(({ address, alive, lastError }) =>
      alive || lastError === undefined ? [] : [`${address}: ${lastError.message}`],
    );
    return texts.length === 0 ? "" : ` (${texts.join("; ")})`;
  }

  /** Lets running calls finish for `graceMs`, cancels the rest, closes. */
  async stop(graceMs: number): Promise<void> {
    this.#state = "stopped";
    this.#waiting.drop(stopped);
    for (const endpoint of this.#endpoints) endpoint.stop();
    if (!this.#quiet()) {
      await new Promise<void>((resolve) => {
        const timer = this.#core.clock.setTimeout(resolve, graceMs, true);
        this.#onQuiet = () => {
          this.#core.clock.clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#close(GoawayCode.NO_ERROR, "the client was stopped");
    this.#core.wheel.stop();
  }

  get #stopped(): boolean {
    return this.#state === "stopped";
  }

  /** Whether there is a connection, or one is being dialled. */
  get #alive(): boolean {
    return this.#endpoints.some(({ alive }) => alive);
  }

  /** Waits for what is nearly there, so that the first calls are spread over all servers that answer. */
  async #patience(others: Promise<unknown>): Promise<void> {
    const { clock } = this.#core;
    let timer: Timer | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, PATIENCE, true);
    });
    await Promise.race([others, enough]);
    clock.clearTimeout(timer!);
  }

  #unreachable(): RapError {
    return new RapError("UNAVAILABLE", `there is no connection${this.trouble()}`, {
      origin: "transport",
      maybeExecuted: false,
    });
  }

  #close(code: GoawayCode, reason: string): void {
    for (const endpoint of this.#endpoints) endpoint.close(code, reason);
  }

  /** Whether nobody waits for an answer. A call that was given up has a stream until its function ends, but no sink. */
  #quiet(): boolean {
    return this.connections.every((connection) => connection.openStreams().every(({ sink }) => sink === undefined));
  }
}

function stopped(): RapError {
  return new RapError("UNAVAILABLE", "the client is stopped", { maybeExecuted: false });
}

function stateError(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_RAP_STATE" });
}
