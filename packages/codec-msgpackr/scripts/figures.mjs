// The codec next to the default one, alternating, medians of 5 rounds. Needs a build:
//   npm run build && node packages/codec-msgpackr/scripts/figures.mjs
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { msgpack } = require("@rap/protocol");
const { msgpackr } = require("@rap/codec-msgpackr");

const user = (id) => ({
  id,
  name: `user number ${id}`,
  email: `user${id}@example.com`,
  roles: ["reader", "writer"],
  active: id % 2 === 0,
  score: id * 1.5,
  address: { street: `Main street ${id}`, zip: 10_000 + id, tags: [1, 2, 3] },
});
const VALUES = {
  "a tuple, `[1, 2]`": [1, 2],
  "a nested object of 1 KiB": { page: 1, users: Array.from({ length: 7 }, (_, id) => user(id)) },
  "the same of 64 KiB": { page: 1, users: Array.from({ length: 450 }, (_, id) => user(id)) },
  "the same of 512 KiB": { page: 1, users: Array.from({ length: 3_600 }, (_, id) => user(id)) },
  "that with a Date in it": { at: new Date(0), users: Array.from({ length: 3_600 }, (_, id) => user(id)) },
};
const CODECS = [msgpack(), msgpackr()];
const ROUNDS = 5;
const MS = 200;

/** Microseconds of processor time that one run takes: others may use the machine too. */
function time(run) {
  const begin = process.cpuUsage();
  let runs = 0;
  for (;;) {
    for (let i = 0; i < 64; i++) run();
    runs += 64;
    const { user, system } = process.cpuUsage(begin);
    if (user + system > MS * 1000) return (user + system) / runs;
  }
}

const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const text = (us) => (us < 10 ? us.toFixed(2) : us.toFixed(0));

console.log("| µs | bytes | encode: default | msgpackr | decode: default | msgpackr |\n|---|---|---|---|---|---|");
for (const [name, value] of Object.entries(VALUES)) {
  const bytes = CODECS[0].encode(value).slice();
  const runs = [
    ...CODECS.map((codec) => () => codec.encode(value)),
    ...CODECS.map((codec) => () => codec.decode(bytes, 0, bytes.length, true)),
  ];
  for (const run of runs) time(run);
  const times = runs.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, run] of runs.entries()) times[index].push(time(run));
  }
  console.log(`| ${name} | ${bytes.length} | ${times.map((list) => text(median(list))).join(" | ")} |`);
}
