const { contenders } = require("./contenders");

const BASE = "l2";

/** What a contender reached in one round, for people who wait. */
function line({ name }, workload, round, result) {
  const where = `  round ${round + 1} ${name.padEnd(12)}`;
  if (result.error !== undefined) return `${where} failed: ${result.error}`;
  return `${where} ${short(inUnit(workload, result.rate)).padStart(8)} ${workload.unit}`;
}

/** All results as Markdown: a table per workload, medians of the rounds, ratios within the round. */
function table({ machine, settings, workloads }) {
  const { rounds, ms } = settings;
  const head = `${machine.date.slice(0, 10)}, Node ${machine.node}, ${machine.cores} × ${machine.cpu}; medians of ${rounds} rounds of ${ms} ms`;
  return `${[head, ...Object.values(workloads).map(section)].join("\n\n")}\n`;
}

function section(workload) {
  const { name, title, unit, rounds } = workload;
  const rows = contenders.map((contender) => row(contender, workload, rounds)).filter((cells) => cells !== undefined);
  return [
    `### ${name} ${title}`,
    "",
    `| | ${unit} | of L2 | p50 µs | p99 µs | p99.9 µs | CPU s per 100 000: client | server | both, of L2 |`,
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ...rows.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

function row({ name, title }, workload, rounds) {
  const done = rounds.filter((round) => round[name] !== undefined);
  if (done.length === 0) return undefined;
  const good = done.filter((round) => has(round[name]));
  if (good.length === 0) return [title, "failed", "", "", "", "", "", "", ""];
  const pick = (value) => median(good.map((round) => value(round[name])).filter((number) => number !== undefined));
  const cpu = (seconds, { count }) => (seconds === undefined ? undefined : (seconds / count) * 100_000);
  return [
    title,
    short(
      inUnit(
        workload,
        pick(({ rate }) => rate),
      ),
    ),
    number(
      ratio(rounds, name, BASE, ({ rate }) => rate),
      2,
    ),
    number(
      pick(({ p50 }) => p50),
      0,
    ),
    number(
      pick(({ p99 }) => p99),
      0,
    ),
    number(
      pick(({ p999 }) => p999),
      0,
    ),
    number(
      pick((result) => cpu(result.cpu, result)),
      2,
    ),
    number(
      pick((result) => cpu(result.serverCpu, result)),
      2,
    ),
    number(ratio(rounds, name, BASE, bothCpu), 2),
  ];
}

/** The median, over the rounds that have both, of a value of one contender divided by that of another. */
function ratio(rounds, name, other, value) {
  const both = rounds.filter((round) => has(round[name]) && has(round[other]));
  return median(both.map((round) => value(round[name]) / value(round[other])));
}

const has = (result) => result !== undefined && result.error === undefined;

/** CPU seconds of a call or message, client and server together. */
const bothCpu = ({ cpu, serverCpu = 0, count }) => (cpu + serverCpu) / count;

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function inUnit({ unit, size }, rate) {
  return unit === "MiB/s" ? (rate * size) / 1024 / 1024 : rate;
}

/** Three digits: 1.23 M, 45.6 k, 789. */
function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
  return value.toFixed(0);
}

function number(value, digits) {
  return value === undefined ? "" : value.toFixed(digits);
}

module.exports = { line, median, ratio, table };
