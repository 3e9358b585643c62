/** How a key of a {@link ConnStore} stands. */
export interface Usage {
  /** Places that are taken. */
  readonly count: number;
  /** Milliseconds for which no place is given, however many are free; 0: none. */
  readonly blockedFor: number;
}

/** The outcome of asking for a place. */
export interface Taken extends Usage {
  readonly taken: boolean;
}

/**
 * Counts connections, for one process or for several. Any error means that the connection was not counted; the
 * middleware then refuses it. `connStoreCompliance` states the laws.
 */
export interface ConnStore {
  /**
   * Takes a place under `key`, unless `limit` are taken or the key is blocked. Being over the limit blocks the key for
   * `blockTime` milliseconds (0: not at all); being refused because of a block does not prolong it.
   */
  take(key: string, limit: number, blockTime: number): Promise<Taken>;
  /** Gives a place back. */
  give(key: string): Promise<void>;
  usage(key: string): Promise<Usage>;
  /** Gives no place under `key` for `ms` from now; 0 ends a block. */
  block(key: string, ms: number): Promise<void>;
}
