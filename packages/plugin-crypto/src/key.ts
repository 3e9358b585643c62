import { createSecretKey, hkdfSync, type KeyObject, type ScryptOptions, scrypt } from "node:crypto";
import { checkOptions } from "@rap/core";

/**
 * A secret that client and server share: 16 to 64 bytes, best 32 random ones; or a text: 16 characters, or 32 bytes in
 * hex (64 digits) or base64 (43 or 44 characters).
 */
export type Key = string | Uint8Array;

const KEY_BYTES = 32;
const MIN_COST = 2 ** 17;
const BLOCK_SIZE = 8;

/**
 * A key from a passphrase, by scrypt (r = 8, p = 1): takes about half a second and 128 MiB, off the event loop.
 * Both sides must give the same `salt`, which is no secret: at least 8 bytes that no other installation uses. `cost`
 * is scrypt's N, a power of two; default and least 2^17. Rejects with a TypeError for a bad argument.
 */
export async function passphraseKey(
  passphrase: string,
  salt: string | Uint8Array,
  options: { cost?: number } = {},
): Promise<Uint8Array> {
  checkOptions("passphraseKey()", options, { cost: "number" });
  const { cost = MIN_COST } = options;
  if (typeof passphrase !== "string" || passphrase === "") throw keyError("a passphrase is a text that is not empty");
  if (!(typeof salt === "string" || salt instanceof Uint8Array) || Buffer.byteLength(salt) < 8) {
    throw keyError("the salt of a passphrase is a text or bytes, at least 8 of them");
  }
  if (!(cost >= MIN_COST && Number.isInteger(Math.log2(cost)))) {
    throw keyError(`the cost of scrypt is a power of two, at least ${MIN_COST}, not ${cost}`);
  }
  const settings: ScryptOptions = { N: cost, r: BLOCK_SIZE, p: 1, maxmem: 256 * cost * BLOCK_SIZE };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize("NFC"), salt, KEY_BYTES, settings, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

/** What a key stands for under its id: 32 bytes by HKDF, which makes keys of one length, but none stronger than it was. */
export function deriveKey(id: string, key: Key): KeyObject {
  return secretKey(hkdfSync("sha256", bytesOf(key), "rap/1 key", idBytes(id), KEY_BYTES));
}

/** The bytes of a key's id. Throws a TypeError for a bad one. */
export function idBytes(id: string): Uint8Array {
  const bytes = typeof id === "string" ? Buffer.from(id) : undefined;
  if (bytes === undefined || bytes.length === 0 || bytes.length > 128) {
    throw keyError("the id of a key is a text of 1 to 128 bytes");
  }
  return bytes;
}

/** Moves bytes into a key object; nothing stays of them outside. */
export function secretKey(bytes: ArrayBuffer): KeyObject {
  const buffer = Buffer.from(bytes);
  const key = createSecretKey(buffer);
  buffer.fill(0);
  return key;
}

function bytesOf(key: Key): Uint8Array {
  if (typeof key === "string") {
    if (key.length === 16) return Buffer.from(key);
    if (/^[0-9a-f]{64}$/i.test(key)) return Buffer.from(key, "hex");
    if (/^[\w+/-]{43}=?$/.test(key)) return Buffer.from(key, "base64");
  } else if (key instanceof Uint8Array && key.length >= 16 && key.length <= 64) return key;
  throw keyError(
    "a key is 16 to 64 bytes, or a text: 16 characters, or 32 bytes in hex or base64; for a passphrase use passphraseKey",
  );
}

/** Says what is wrong and never what was given. */
export function keyError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_KEY" });
}
