import { type Connection, type ConnMiddleware, checkOptions, type Host, PrivateFunctions } from "@rap/core";
import { type Clock, systemClock } from "@rap/protocol";
import type { ConnStore, Usage } from "./conn-store";
import { MemoryConnStore } from "./memory-conn-store";
import { Places } from "./places";
import { argument, isStore, option } from "./setting";

export interface ConnLimitOptions {
  /** Connections at the same time. Default 1024. */
  maxConn?: number;
  /** Milliseconds for which every new connection is refused after one was over the limit. 0: none. Default 30 000. */
  blockTime?: number;
  /** Where connections are counted. Default: in this process, for this middleware alone. */
  store?: ConnStore;
  /** What the connections count as in the store: all middleware with the same key share one count. Default `"all"`. */
  key?: string;
}

/** What `getConnLimitInfo` gives. */
export interface ConnLimitInfo {
  maxConn: number;
  blockTime: number;
  /** Connections that are counted now. */
  connections: number;
  /** Milliseconds for which new connections are still refused. */
  blockedFor: number;
}

/**
 * Limits how many connections a server has at the same time. One that is over the limit is refused, and so are all new
 * ones for `blockTime` after it; the client's error says so.
 *
 * Private functions, group `ConnLimitMiddleware`: `getConnLimitInfo()`, `modifyMaxConn(n)`, `modifyBlockTime(ms)`,
 * `modifyBlockedFor(ms)` (from now; 0 lets connections in again).
 */
export class ConnLimitMiddleware implements ConnMiddleware {
  readonly kind = "conn";
  #maxConn: number;
  #blockTime: number;
  #clock: Clock = systemClock;
  readonly #key: string;
  readonly #places: Places;
  readonly #functions: PrivateFunctions;

  /** Throws a TypeError for an option that does not exist, a RangeError for one that is no whole number, or too small. */
  constructor(options: ConnLimitOptions = {}) {
    checkOptions("ConnLimitMiddleware", options, { maxConn: true, blockTime: true, store: isStore, key: "name" });
    const { maxConn = 1_024, blockTime = 30_000 } = options;
    this.#maxConn = option("maxConn", maxConn, 1);
    this.#blockTime = option("blockTime", blockTime, 0);
    this.#key = options.key ?? "all";
    this.#places = new Places(options.store ?? new MemoryConnStore(() => this.#clock.now()));
    this.#functions = new PrivateFunctions("ConnLimitMiddleware", {
      getConnLimitInfo: () => this.#info(),
      modifyMaxConn: (maxConn: unknown) => {
        this.#maxConn = argument("maxConn", maxConn, 1);
      },
      modifyBlockTime: (blockTime: unknown) => {
        this.#blockTime = argument("blockTime", blockTime, 0);
      },
      modifyBlockedFor: (ms: unknown) => this.#places.block(this.#key, argument("ms", ms, 0)),
    });
  }

  onStart(host: Host): void {
    this.#clock = host.clock;
    this.#places.start(host.logger);
    this.#functions.register(host);
  }

  onStop(): Promise<void> {
    return this.#places.stop();
  }

  async dispatch(conn: Connection, next: () => Promise<void>): Promise<void> {
    const limit = this.#maxConn;
    const refusal = ({ blockedFor }: Usage) =>
      `the server is at its limit of ${limit} connections${blockedFor > 0 ? `, try again in ${seconds(blockedFor)}` : ""}`;
    await this.#places.admit(conn, { key: this.#key, limit, blockTime: this.#blockTime, refusal }, next);
  }

  async #info(): Promise<ConnLimitInfo> {
    const { count, blockedFor } = await this.#places.usage(this.#key);
    return { maxConn: this.#maxConn, blockTime: this.#blockTime, connections: count, blockedFor };
  }
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1_000)} s`;
}
