import {
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from "node:crypto";
import { NO_BYTES, readU16, readU32, writeU16, writeU32 } from "@rap/protocol";
import { secretKey } from "./key";
import { type Suite, suiteNumber, suiteOf } from "./suite";

/**
 * The two messages of a key exchange and the secrets that come of it. `docs/guide/crypto.md` has them as tables. Both
 * sides prove the shared key by an HMAC, and agree on a secret of this connection alone by X25519, so that whoever learns
 * the key later cannot read what was recorded.
 */
export const VERSION = 1;
const BOUND = 0x01;
const RANDOM_BYTES = 32;
const SHARE_BYTES = 32;
const TAG_BYTES = 32;

/** What the client offers. */
export interface Offer {
  /** Whether the exchange counts only on the TLS connection that it travels on. */
  readonly bound: boolean;
  /** In order of preference. Those that this version does not know are left out. */
  readonly suites: readonly Suite[];
  readonly keyId: string;
  /** Wall time, in milliseconds since 1970. */
  readonly time: number;
  /** Also the nonce by which the offer is known again. */
  readonly random: Uint8Array;
  /** Public X25519 key. */
  readonly share: Uint8Array;
}

/** What the server answers. */
export interface Answer {
  readonly suite: Suite;
  readonly time: number;
  readonly random: Uint8Array;
  readonly share: Uint8Array;
}

/** Secrets of one connection. */
export interface Secrets {
  /** Of what the client sends. */
  readonly client: Uint8Array;
  readonly server: Uint8Array;
  /** Proves to the client that the server has the key. */
  readonly confirm: KeyObject;
}

/** A message without its tag, and the tag. */
export interface Signed<T> {
  readonly message: T;
  readonly body: Uint8Array;
  readonly tag: Uint8Array;
}

export function encodeOffer({ bound, suites, keyId, time, random, share }: Offer): Uint8Array {
  const id = Buffer.from(keyId);
  const numbers = suites.map(suiteNumber);
  const head = [VERSION, bound ? BOUND : 0, numbers.length, ...numbers, id.length];
  return Buffer.concat([Uint8Array.from(head), id, timeBytes(time), random, share]);
}

/** Reads an offer with its tag. Throws for anything else. */
export function decodeOffer(bytes: Uint8Array): Signed<Offer> {
  const reader = new Reader(bytes);
  if (reader.byte() !== VERSION) throw new Error("another version of the exchange");
  const flags = reader.byte();
  if ((flags & ~BOUND) !== 0) throw new Error("unknown flags");
  const suites = [...reader.take(reader.byte())].map(suiteOf).filter((suite) => suite !== undefined);
  const keyId = Buffer.from(reader.take(reader.byte())).toString();
  const time = reader.time();
  const message = {
    bound: flags === BOUND,
    suites,
    keyId,
    time,
    random: reader.take(RANDOM_BYTES),
    share: reader.take(SHARE_BYTES),
  };
  return reader.signed(message);
}

export function encodeAnswer({ suite, time, random, share }: Answer): Uint8Array {
  return Buffer.concat([Uint8Array.of(VERSION, suiteNumber(suite)), timeBytes(time), random, share]);
}

/** Reads an answer with its tag. Throws for anything else. */
export function decodeAnswer(bytes: Uint8Array): Signed<Answer> {
  const reader = new Reader(bytes);
  if (reader.byte() !== VERSION) throw new Error("another version of the exchange");
  const suite = suiteOf(reader.byte());
  if (suite === undefined) throw new Error("an unknown suite");
  const message = { suite, time: reader.time(), random: reader.take(RANDOM_BYTES), share: reader.take(SHARE_BYTES) };
  return reader.signed(message);
}

/** The key of the tags of offers. */
export function offerKey(secret: KeyObject): KeyObject {
  return expand(secret, NO_BYTES, "offer", NO_BYTES);
}

/** An offer's tag. `binding` is of the TLS connection underneath, for an offer that is bound to it. */
export function offerTag(key: KeyObject, body: Uint8Array, binding: Uint8Array | undefined): Uint8Array {
  return createHmac("sha256", key)
    .update(body)
    .update(binding ?? NO_BYTES)
    .digest();
}

/** An answer's tag; `transcript` has both messages. */
export function answerTag(confirm: KeyObject, transcript: Uint8Array): Uint8Array {
  return createHmac("sha256", confirm).update(transcript).digest();
}

/** Whether two tags are the same, in a time that says nothing about where they differ. */
export function sameTag(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A hash of all that both sides said: whatever is altered on its way alters every secret. */
export function transcriptOf(offer: Uint8Array, answer: Uint8Array, binding: Uint8Array | undefined): Uint8Array {
  const hash = createHash("sha256");
  for (const part of [offer, answer, binding ?? NO_BYTES]) {
    const length = new Uint8Array(2);
    writeU16(length, 0, part.length);
    hash.update(length).update(part);
  }
  return hash.digest();
}

/** All secrets of a connection, from the shared key, the X25519 secret, both randoms and the transcript. */
export function deriveSecrets(
  key: KeyObject,
  shared: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
  transcript: Uint8Array,
): Secrets {
  const root = Buffer.from(
    hkdfSync("sha256", key, Buffer.concat([clientRandom, serverRandom]), info("root", transcript), 32),
  );
  const secrets = {
    client: Buffer.from(hkdfSync("sha256", shared, root, info("client", transcript), 32)),
    server: Buffer.from(hkdfSync("sha256", shared, root, info("server", transcript), 32)),
    confirm: expand(shared, root, "confirm", transcript),
  };
  root.fill(0);
  return secrets;
}

/** One side's X25519 key, for one connection. */
export class KeyShare {
  readonly bytes: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("x25519");
    this.bytes = publicKey.export({ type: "spki", format: "der" }).subarray(-SHARE_BYTES);
    this.#privateKey = privateKey;
  }

  /** The secret that only the two sides know. Throws for a share that gives none (RFC 7748, section 6.1). */
  agree(share: Uint8Array): Uint8Array {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI, share]), type: "spki", format: "der" });
    return diffieHellman({ privateKey: this.#privateKey, publicKey });
  }
}

/** What stands before the 32 bytes of an X25519 key in a SubjectPublicKeyInfo (RFC 8410). */
const SPKI = Buffer.from("302a300506032b656e032100", "hex");

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(count: number): Uint8Array {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new Error("cut short");
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  time(): number {
    const bytes = this.take(6);
    return readU16(bytes, 0) * 2 ** 32 + readU32(bytes, 2);
  }

  /** The tag must be all that is left. */
  signed<T>(message: T): Signed<T> {
    const body = this.#bytes.subarray(0, this.#at);
    const tag = this.take(TAG_BYTES);
    if (this.#at < this.#bytes.length) throw new Error("too long");
    return { message, body, tag };
  }
}

function timeBytes(time: number): Uint8Array {
  const bytes = new Uint8Array(6);
  writeU16(bytes, 0, Math.floor(time / 2 ** 32));
  writeU32(bytes, 2, time % 2 ** 32);
  return bytes;
}

function expand(from: KeyObject | Uint8Array, salt: Uint8Array, label: string, context: Uint8Array): KeyObject {
  return secretKey(hkdfSync("sha256", from, salt, info(label, context), 32));
}

function info(label: string, context: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`rap/1 ${label}`), context]);
}
