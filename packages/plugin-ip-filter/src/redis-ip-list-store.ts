import { checkOptions, withMethods } from "@rap/core";
import { type Clock, systemClock } from "@rap/protocol";
import type { IpListStore, IpLists, ListName } from "./ip-list-store";

/** Any Redis client: `createClient()` of `redis` is one. */
export interface RedisClient {
  sendCommand(args: string[]): Promise<unknown>;
}

export interface RedisIpListStoreOptions {
  /** Beginning of all keys; what has the same lists. Default `"rap:ip-filter"`. */
  prefix?: string;
  /** Milliseconds that Redis has to answer. Default 2000. */
  timeout?: number;
  clock?: Clock;
}

const isRedis = withMethods("a Redis client", "sendCommand");

/** Keeps the lists in Redis: a set for each, and a number that grows with every change. */
export class RedisIpListStore implements IpListStore {
  readonly #redis: RedisClient;
  readonly #keys: Readonly<Record<ListName | "version", string>>;
  readonly #timeout: number;
  readonly #clock: Clock;

  constructor(redis: RedisClient, options: RedisIpListStoreOptions = {}) {
    isRedis(redis, "the first argument of RedisIpListStore");
    checkOptions("RedisIpListStore", options, { prefix: "name", timeout: "time", clock: "clock" });
    this.#redis = redis;
    // The braces keep all keys in one slot of a cluster.
    const prefix = `{${options.prefix ?? "rap:ip-filter"}}`;
    this.#keys = { version: `${prefix}:version`, allow: `${prefix}:allow`, block: `${prefix}:block` };
    this.#timeout = options.timeout ?? 2_000;
    this.#clock = options.clock ?? systemClock;
  }

  async load(version: string | undefined): Promise<IpLists | undefined> {
    const { allow, block } = this.#keys;
    const reply = await this.#eval(LOAD, [allow, block], version ?? "");
    if (reply === null || reply === undefined) return undefined;
    const [now, allowed, blocked] = Array.isArray(reply) ? (reply as unknown[]) : [];
    if (!Array.isArray(allowed) || !Array.isArray(blocked)) throw new Error("Redis answered something else than lists");
    // No list is worse than an old one: without entries everyone may come.
    if (String(now) === NEVER && version !== undefined) throw new Error("Redis has lost the lists of addresses");
    return { version: String(now), allow: allowed.map(String), block: blocked.map(String) };
  }

  async add(list: ListName, entry: string): Promise<boolean> {
    const other = list === "allow" ? "block" : "allow";
    return (await this.#eval(ADD, [this.#keys[list], this.#keys[other]], entry)) !== 0;
  }

  async remove(list: ListName, entry: string): Promise<boolean> {
    return (await this.#eval(REMOVE, [this.#keys[list]], entry)) !== 0;
  }

  #eval(script: string, keys: readonly string[], argument: string): Promise<unknown> {
    const all = [this.#keys.version, ...keys];
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        reject(new Error(`Redis did not answer within ${this.#timeout} ms`));
      }, this.#timeout);
      const send = async () => this.#redis.sendCommand(["EVAL", script, String(all.length), ...all, argument]);
      send()
        .then(resolve, reject)
        .finally(() => this.#clock.clearTimeout(timer));
    });
  }
}

/** The version of lists that nobody has changed. */
const NEVER = "0";

// All scripts: KEYS[1] the version, then the lists; ARGV[1] the version that is known, or the entry.

const LOAD = `
local version = redis.call('GET', KEYS[1]) or '${NEVER}'
if version == ARGV[1] then return false end
return {version, redis.call('SMEMBERS', KEYS[2]), redis.call('SMEMBERS', KEYS[3])}
`;

const ADD = `
local changed = redis.call('SADD', KEYS[2], ARGV[1]) + redis.call('SREM', KEYS[3], ARGV[1])
if changed > 0 then redis.call('INCR', KEYS[1]) end
return changed
`;

const REMOVE = `
local changed = redis.call('SREM', KEYS[2], ARGV[1])
if changed > 0 then redis.call('INCR', KEYS[1]) end
return changed
`;
