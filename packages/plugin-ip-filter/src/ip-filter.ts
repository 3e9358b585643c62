import {
  type Arrival,
  type Connection,
  type ConnMiddleware,
  checkOptions,
  given,
  type Host,
  type OptionNames,
  oneOf,
  optionError,
  PrivateFunctions,
  parseIp,
  withMethods,
} from "@rap/core";
import { messageOf, RapError, type Timer } from "@rap/protocol";
import { CidrList, parseCidr } from "./cidr";
import type { IpListStore, IpLists, ListName } from "./ip-list-store";

export interface IpFilterOptions {
  /** Addresses and networks that may connect. With any entry here nobody else may, and `blockIpList` is not asked. */
  allowIpList?: readonly string[];
  /** Addresses and networks that may not connect. */
  blockIpList?: readonly string[];
  /**
   * Whether a blocked client is told why. `"plaintext"`: unless it would cost a TLS handshake; over TLS it is dropped
   * as it is accepted. `"always"`: over TLS too. `"never"`: it is dropped as it is accepted, before its first byte; for
   * a server under attack. Default `"plaintext"`.
   */
  explain?: "plaintext" | "always" | "never";
  /** Where several servers keep lists that hold in addition to these, and that are changed instead of these. */
  store?: IpListStore;
  /** Milliseconds between two looks into the store. Default 5000. */
  pollInterval?: number;
}

const OPTIONS: OptionNames<IpFilterOptions> = {
  allowIpList: true,
  blockIpList: true,
  explain: oneOf("plaintext", "always", "never"),
  store: withMethods("a store", "load", "add", "remove"),
  pollInterval: "time",
};

/** Entries of one list. More are a mistake, or belong into a firewall. */
const MAX_ENTRIES = 10_000;

type Lists = Record<ListName, CidrList>;

/**
 * Lets in or refuses connections by their IP address. `10.0.0.1` and `::ffff:10.0.0.1` are the same address. Peers that
 * have none, on a Unix socket or in memory, are let in; who has neither is refused.
 *
 * Private functions, group `IpFilterMiddleware`: `getAllowIp()`, `addAllowIp(entry)`, `removeAllowIp(entry)`,
 * `getBlockIp()`, `addBlockIp(entry)`, `removeBlockIp(entry)`. A change closes the connections that it blocks.
 */
export class IpFilterMiddleware implements ConnMiddleware {
  readonly kind = "conn";
  readonly #explain: NonNullable<IpFilterOptions["explain"]>;
  readonly #store: IpListStore | undefined;
  readonly #pollInterval: number;
  readonly #functions: PrivateFunctions;
  readonly #hosts = new Set<Host>();
  /** The options' lists; changed at run time only where there is no store. */
  readonly #own: Lists;
  #stored: Lists = { allow: new CidrList(), block: new CidrList() };
  #version: string | undefined;
  #loading: Promise<void> = Promise.resolve();
  #lost = false;
  #timer: Timer | undefined;

  /**
   * Throws a TypeError with code `ERR_RAP_CIDR` that names the entry for one that is no address and no network, and one
   * with `ERR_RAP_OPTION` for what is no list, or no option.
   */
  constructor(options: IpFilterOptions = {}) {
    checkOptions("IpFilterMiddleware", options, OPTIONS);
    const { allowIpList = [], blockIpList = [] } = options;
    this.#own = listsOf(allowIpList, blockIpList);
    this.#explain = options.explain ?? "plaintext";
    this.#store = options.store;
    this.#pollInterval = options.pollInterval ?? 5_000;
    this.#functions = new PrivateFunctions("IpFilterMiddleware", {
      getAllowIp: () => this.#entries("allow"),
      addAllowIp: (entry: unknown) => this.#add("allow", entry),
      removeAllowIp: (entry: unknown) => this.#remove("allow", entry),
      getBlockIp: () => this.#entries("block"),
      addBlockIp: (entry: unknown) => this.#add("block", entry),
      removeBlockIp: (entry: unknown) => this.#remove("block", entry),
    });
  }

  /** Rejects if the lists of the store cannot be read: a server does not start without knowing whom to refuse. */
  async onStart(host: Host): Promise<void> {
    if (this.#store !== undefined) await this.#load();
    this.#functions.register(host);
    this.#hosts.add(host);
    if (this.#store !== undefined) this.#pollLater(host);
  }

  onStop(host: Host): void {
    this.#hosts.delete(host);
    if (this.#timer === undefined) return;
    host.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const other of this.#hosts) this.#pollLater(other);
  }

  filter(arrival: Arrival): boolean {
    const silent = this.#explain === "never" || (this.#explain === "plaintext" && arrival.tls);
    return !silent || this.#permits(arrival);
  }

  async dispatch(conn: Connection, next: () => Promise<void>): Promise<void> {
    if (!this.#permits(conn)) return refuse(conn);
    await next();
  }

  #permits({ remoteAddress, local }: Pick<Connection, "remoteAddress" | "local">): boolean {
    const address = parseIp(remoteAddress);
    if (address === undefined) return local;
    const lists = [this.#own, this.#stored];
    if (lists.some(({ allow }) => allow.size > 0)) return lists.some(({ allow }) => allow.has(address));
    return !lists.some(({ block }) => block.has(address));
  }

  #entries(list: ListName): string[] {
    return [...new Set([...this.#own[list].entries, ...this.#stored[list].entries])];
  }

  async #add(list: ListName, given: unknown): Promise<boolean> {
    const cidr = argument(given);
    const other = list === "allow" ? "block" : "allow";
    if (this.#entries(list).length >= MAX_ENTRIES) {
      throw new RapError("RESOURCE_EXHAUSTED", `the list has ${MAX_ENTRIES} entries`);
    }
    if (this.#store !== undefined) return this.#change(this.#store.add(list, cidr.text));
    const removed = this.#own[other].delete(cidr);
    const added = this.#own[list].add(cidr);
    this.#closeBlocked();
    return removed || added;
  }

  async #remove(list: ListName, given: unknown): Promise<boolean> {
    const cidr = argument(given);
    if (this.#store !== undefined) {
      if (!this.#own[list].entries.includes(cidr.text)) return this.#change(this.#store.remove(list, cidr.text));
      throw new RapError("FAILED_PRECONDITION", `${cidr.text} is in the options of this server, not in the store`);
    }
    const removed = this.#own[list].delete(cidr);
    this.#closeBlocked();
    return removed;
  }

  /** A change of the store, and the lists as they are after it. */
  async #change(change: Promise<boolean>): Promise<boolean> {
    try {
      const changed = await change;
      await this.#load();
      return changed;
    } catch (error) {
      throw new RapError("UNAVAILABLE", "the store of address lists does not answer", { cause: error });
    }
  }

  #load(): Promise<void> {
    // One after the other, so that an older answer never replaces a newer one.
    this.#loading = this.#loading.then(undefined, () => {}).then(() => this.#loadNow());
    return this.#loading;
  }

  async #loadNow(): Promise<void> {
    const lists: IpLists | undefined = await this.#store?.load(this.#version);
    if (lists === undefined) return;
    this.#stored = listsOf(lists.allow, lists.block);
    this.#version = lists.version;
    this.#closeBlocked();
  }

  #pollLater(host: Host): void {
    this.#timer ??= host.clock.setTimeout(() => {
      this.#timer = undefined;
      void this.#poll(host);
    }, this.#pollInterval);
  }

  async #poll(host: Host): Promise<void> {
    try {
      await this.#load();
      this.#lost = false;
    } catch (error) {
      if (!this.#lost) host.logger.error({ err: error }, "the address lists could not be loaded: the last ones hold");
      this.#lost = true;
    }
    if (this.#hosts.has(host)) this.#pollLater(host);
  }

  #closeBlocked(): void {
    for (const host of this.#hosts) {
      for (const conn of host.connections()) if (!this.#permits(conn)) void refuse(conn);
    }
  }
}

function refuse(conn: Connection): Promise<void> {
  return conn.close(`${conn.remoteAddress} is not allowed to connect`);
}

function listsOf(allow: readonly string[], block: readonly string[]): Lists {
  return { allow: listOf("allow", allow), block: listOf("block", block) };
}

function listOf(name: ListName, entries: readonly string[]): CidrList {
  if (!Array.isArray(entries))
    throw optionError(`${name}IpList is a list of addresses and networks, not ${given(entries)}`);
  if (entries.length <= MAX_ENTRIES) return new CidrList(entries.map(parseCidr));
  const message = `the ${name} list has ${entries.length} entries, more than ${MAX_ENTRIES}`;
  throw Object.assign(new RangeError(message), { code: "ERR_RAP_LIMIT" });
}

function argument(entry: unknown): ReturnType<typeof parseCidr> {
  try {
    return parseCidr(entry as string);
  } catch (error) {
    throw new RapError("INVALID_ARGUMENT", messageOf(error), { cause: error });
  }
}
