import type { Connection, Logger } from "@rap/core";
import { RapError } from "@rap/protocol";
import type { ConnStore, Usage } from "./conn-store";

/** The place that a connection needs. */
export interface Wanted {
  readonly key: string;
  readonly limit: number;
  readonly blockTime: number;
  /** What a refused client is told. */
  refusal(usage: Usage): string;
}

/** Lets connections in for as long as they hold a place of a store. */
export class Places {
  readonly #store: ConnStore;
  readonly #leaving = new Set<Promise<void>>();
  #logger: Logger | undefined;

  constructor(store: ConnStore) {
    this.#store = store;
  }

  start(logger: Logger): void {
    this.#logger = logger;
  }

  /** Resolves when every place that was given back is known to be so. */
  async stop(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  /** Resolves when the connection is over, with whether it was let in. */
  async admit(conn: Connection, wanted: Wanted, next: () => Promise<void>): Promise<boolean> {
    const { key, limit, blockTime } = wanted;
    try {
      const { taken, ...usage } = await this.#store.take(key, limit, blockTime);
      if (!taken) {
        await conn.close(wanted.refusal(usage));
        return false;
      }
    } catch (error) {
      this.#logger?.error({ err: error, peer: conn.remoteAddress }, "a connection could not be counted: refused");
      await conn.close("the server cannot count its connections at the moment");
      return false;
    }
    try {
      await next();
    } finally {
      await this.#give(key);
    }
    return true;
  }

  async usage(key: string): Promise<Usage> {
    return asked(this.#store.usage(key));
  }

  async block(key: string, ms: number): Promise<void> {
    return asked(this.#store.block(key, ms));
  }

  #give(key: string): Promise<void> {
    const leaving = this.#store
      .give(key)
      .catch((error) => this.#logger?.error({ err: error }, "a place could not be given back"))
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    return leaving;
  }
}

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw new RapError("UNAVAILABLE", "the store of connection counts does not answer", { cause: error });
  }
}
