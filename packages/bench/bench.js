// npm run bench [-- --quick | --smoke] [--only W2,W6] [--contenders rap,l2] [--rounds 5] [--out folder]
const { mkdirSync, readFileSync, writeFileSync } = require("node:fs");
const { cpus, loadavg } = require("node:os");
const { join, resolve } = require("node:path");
const { parseArgs } = require("node:util");
const { contenders } = require("./contenders");
const { install } = require("./peers/install");
const { plots } = require("./plot");
const { line, report, summary } = require("./report");
const { expected, paceOf, rounds, roundsOf } = require("./schedule");
const { workloads } = require("./workloads");

/** `only` and `contenders` are what is measured if the command does not say. */
const MODES = {
  full: { rounds: 5, warmUp: 1_000, ms: 1_000 },
  quick: {
    rounds: 1,
    warmUp: 300,
    ms: 500,
    only: "W1,W2,W3,W4,W5,W6,W7,W9,W10",
    contenders: "rap,l1,l2,l2b,grpc,birpc,fastify",
  },
  smoke: { rounds: 1, warmUp: 50, ms: 150, only: "W1,W2,W4,W5,W6,W7,W9", contenders: "rap,l1,l2,l2b" },
};
/** Where the results of everything go, and the page that shows their summary. */
const DOCUMENTED = join(__dirname, "../../docs/performance");
const PAGE = join(__dirname, "../../docs/performance.md");

async function main() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean" },
      smoke: { type: "boolean" },
      only: { type: "string" },
      contenders: { type: "string" },
      rounds: { type: "string" },
      out: { type: "string" },
    },
  });
  const { only, contenders: names, ...mode } = MODES[values.smoke ? "smoke" : values.quick ? "quick" : "full"];
  const settings = { ...mode, ...(values.rounds && { rounds: Number(values.rounds) }) };
  const chosen = pick(workloads, values.only ?? only);
  const measured = pick(contenders, values.contenders ?? names);
  const complete = chosen.length === workloads.length && measured.length === contenders.length;
  const folder = resolve(values.out ?? (complete ? DOCUMENTED : join(__dirname, "results")));
  if (measured.some(({ kind }) => kind === "peer")) install();

  const takers = (workload) =>
    measured.filter(({ name, skip }) => (workload.only?.includes(name) ?? true) && !skip?.includes(workload.name));
  const tasks = chosen.flatMap(({ points = [undefined], ...workload }) =>
    points.map((point) => ({ ...workload, ...point })),
  );
  const whole = tasks.flatMap((task) => takers(task).map((contender) => expected(task, contender, settings)));
  const progress = new Progress(whole.reduce((sum, ms) => sum + ms, 0));
  const results = { machine: machine(), workloads: values.out ? earlier(folder) : {} };
  const failed = new Set();
  for (const { points, ...workload } of chosen) {
    const at = async (point) => {
      console.log(`\n${workload.name}: ${workload.title}${point ? `: ${point.at} ${workload.axis}` : ""}`);
      const task = { ...workload, ...point };
      const found = await rounds(task, takers(workload), settings, (contender, round, result) => {
        const ms = expected(task, contender, settings);
        progress.finish(result === undefined ? ms : ms / roundsOf(contender, paceOf(task, settings)));
        if (result === undefined) return;
        if (result.error !== undefined) failed.add(contender);
        console.log(`${progress}${line(contender, task, round, result)}`);
      });
      return { ...point, rounds: found };
    };
    const when = { date: new Date().toISOString(), load: loadavg()[0], pace: paceOf(workload, settings) };
    const found = points ? { points: await inTurn(points, at) } : await at();
    results.workloads[workload.name] = { ...workload, ...when, ...found };
    save(folder, results);
  }
  console.log(`\n${report(results)}\nsaved in ${folder}`);
  const ours = [...failed].filter(({ kind }) => kind !== "peer").map(({ name }) => name);
  if (ours.length > 0) throw new Error(`measurements failed: ${ours.join(", ")}`);
}

/** How much of what was planned is done, and how many minutes the rest should take. */
class Progress {
  #begin = performance.now();
  #done = 0;
  #whole;

  constructor(whole) {
    this.#whole = whole;
  }

  finish(part) {
    this.#done += part;
  }

  toString() {
    const share = this.#done / this.#whole;
    const left = ((performance.now() - this.#begin) * (1 - share)) / share / 60_000;
    return `${Math.floor(share * 100)} %`.padStart(5) + `${Math.ceil(left)} min left`.padStart(12);
  }
}

/** Those of a list whose names were given, or begin so: W11 stands for all that are called W11-…; all of them if none was. */
function pick(list, names) {
  if (names === undefined) return list;
  return names.split(",").flatMap((given) => {
    const name = given.trim().toLowerCase();
    const found = list.filter((entry) =>
      [entry.name, entry.name.split("-")[0]].some((own) => own.toLowerCase() === name),
    );
    const exact = found.filter((entry) => entry.name.toLowerCase() === name);
    if (found.length === 0) throw new Error(`no "${given}"; there are ${list.map((entry) => entry.name).join(", ")}`);
    return exact.length > 0 ? exact : found;
  });
}

async function inTurn(list, use) {
  const all = [];
  for (const entry of list) all.push(await use(entry));
  return all;
}

/** What a folder that was named holds already: workloads that are measured again replace theirs. */
function earlier(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, "results.json"), "utf8")).workloads;
  } catch {
    return {};
  }
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

/** Of an error only what went wrong: what follows names folders of this machine. */
function firstLines(key, value) {
  return key === "error" ? value.split("\n", 1)[0] : value;
}

function save(folder, results) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "results.json"), `${JSON.stringify(results, firstLines)}\n`);
  writeFileSync(join(folder, "results.md"), report(results));
  for (const [name, svg] of Object.entries(plots(results))) writeFileSync(join(folder, `${name}.svg`), svg);
  if (folder === DOCUMENTED) writeFileSync(PAGE, withSummary(readFileSync(PAGE, "utf8"), summary(results)));
}

/** A page with new text between its two comments. */
function withSummary(page, text) {
  return page.replace(
    /(<!-- npm run bench -->)[\s\S]*(<!-- end -->)/,
    (_, begin, end) => `${begin}\n\n${text}\n\n${end}`,
  );
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
