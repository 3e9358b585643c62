import { checkOptions, defaultLogger, type Logger, type OptionNames, oneOf, wholeNumber, withMethods } from "@rap/core";
import { type Clock, messageOf, type Random, randomId, systemClock, systemRandom, type Timer } from "@rap/protocol";
import type { ConnStore, Taken, Usage } from "./conn-store";

/** Any Redis client that sends commands in order: `createClient()` of `redis` is one. */
export interface RedisClient {
  sendCommand(args: string[]): Promise<unknown>;
}

export interface RedisConnStoreOptions {
  /** Beginning of all keys; what has the same counts together. Default `"rap:conn-limit"`. */
  prefix?: string;
  /** Milliseconds after which the counts of a process that died are gone. Renewed after a third. Default 30 000. */
  lease?: number;
  /** Milliseconds that Redis has to answer. Default 2000. */
  timeout?: number;
  /**
   * What becomes of new connections while Redis does not answer. `"refuse"`: none is let in. `"countAlone"`: this
   * process holds the limit for its own connections, as if it were the only one. Default `"refuse"`.
   */
  whenUnreachable?: "refuse" | "countAlone";
  /** Told when Redis is lost and found. Default: warnings to standard error. */
  logger?: Logger;
  clock?: Clock;
  random?: Random;
}

const OPTIONS: OptionNames<RedisConnStoreOptions> = {
  prefix: "name",
  lease: wholeNumber(1),
  timeout: "time",
  whenUnreachable: oneOf("refuse", "countAlone"),
  logger: "logger",
  clock: "clock",
  random: "random",
};

const isRedis = withMethods("a Redis client", "sendCommand");

/** Milliseconds between attempts to reach a Redis that did not answer. */
const RETRY = 1_000;

/**
 * Counts the connections of several processes together, in Redis 5 or later. Each process has a hash of its own counts
 * that lapses unless it is renewed, so what dies leaves nothing behind; the sum over the hashes is taken and a place
 * counted in one step. Each process knows its own counts and writes them anew after anything went wrong.
 */
export class RedisConnStore implements ConnStore {
  readonly #redis: RedisClient;
  readonly #id: string;
  readonly #prefix: string;
  readonly #lease: number;
  readonly #timeout: number;
  readonly #alone: boolean;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** The places that this process holds: what its hash in Redis should say. */
  readonly #own = new Map<string, number>();
  /** Grows with every change of them. */
  #version = 0;
  readonly #running = new Set<Promise<unknown>>();
  /** Why the hash in Redis may say something else. */
  #broken: unknown;
  #repairing: Promise<void> | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(redis: RedisClient, options: RedisConnStoreOptions = {}) {
    isRedis(redis, "the first argument of RedisConnStore");
    checkOptions("RedisConnStore", options, OPTIONS);
    this.#redis = redis;
    this.#id = randomId(options.random ?? systemRandom);
    // The braces keep all keys in one slot of a cluster.
    this.#prefix = `{${options.prefix ?? "rap:conn-limit"}}:`;
    this.#lease = options.lease ?? 30_000;
    this.#timeout = options.timeout ?? 2_000;
    this.#alone = options.whenUnreachable === "countAlone";
    this.#logger = options.logger ?? defaultLogger();
    this.#clock = options.clock ?? systemClock;
  }

  async take(key: string, limit: number, blockTime: number): Promise<Taken> {
    try {
      return await this.#run(async () => {
        const reply = await this.#eval(TAKE, [this.#blockKey(key)], [key, limit, blockTime]);
        const [taken, count, blockedFor] = numbers(reply, 3) as [number, number, number];
        if (taken === 1) this.#add(key);
        return { taken: taken === 1, count, blockedFor };
      });
    } catch (error) {
      if (!this.#alone) throw error;
      const count = this.#own.get(key) ?? 0;
      if (count >= limit) return { taken: false, count, blockedFor: 0 };
      this.#add(key);
      return { taken: true, count: count + 1, blockedFor: 0 };
    }
  }

  async give(key: string): Promise<void> {
    const count = this.#own.get(key);
    if (count === undefined) return;
    this.#version++;
    if (count === 1) this.#own.delete(key);
    else this.#own.set(key, count - 1);
    // If Redis is lost, or is lost by this, all counts will be written anew.
    if (this.#broken === undefined) await this.#run(() => this.#eval(GIVE, [], [key])).catch(() => {});
  }

  usage(key: string): Promise<Usage> {
    return this.#run(async () => {
      const reply = await this.#eval(USAGE, [this.#blockKey(key)], [key]);
      const [count, blockedFor] = numbers(reply, 2) as [number, number];
      return { count, blockedFor };
    });
  }

  async block(key: string, ms: number): Promise<void> {
    const blockKey = this.#blockKey(key);
    const command = ms > 0 ? ["SET", blockKey, "1", "PX", String(Math.ceil(ms))] : ["DEL", blockKey];
    await this.#run(() => this.#send(command));
  }

  #add(key: string): void {
    this.#version++;
    this.#own.set(key, (this.#own.get(key) ?? 0) + 1);
    this.#renewLater();
  }

  /** Runs a command and what follows from it, unless Redis is lost; a failure means that it is. */
  async #run<T>(command: () => Promise<T>): Promise<T> {
    if (this.#broken !== undefined) this.#repair();
    await this.#repairing;
    if (this.#broken !== undefined) throw this.#broken;
    const running = command();
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      this.#lost(error);
      throw error;
    } finally {
      this.#running.delete(running);
    }
  }

  #lost(error: unknown): void {
    if (this.#broken === undefined) this.#logger.warn({ err: error }, "connections are not counted together: no Redis");
    this.#broken = error;
    this.#renewLater();
  }

  /** Writes the process's hash anew: when no command is on its way, and again if places were given back meanwhile. */
  #repair(): void {
    if (this.#repairing !== undefined || this.#clock.now() - this.#triedAt < RETRY) return;
    this.#triedAt = this.#clock.now();
    const write = async () => {
      await Promise.allSettled(this.#running);
      for (let written = -1; written !== this.#version; ) {
        written = this.#version;
        await this.#eval(WRITE, [], [...this.#own].flat());
      }
    };
    this.#repairing = write()
      .then(
        () => {
          this.#logger.info({ keys: this.#own.size }, "connections are counted together again");
          this.#broken = undefined;
        },
        (error) => this.#lost(error),
      )
      .finally(() => {
        this.#repairing = undefined;
      });
  }

  #renewLater(): void {
    this.#timer ??= this.#clock.setTimeout(() => {
      this.#timer = undefined;
      // What is left in Redis lapses by itself.
      if (this.#own.size > 0) void this.#renew();
    }, this.#lease / 3);
  }

  async #renew(): Promise<void> {
    this.#renewLater();
    if (this.#broken !== undefined) return this.#repair();
    const [renewed] = await this.#run(async () => numbers(await this.#eval(RENEW, [], []), 1)).catch(() => [1]);
    // It had lapsed: the process stood still, or Redis has lost its data.
    if (renewed === 0) {
      this.#broken = new Error("the counts of this process had lapsed in Redis");
      this.#triedAt = Number.NEGATIVE_INFINITY;
      this.#repair();
    }
  }

  #blockKey(key: string): string {
    return `${this.#prefix}blocked:${key}`;
  }

  #eval(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    const all = [`${this.#prefix}servers`, `${this.#prefix}server:${this.#id}`, ...keys];
    const own = [`${this.#prefix}server:`, this.#id, this.#lease];
    return this.#send(["EVAL", script, String(all.length), ...all, ...[...own, ...args].map(String)]);
  }

  #send(command: string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        reject(new Error(`Redis did not answer within ${this.#timeout} ms`));
      }, this.#timeout);
      const send = async () => this.#redis.sendCommand(command);
      send()
        .then(resolve, reject)
        .finally(() => this.#clock.clearTimeout(timer));
    });
  }
}

function numbers(reply: unknown, count: number): number[] {
  const list = Array.isArray(reply) ? reply.map(Number) : [];
  if (list.length === count && list.every(Number.isFinite)) return list;
  throw new Error(`Redis answered ${messageOf(reply)} instead of ${count} numbers`);
}

// All scripts: KEYS[1] the ids of the processes, KEYS[2] the hash of this one; ARGV[1] what the names of all hashes
// begin with, ARGV[2] this process's id, ARGV[3] its lease; from ARGV[4] on the script's own.

/** Sums a key over the processes whose hash has not lapsed, and forgets the others. */
const COUNT = `
local function count(key)
  local sum = 0
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local own = redis.call('HGET', ARGV[1] .. id, key)
    if own then sum = sum + tonumber(own)
    elseif redis.call('EXISTS', ARGV[1] .. id) == 0 then redis.call('SREM', KEYS[1], id) end
  end
  return sum
end
local function blocked() return math.max(0, redis.call('PTTL', KEYS[3])) end
`;

/** Makes this process one of those that are counted; the list of them outlives any lease. */
const JOIN = `
local function join()
  redis.call('SADD', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], 86400000 + 2 * ARGV[3])
  return redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
`;

const TAKE = `${COUNT}${JOIN}
local sum, wait = count(ARGV[4]), blocked()
if wait > 0 then return {0, sum, wait} end
if sum >= tonumber(ARGV[5]) then
  local time = math.ceil(ARGV[6])
  if time > 0 then redis.call('SET', KEYS[3], 1, 'PX', time) end
  return {0, sum, time}
end
redis.call('HINCRBY', KEYS[2], ARGV[4], 1)
join()
return {1, sum + 1, 0}
`;

const GIVE = `
local own = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)
if own > 1 then redis.call('HINCRBY', KEYS[2], ARGV[4], -1) else redis.call('HDEL', KEYS[2], ARGV[4]) end
return 1
`;

const USAGE = `${COUNT}
return {count(ARGV[4]), blocked()}
`;

const RENEW = `${JOIN}
return {join()}
`;

const WRITE = `${JOIN}
redis.call('DEL', KEYS[2])
for at = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
join()
return 1
`;
