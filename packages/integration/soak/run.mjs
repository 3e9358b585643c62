// Many calls, many streams, many connections, and a storm of faults; then a look at what is left of them: no timer,
// listener, stream or pending entry, no file descriptor and no memory. The table is saved in `results`.
//   npm run soak [-- --long] [--only calls,connections,idle,neighbours,chaos] [--calls n] [--streams n] [--seed n]
//                            [--connections n] [--idle n] [--chaos seconds] [--seeds 1,2,3]
// The seeds of the storm are 1, 2, 3; with --long three at random, which are printed.
import { randomInt } from "node:crypto";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Report } from "../faults/report.mjs";
import { callsAndStreams } from "./calls.mjs";
import { chaos } from "./chaos.mjs";
import { comeAndGo, idle } from "./connections.mjs";
import { neighbours } from "./neighbours.mjs";

const text = { type: "string" };
const { values } = parseArgs({
  options: {
    long: { type: "boolean" },
    only: text,
    calls: text,
    streams: text,
    seed: text,
    connections: text,
    idle: text,
    chaos: text,
    seeds: text,
  },
});
if (globalThis.gc === undefined) throw new Error("run it with --expose-gc");
const scale = values.long ? 10 : 1;
const number = (given, usual) => (given === undefined ? usual : Number(given));
const seed = number(values.seed, Date.now() % 1_000_000);
const seeds =
  values.seeds?.split(",").map(Number) ??
  (values.long ? Array.from({ length: 3 }, () => randomInt(1, 1_000_000)) : [1, 2, 3]);
console.log(
  `${values.long ? "the long form" : "the short form"}, --seed ${seed} --seeds ${seeds}, Node ${process.version}`,
);

const PARTS = {
  calls: (report) =>
    callsAndStreams(report, number(values.calls, 1e6 * scale), number(values.streams, 1e5 * scale), seed),
  connections: (report) => comeAndGo(report, number(values.connections, 1e4 * scale)),
  async idle(report) {
    const total = number(values.idle, 10_000);
    await idle(report, total, false);
    await idle(report, Math.min(total, 2_000), true);
  },
  neighbours,
  async chaos(report) {
    for (const each of seeds) await chaos(report, number(values.chaos, values.long ? 600 : 60), each);
  },
};

const report = new Report("Soak");
const only = values.only?.split(",") ?? Object.keys(PARTS);
for (const name of only) {
  if (!Object.hasOwn(PARTS, name)) throw new Error(`there is no part ${name}: ${Object.keys(PARTS).join(", ")}`);
  console.log(name);
  report.group(name);
  try {
    await PARTS[name](report);
  } catch (error) {
    console.error(error);
    report.row("", `the part ${name}`, "runs to its end", String(error), false);
  }
}
report.finish(fileURLToPath(new URL("../faults/results", import.meta.url)), "soak");
process.exit();
