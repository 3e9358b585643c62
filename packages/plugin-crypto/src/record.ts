import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject } from "node:crypto";
import { checkOptions, given } from "@rap/core";
import { type Clock, HEAD_BYTES, Kind, NO_BYTES, type RecordCipher, writeHead, writeU32 } from "@rap/protocol";
import { secretKey } from "./key";
import type { Suite } from "./suite";

/** When a side goes on to its next key; each of them at most the default. */
export interface RekeyOptions {
  /** Records under one key. Default 2^24. */
  records?: number;
  /** Bytes under one key. Default 64 GiB. */
  bytes?: number;
  /** Milliseconds. Default one hour. */
  interval?: number;
}

export const REKEY: Readonly<Required<RekeyOptions>> = { records: 2 ** 24, bytes: 2 ** 36, interval: 3_600_000 };

/** What no key may do, ours or the peer's: twice what it should. */
export const HARD_STOP = { records: 2 * REKEY.records, bytes: 2 * REKEY.bytes };

const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** A SEALED frame's flag: from this record on the sender's next key is used. */
const NEXT_KEY = 0x01;

/** The nonce of a record: the key's 12 bytes, the last 8 of them combined with the record's number. */
export function nonceOf(iv: Uint8Array, record: number, nonce: Uint8Array = new Uint8Array(NONCE_BYTES)): Uint8Array {
  nonce.set(iv);
  const high = Math.floor(record / 2 ** 32);
  for (let at = 0; at < 4; at++) {
    nonce[4 + at]! ^= high >>> (24 - 8 * at);
    nonce[8 + at]! ^= record >>> (24 - 8 * at);
  }
  return nonce;
}

/** What one side of a connection sends: its keys, one after the other, each made of the one before it. */
export class Direction {
  readonly #suite: Suite;
  readonly #side: number;
  readonly #clock: Clock;
  /** Makes the next key; it cannot be found from what came of it. */
  #secret: Buffer;
  #key: KeyObject | undefined;
  #iv = NO_BYTES;
  #since = 0;
  #epoch = -1;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  /** The head as sent, whose direction, and the number of the key. */
  readonly #aad = new Uint8Array(HEAD_BYTES + 5);
  /** Sealed or opened under this key. */
  records = 0;
  bytes = 0;

  /** `secret` is used up. */
  constructor(suite: Suite, side: "client" | "server", secret: Uint8Array, clock: Clock) {
    this.#suite = suite;
    this.#side = side === "client" ? 1 : 2;
    this.#secret = Buffer.from(secret);
    this.#clock = clock;
    secret.fill(0);
    this.#setKey();
  }

  /** Milliseconds that the key is old. */
  get age(): number {
    return this.#clock.now() - this.#since;
  }

  /** Goes on to the next key. */
  next(): void {
    const secret = Buffer.from(hkdfSync("sha256", this.#secret, NO_BYTES, "rap/1 next", 32));
    this.#secret.fill(0);
    this.#secret = secret;
    this.#setKey();
  }

  /** Seals `bytes` into `frame`, whose head is there already. */
  seal(frame: Uint8Array, bytes: Uint8Array): void {
    const cipher = createCipheriv(this.#suite as "aes-256-gcm", this.#use(bytes.length), this.#nonce, {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(this.#boundTo(frame));
    frame.set(cipher.update(bytes), HEAD_BYTES);
    cipher.final();
    frame.set(cipher.getAuthTag(), frame.length - TAG_BYTES);
  }

  /** What is sealed in `frame`. Throws unless all of it is genuine. */
  open(frame: Uint8Array): Uint8Array {
    const end = frame.length - TAG_BYTES;
    if (end < HEAD_BYTES) throw new Error("a record is cut short");
    const decipher = createDecipheriv(this.#suite as "aes-256-gcm", this.#use(end - HEAD_BYTES), this.#nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(this.#boundTo(frame));
    decipher.setAuthTag(frame.subarray(end));
    const bytes = decipher.update(frame.subarray(HEAD_BYTES, end));
    // Nothing of it counts before this has not thrown.
    decipher.final();
    return bytes;
  }

  close(): void {
    this.#key = undefined;
    this.#secret.fill(0);
    this.#iv.fill(0);
  }

  /** The key, for one more record; its nonce is in `#nonce`. */
  #use(bytes: number): KeyObject {
    if (this.#key === undefined) throw new Error("the connection is over");
    nonceOf(this.#iv, this.records, this.#nonce);
    this.records++;
    this.bytes += bytes;
    if (this.records > HARD_STOP.records || this.bytes > HARD_STOP.bytes) throw new Error("the key was used too often");
    return this.#key;
  }

  #boundTo(frame: Uint8Array): Uint8Array {
    this.#aad.set(frame.subarray(0, HEAD_BYTES));
    return this.#aad;
  }

  #setKey(): void {
    this.#key = secretKey(hkdfSync("sha256", this.#secret, NO_BYTES, "rap/1 key", 32));
    this.#iv = Buffer.from(hkdfSync("sha256", this.#secret, NO_BYTES, "rap/1 iv", NONCE_BYTES));
    this.#epoch++;
    this.#aad[HEAD_BYTES] = this.#side;
    writeU32(this.#aad, HEAD_BYTES + 1, this.#epoch);
    this.#since = this.#clock.now();
    this.records = 0;
    this.bytes = 0;
  }
}

/** The records of one connection. */
export class Records implements RecordCipher {
  readonly overhead = TAG_BYTES;
  readonly #send: Direction;
  readonly #receive: Direction;
  readonly #rekey: Required<RekeyOptions>;
  readonly #shared: { readonly removed: boolean };

  /** Ends with the first record after the shared key was removed. */
  constructor(
    send: Direction,
    receive: Direction,
    rekey: Required<RekeyOptions>,
    shared: { readonly removed: boolean },
  ) {
    this.#send = send;
    this.#receive = receive;
    this.#rekey = rekey;
    this.#shared = shared;
  }

  seal(bytes: Uint8Array): Uint8Array {
    this.#check();
    const send = this.#send;
    const { records, bytes: most, interval } = this.#rekey;
    const due = send.records >= records || send.bytes >= most || send.age >= interval;
    if (due) send.next();
    const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes.length + TAG_BYTES);
    writeHead(frame, 0, bytes.length + TAG_BYTES, Kind.SEALED, due ? NEXT_KEY : 0, 0);
    send.seal(frame, bytes);
    return frame;
  }

  open(frame: Uint8Array): Uint8Array {
    this.#check();
    const flags = frame[5]!;
    if ((flags & ~NEXT_KEY) !== 0) throw new Error("unknown flags");
    if (flags === NEXT_KEY) this.#receive.next();
    return this.#receive.open(frame);
  }

  close(): void {
    this.#send.close();
    this.#receive.close();
  }

  #check(): void {
    if (this.#shared.removed) throw new Error("the key of the connection was removed");
  }
}

/** Throws a RangeError for a limit over the default, a TypeError for one that does not exist. */
export function rekeyLimits(options: RekeyOptions = {}): Required<RekeyOptions> {
  checkOptions("rekey", options, { records: true, bytes: true, interval: true });
  const { records = REKEY.records, bytes = REKEY.bytes, interval = REKEY.interval } = options;
  const limits = { records, bytes, interval };
  for (const [name, value] of Object.entries(limits)) {
    if (!(typeof value === "number" && value > 0 && value <= REKEY[name as keyof RekeyOptions])) {
      const most = REKEY[name as keyof RekeyOptions];
      const message = `rekey.${name} must be more than 0 and at most ${most}, not ${given(value)}`;
      throw Object.assign(new RangeError(message), { code: "ERR_RAP_CRYPTO" });
    }
  }
  return limits;
}
