/** Randomness as the library sees it. Replace it to make a test repeatable. */
export interface Random {
  /** Unguessable bytes. */
  bytes(length: number): Uint8Array;
  /** A number in [0, 1), for jitter and sampling; not for secrets. */
  float(): number;
}

/** The machine's own randomness. */
export const systemRandom: Random = {
  bytes: (length) => globalThis.crypto.getRandomValues(new Uint8Array(length)),
  float: () => Math.random(),
};

/** An unguessable id of `length` bytes in hex. Default 16 bytes: 128 bits, 32 characters. */
export function randomId(random: Random, length = 16): string {
  let id = "";
  for (const byte of random.bytes(length)) id += (byte + 0x100).toString(16).slice(1);
  return id;
}
