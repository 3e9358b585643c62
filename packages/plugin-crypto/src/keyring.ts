import { type KeyObject, randomBytes } from "node:crypto";
import { checkOptions, must } from "@rap/core";
import { offerKey } from "./exchange";
import { deriveKey, type Key } from "./key";

/** When a key may be used to connect; connections that are open then stay open. Default: always. */
export interface Validity {
  /** From then on: a date, or milliseconds since 1970. */
  notBefore?: Date | number;
  /** Until then. */
  notAfter?: Date | number;
}

/** A key that is known. */
export interface KnownKey {
  readonly id: string;
  readonly secret: KeyObject;
  /** Proves that a client has the key. */
  readonly offerKey: KeyObject;
  readonly notBefore: number;
  readonly notAfter: number;
  /** It was taken away: its connections end at their next record. */
  removed: boolean;
}

/** The keys of a server by their ids. They can be changed while it runs; it never gives one away. */
export class Keyring {
  readonly #keys = new Map<string, KnownKey>();
  /** Stands in for a key that is not known, so that looking takes the same time. */
  readonly #nobody = known("nobody", randomBytes(32));

  /**
   * Adds a key, at once for new connections. Another one of the same id is removed. Throws a TypeError with code
   * `ERR_RAP_KEY`.
   */
  add(id: string, key: Key, validity: Validity = {}): this {
    const added = known(id, key, validity);
    this.remove(id);
    this.#keys.set(id, added);
    return this;
  }

  /** Takes a key away: it opens no connection any more, and those that it opened end. false if there is none. */
  remove(id: string): boolean {
    const key = this.#keys.get(id);
    if (key !== undefined) key.removed = true;
    return this.#keys.delete(id);
  }

  /** The ids of the keys, in the order in which they were added. */
  ids(): string[] {
    return [...this.#keys.keys()];
  }

  /** The key of an id, or one that nobody has. */
  find(id: string): KnownKey {
    return this.#keys.get(id) ?? this.#nobody;
  }
}

const time = must("a date, or milliseconds since 1970", (value) => {
  return (typeof value === "number" || value instanceof Date) && !Number.isNaN(Number(value));
});

/** A key in the form in which it is used. */
export function known(id: string, key: Key, validity: Validity = {}): KnownKey {
  checkOptions("the validity of a key", validity, { notBefore: time, notAfter: time });
  const { notBefore, notAfter } = validity;
  const secret = deriveKey(id, key);
  return {
    id,
    secret,
    offerKey: offerKey(secret),
    notBefore: Number(notBefore ?? Number.NEGATIVE_INFINITY),
    notAfter: Number(notAfter ?? Number.POSITIVE_INFINITY),
    removed: false,
  };
}
