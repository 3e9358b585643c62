// npm run bench [-- --quick | --smoke] [--only W2,W6] [--contenders rap,l2] [--rounds 5] [--out folder]
const { mkdirSync, writeFileSync } = require("node:fs");
const { cpus, loadavg } = require("node:os");
const { join, resolve } = require("node:path");
const { parseArgs } = require("node:util");
const { contenders } = require("./contenders");
const { install } = require("./peers/install");
const { line, table } = require("./report");
const { rounds } = require("./schedule");
const { workloads } = require("./workloads");

const MODES = {
  full: { rounds: 5, warmUp: 1_000, ms: 2_000 },
  quick: { rounds: 1, warmUp: 300, ms: 500 },
  smoke: { rounds: 1, warmUp: 50, ms: 200 },
};

async function main() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean" },
      smoke: { type: "boolean" },
      only: { type: "string" },
      contenders: { type: "string" },
      rounds: { type: "string" },
      out: { type: "string", default: join(__dirname, "results") },
    },
  });
  const mode = values.smoke ? "smoke" : values.quick ? "quick" : "full";
  const settings = { ...MODES[mode], ...(values.rounds && { rounds: Number(values.rounds) }) };
  const chosen = pick(workloads, values.only);
  const measured = pick(contenders, values.contenders ?? (values.smoke ? "rap,l1,l2,l2b" : undefined));
  if (measured.some(({ kind }) => kind === "peer")) install();
  const results = { machine: machine(), mode, settings, workloads: {} };
  for (const workload of chosen) {
    console.log(`\n${workload.name}: ${workload.title}`);
    const all = await rounds(workload, measured, settings, (contender, round, result) => {
      if (result !== undefined) console.log(line(contender, workload, round, result));
    });
    results.workloads[workload.name] = { ...workload, rounds: all };
    save(resolve(values.out), results);
  }
  console.log(`\n${table(results)}\nsaved in ${resolve(values.out)}`);
}

/** Those of a list whose names were given; all of them if none was. */
function pick(list, names) {
  if (names === undefined) return list;
  return names.split(",").map((name) => {
    const found = list.find((entry) => entry.name.toLowerCase() === name.trim().toLowerCase());
    if (found === undefined) throw new Error(`no "${name}"; there are ${list.map((entry) => entry.name).join(", ")}`);
    return found;
  });
}

function machine() {
  const [{ model }] = cpus();
  return {
    date: new Date().toISOString(),
    node: process.version,
    cpu: model,
    cores: cpus().length,
    load: loadavg()[0],
  };
}

function save(folder, results) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "results.json"), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(folder, "results.md"), table(results));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
