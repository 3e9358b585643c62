// What the safety of the msgpack codec costs, and what it buys. Runs on the sources:
//   node --expose-gc --require ./packages/integration/scripts/sources.js packages/protocol/scripts/codec-cost.mjs
import { createRequire } from "node:module";
import { Decoder, Encoder } from "@msgpack/msgpack";

const require = createRequire(import.meta.url);
const { msgpack } = require("../src/msgpack.ts");
const { Scan } = require("../src/scan.ts");

const MiB = 1024 * 1024;
const codec = msgpack();
const hex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const array32 = (count, item) => hex(`dd${count.toString(16).padStart(8, "0")}${item.repeat(count)}`);

/** Memory in use, after a collection. */
function memory() {
  for (let i = 0; i < 3; i++) globalThis.gc();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

console.log("Refused bombs".padEnd(44), "bytes".padStart(9), "ms".padStart(8), "MiB".padStart(7));
for (const [name, bytes] of Object.entries({
  "array32 of 2^25": hex("dd01ffffff"),
  "array32 of 2^25, 8 nested": hex("dd01ffffff".repeat(8)),
  "array32 of 2^25, 64 nested": hex("dd01ffffff".repeat(64)),
  "array16 of 65 535, 20 000 nested": hex("dcffff".repeat(20_000)),
  "array16 of 65 535, 30 000 nested": hex("dcffff".repeat(30_000)),
  "map32, str32, bin32, ext32 of 2^32 - 1": hex("94dfffffffff"),
  "1 000 000 nested arrays": hex("91".repeat(1_000_000)),
  "1 000 000 empty objects": array32(1_000_000, "80"),
  "1 000 000 empty binaries": array32(1_000_000, "c400"),
  "1 000 000 extensions": array32(1_000_000, "d40100"),
  "1 000 000 empty Maps": array32(1_000_000, "d40390"),
  "4 MiB string, last byte bad": hex(`db00400000${"61".repeat(4 * MiB - 1)}ff`),
})) {
  const before = process.memoryUsage().heapUsed;
  const start = performance.now();
  let refused = false;
  try {
    codec.decode(bytes, 0, bytes.length, true);
  } catch {
    refused = true;
  }
  const ms = performance.now() - start;
  const grown = (process.memoryUsage().heapUsed - before) / MiB;
  console.log(
    name.padEnd(44),
    String(bytes.length).padStart(9),
    ms.toFixed(2).padStart(8),
    grown.toFixed(1).padStart(7),
    refused ? "" : "ACCEPTED",
  );
}

console.log(
  "\nLargest accepted message of".padEnd(45),
  "bytes".padStart(9),
  "ms".padStart(8),
  "MiB".padStart(7),
  " (the budget is 32)",
);
const unique = (count, item) =>
  Buffer.concat([hex(`dd${count.toString(16).padStart(8, "0")}`), ...Array.from({ length: count }, (_, i) => item(i))]);
const encoder = new Encoder();
// Of the module, so that the collector cannot know that it is not read.
export let kept;
const object = (entries) => encoder.encode(Object.fromEntries(entries));
for (const [name, make] of Object.entries({
  integers: (n) => array32(n, "01"),
  "floats and null": (n) => array32(n, "92cb3ff8000000000001c0"),
  "empty arrays": (n) => array32(n, "90"),
  "arrays of one": (n) => array32(n, "9101"),
  "empty objects": (n) => array32(n, "80"),
  "objects of one key": (n) => array32(n, "81a16101"),
  "objects of one key each its own": (n) => unique(n, (i) => object([[`k${i}`, i]])),
  "objects of 20 keys each its own": (n) =>
    unique(n >> 4, (i) => object(Array.from({ length: 20 }, (_, k) => [`k${i}-${k}`, k]))),
  "objects of 2000 keys each its own": (n) =>
    unique(n >> 10, (i) => object(Array.from({ length: 2_000 }, (_, k) => [`k${i}-${k}`, k]))),
  "objects of 12 keys in any order": (n) => {
    const keys = Array.from({ length: 12 }, (_, k) => `k${k}`);
    return unique(n >> 4, () => object(keys.sort(() => Math.random() - 0.5).map((key) => [key, 1])));
  },
  "short strings": (n) => array32(n, "a3616263"),
  "wide strings": (n) => array32(n, "ace282ace282ace282ace282ac"),
  "empty binaries": (n) => array32(n, "c400"),
  "binaries of 10 bytes": (n) => array32(n, "c40a00000000000000000000"),
  "small bigints": (n) => array32(n, "d7020000000000000005"),
  "large bigints": (n) => array32(n, "cfffffffffffffffff"),
  dates: (n) => array32(n, "d6ff00000001"),
  "empty Maps": (n) => array32(n, "d40390"),
  "Maps of one": (n) => array32(n, "c70303920101"),
  "Sets of 16": (n) => array32(n, "c71304dc0010000102030405060708090a0b0c0d0e0f"),
  "a Set of integers": (n) =>
    hex(
      `c9${(n + 5).toString(16).padStart(8, "0")}04dd${n.toString(16).padStart(8, "0")}${Array.from({ length: n }, (_, i) => (i % 128).toString(16).padStart(2, "0")).join("")}`,
    ),
  "strings with a mark": (n) => array32(n, "d904efbbbf61"),
})) {
  // Memory is what the budget is about: no scan is asked how much it counted.
  let low = 1;
  let high = 4 * MiB;
  while (high - low > low / 50) {
    const middle = (low + high) >> 1;
    const bytes = make(Math.min(middle, 4 * MiB));
    try {
      new Scan({
        maxDepth: 64,
        maxCost: 32 * MiB,
        maxMapEntries: 65_536,
      }).check(bytes, 0, bytes.length);
      low = middle;
    } catch {
      high = middle;
    }
  }
  const bytes = make(low);
  const before = memory();
  const start = performance.now();
  kept = codec.decode(bytes, 0, bytes.length, false);
  const ms = performance.now() - start;
  const grown = (memory() - before) / MiB;
  kept = undefined;
  console.log(
    name.padEnd(44),
    String(bytes.length).padStart(9),
    ms.toFixed(1).padStart(8),
    grown.toFixed(1).padStart(7),
  );
}

/** Nanoseconds of one call, the best of many rounds. */
function time(bytes, call) {
  const calls = Math.max(20, Math.min(200_000, Math.round(5e6 / bytes)));
  for (let i = 0; i < calls; i++) call();
  let best = Infinity;
  for (let round = 0; round < 15; round++) {
    const start = performance.now();
    for (let i = 0; i < calls / 4; i++) call();
    best = Math.min(best, ((performance.now() - start) * 1e6) / (calls / 4));
  }
  return Math.round(best);
}

const user = (id) => ({
  id,
  name: `user ${id}`,
  email: `u${id}@example.com`,
  active: id % 2 === 0,
  score: id * 1.5,
  tags: ["a", "bb", "ccc"],
  address: { street: "Long street 12", city: "Town", zip: 12_345 + id },
});

console.log(
  `\n${"ns for".padEnd(20)}`,
  ...["bytes", "Encoder", "encode", "Decoder", "decode", "scan"].map((it) => it.padStart(9)),
);
for (const [name, value] of Object.entries({
  "[1, 2]": [1, 2],
  "[{ id, name }]": [{ id: 5, name: "bob" }],
  "128 B": user(7),
  "1 KiB": Array.from({ length: 8 }, (_, i) => user(i)),
  "64 KiB": Array.from({ length: 500 }, (_, i) => user(i)),
  "64 KiB of ASCII": "x".repeat(65_536),
  "64 KiB of é": "é".repeat(32_768),
  "64 KiB binary": new Uint8Array(65_536),
})) {
  const bytes = new Encoder().encode(value);
  const decoder = new Decoder();
  const scan = new Scan({
    maxDepth: 64,
    maxCost: 32 * MiB,
    maxMapEntries: 65_536,
  });
  const plain = time(bytes.length, () => decoder.decode(bytes));
  const scanned = time(bytes.length, () => scan.check(bytes, 0, bytes.length));
  console.log(
    name.padEnd(20),
    ...[
      bytes.length,
      time(bytes.length, () => encoder.encodeSharedRef(value)),
      time(bytes.length, () => codec.encode(value)),
      plain,
      time(bytes.length, () => codec.decode(bytes, 0, bytes.length, true)),
      scanned,
    ].map((it) => String(it).padStart(9)),
    ` ${Math.round((100 * scanned) / plain)} % of Decoder`,
  );
}
