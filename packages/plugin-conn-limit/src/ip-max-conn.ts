import { type Connection, type ConnMiddleware, checkOptions, type Host, ipNetwork, PrivateFunctions } from "@rap/core";
import { type Clock, systemClock } from "@rap/protocol";
import type { ConnStore } from "./conn-store";
import { MemoryConnStore } from "./memory-conn-store";
import { Places } from "./places";
import { argument, isStore, option } from "./setting";
import { type Visitor, Visitors } from "./visitors";

export interface IpMaxConnOptions {
  /** Connections of one IP address at the same time; of IPv6, of one /64. Default 128. */
  ipMaxConn?: number;
  /**
   * Milliseconds for which the statistics of an address that has no connection any more are kept (`getInfo`). Its
   * connections are counted exactly, however long they last. Default 180 000.
   */
  timeout?: number;
  /** Where connections are counted. Default: in this process, for this middleware alone. */
  store?: ConnStore;
  /** What the addresses begin with in the store: all middleware with the same key share counts. Default `"ip"`. */
  key?: string;
}

/** What `getInfo` gives. */
export interface IpMaxConnInfo {
  ipMaxConn: number;
  timeout: number;
  /** This server's visitors, those with the most connections first; at most 1000. */
  addresses: Visitor[];
}

const MAX_LISTED = 1_000;

/**
 * Limits how many connections one IP address has at the same time; IPv6 counts per /64, and `::ffff:10.0.0.1` is
 * `10.0.0.1`. Peers that have no IP address, on a Unix socket or in memory, are not limited.
 *
 * Private functions, group `IpMaxConnMiddleware`: `getInfo()`, `modifyIpMaxConn(n)`, `modifyTimeout(ms)`.
 */
export class IpMaxConnMiddleware implements ConnMiddleware {
  readonly kind = "conn";
  #ipMaxConn: number;
  #clock: Clock = systemClock;
  readonly #key: string;
  readonly #places: Places;
  readonly #visitors: Visitors;
  readonly #functions: PrivateFunctions;

  /** Throws a TypeError for an option that does not exist, a RangeError for one that is no whole number, or too small. */
  constructor(options: IpMaxConnOptions = {}) {
    checkOptions("IpMaxConnMiddleware", options, { ipMaxConn: true, timeout: true, store: isStore, key: "name" });
    const { ipMaxConn = 128, timeout = 180_000 } = options;
    this.#ipMaxConn = option("ipMaxConn", ipMaxConn, 1);
    this.#visitors = new Visitors(option("timeout", timeout, 0), () => this.#clock.now());
    this.#key = options.key ?? "ip";
    this.#places = new Places(options.store ?? new MemoryConnStore());
    this.#functions = new PrivateFunctions("IpMaxConnMiddleware", {
      getInfo: () => this.#info(),
      modifyIpMaxConn: (ipMaxConn: unknown) => {
        this.#ipMaxConn = argument("ipMaxConn", ipMaxConn, 1);
      },
      modifyTimeout: (timeout: unknown) => {
        this.#visitors.timeout = argument("timeout", timeout, 0);
      },
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
    const network = ipNetwork(conn.remoteAddress);
    if (network === undefined) {
      // Whatever else has no IP address cannot be counted, so it cannot come in.
      return conn.local ? next() : conn.close("the server cannot tell where the connection comes from");
    }
    const limit = this.#ipMaxConn;
    const refusal = () => `${network} is at its limit of ${limit} connections`;
    const admitted = await this.#places.admit(
      conn,
      { key: `${this.#key}:${network}`, limit, blockTime: 0, refusal },
      async () => {
        this.#visitors.came(network);
        try {
          await next();
        } finally {
          this.#visitors.left(network);
        }
      },
    );
    if (!admitted) this.#visitors.refused(network);
  }

  #info(): IpMaxConnInfo {
    const { timeout } = this.#visitors;
    return { ipMaxConn: this.#ipMaxConn, timeout, addresses: this.#visitors.list(MAX_LISTED) };
  }
}
