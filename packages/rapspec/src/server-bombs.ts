import { call, encoded, times } from "./frames";
import { serverCases } from "./server-scene";

/** What made the process end, or take all its memory, in decoders that are widely used. */
const BOMBS: Readonly<Record<string, Uint8Array>> = {
  "array32 of 2^32-1 and no data": Buffer.from("ddffffffff", "hex"),
  "array32 of 2^25-1 and no data": Buffer.from("dd01ffffff", "hex"),
  "8 nested of those": Buffer.from("dd01ffffff".repeat(8), "hex"),
  "64 nested of those": Buffer.from("dd01ffffff".repeat(64), "hex"),
  "20 000 nested array16 of 65 535": Buffer.from("dcffff".repeat(20_000), "hex"),
  "map32 of 2^32-1 and no data": Buffer.from("dfffffffff", "hex"),
  "str32 of 2^32-1 and no data": Buffer.from("dbffffffff", "hex"),
  "bin32 of 2^32-1 and no data": Buffer.from("c6ffffffff", "hex"),
  "ext32 of 2^32-1 and no data": Buffer.from("c9ffffffff01", "hex"),
  "1 000 nested arrays": Buffer.concat([Buffer.alloc(1_000, 0x91), Buffer.of(0xc0)]),
  "1 000 000 nested arrays": Buffer.concat([Buffer.alloc(1_000_000, 0x91), Buffer.of(0xc0)]),
  "a million empty maps": Buffer.concat([Buffer.from("dd000f4240", "hex"), Buffer.alloc(1_000_000, 0x80)]),
  "a million empty binaries": Buffer.concat([
    Buffer.from("dd000f4240", "hex"),
    Buffer.from("c400".repeat(1_000_000), "hex"),
  ]),
  "a map of 65 537 entries": Buffer.concat([
    Buffer.from("91df00010001", "hex"),
    ...times(65_537, (i) => encoded(`k${i}`)).flatMap((key) => [key, Buffer.of(0xc0)]),
  ]),
  "a key __proto__": Buffer.from("9181a95f5f70726f746f5f5fc0", "hex"),
  "a key that is null": Buffer.from("9181c0c0", "hex"),
  "the byte c1": Buffer.from("91c1", "hex"),
  "UTF-8 that is too long for its character": Buffer.from("91a2c0af", "hex"),
  "half a surrogate pair": Buffer.from("91a3eda080", "hex"),
  "UTF-8 that is cut": Buffer.from("92a1c3a161", "hex"),
  "an extension for RegExp": Buffer.from("91c7047892a1619 0".replace(" ", ""), "hex"),
  "an unknown extension": Buffer.from("91d44200", "hex"),
  "a date of 12 bytes that is none": Buffer.from("91c70cffffffffff7fffffffffffffff", "hex"),
  "bytes after the value": Buffer.from("91c0c0", "hex"),
};

/** What a server makes of arguments that are meant to ruin it. */
export const serverBombs = serverCases(
  "a server gets as arguments",
  Object.entries(BOMBS).map(([name, body]) => ({
    name,
    play: [call(1, "args", { body })],
    gives: "RESET INVALID_ARGUMENT",
    why: "cannot be read",
    cheap: true,
  })),
);
