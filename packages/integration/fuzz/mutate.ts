import type { Chance } from "../simulation/chance";

/** Numbers at which something begins or ends, as bytes. */
const INTERESTING: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0x80],
  [0xc1],
  [0xff],
  [0, 0],
  [0xff, 0xff],
  [0, 0, 0, 0],
  [0x7f, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff],
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xc9, 0, 0, 0, 1, 3],
];

/** Changes a copy of some bytes in one to four places; `other` is a session to take pieces of. */
export function mutate(bytes: Uint8Array, other: Uint8Array, chance: Chance): Uint8Array {
  let mutant: Buffer = Buffer.from(bytes);
  for (let left = chance.integer(1, 4); left > 0; left--) mutant = once(mutant, other, chance);
  return mutant;
}

function once(bytes: Buffer, other: Uint8Array, chance: Chance): Buffer {
  const at = chance.integer(0, bytes.length);
  const length = chance.size(1, 64);
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
  const from = chance.integer(0, other.length);
  switch (chance.integer(0, 6)) {
    case 0:
      if (at < bytes.length) bytes[at]! ^= 1 << chance.integer(0, 7);
      return bytes;
    case 1:
      return overwritten(bytes, at, chance.oneOf(INTERESTING));
    case 2:
      return Buffer.concat([head, tail.subarray(length)]);
    case 3:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
    case 4:
      return Buffer.concat([head, chance.bytes(length), tail]);
    case 5:
      return Buffer.concat([head, other.subarray(from, from + length), tail.subarray(length)]);
    default:
      return chance.once(0.2) ? Buffer.from(head) : Buffer.concat([head, other.subarray(from)]);
  }
}

function overwritten(bytes: Buffer, at: number, by: readonly number[]): Buffer {
  by.forEach((byte, i) => {
    if (at + i < bytes.length) bytes[at + i] = byte;
  });
  return bytes;
}
