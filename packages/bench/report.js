const { contenders } = require("./contenders");
const { ratio, typical } = require("./median");

const KiB = 1024;
const MiB = 1024 * KiB;

/** What a contender reached in one round, for people who wait. */
function line({ name }, workload, round, result) {
  const where = `  round ${round + 1} ${name.padEnd(13)}`;
  if (result.error !== undefined) return `${where} failed: ${result.error}`;
  return `${where} ${headline(workload, result).padStart(8)} ${workload.unit}`;
}

function headline(workload, result) {
  if (workload.kind === "idle") return result.kib.toFixed(1);
  if (workload.kind === "cold") return result.ms.toFixed(0);
  return short(inUnit(workload, result.rate));
}

/** All results as Markdown: first how rap stands, then a table per workload. */
function report({ machine, workloads }) {
  const sections = Object.values(workloads).map(section);
  return `${["# Results of the benchmark", summary({ machine, workloads }), ...sections].join("\n\n")}\n`;
}

/** How rap stands next to the limits and the peers, and where it is behind one. */
function summary({ machine, workloads }) {
  const all = Object.values(workloads);
  const head = `Node ${machine.node}, ${machine.cores} × ${machine.cpu}; medians of rounds, ratios within a round.`;
  const rows = all.filter(({ floor }) => floor !== undefined).map(stand);
  const columns = ["rap's rate", "of L2", "of L2b", "CPU of L2", "of the best peer", "of grpc-js"];
  const others = bounds.filter(({ of }) => workloads[of]).map((bound) => bounded(bound, workloads[bound.of]));
  const behind = all.flatMap((workload) => parts(workload).flatMap((part) => aheadOfRap(workload, part)));
  return [
    head,
    "",
    ...(rows.length > 0 ? [...markdown(columns, rows), ""] : []),
    ...(others.length > 0 ? [...markdown(["", "rap", "bound"], others), ""] : []),
    ...(behind.length > 0
      ? ["A peer is ahead of rap:", "", ...behind]
      : ["No peer that was measured is ahead of rap."]),
  ].join("\n");
}

const idle = ({ kib }) => kib;
const first = ({ ms }) => ms;
const ofPlain =
  (name) =>
  ({ rounds }) =>
    ratio(rounds, name, "rap");
const streaming = ({ streams }) => streams;
const ofStreaming = ({ rounds }) => ratio(rounds, "rap", bestPeer(rounds, streaming));
const alone =
  (value) =>
  ({ rounds }) =>
    typical(rounds, "rap", value);

/** What is bounded and no rate of rap as such, with the workload in which it is measured. */
const bounds = [
  { of: "W2", what: "rate over TLS, of plain", least: 0.75, value: ofPlain("rap-tls") },
  { of: "W2", what: "rate with plugin-crypto, of plain", least: 0.25, value: ofPlain("rap-crypto") },
  { of: "W2", what: "rate with a middleware and a processor, of plain", least: 0.85, value: ofPlain("rap-layered") },
  { of: "W6", what: "rate, of the best peer with streams, NDJSON apart", least: 4, value: ofStreaming },
  { of: "W7", what: "rate, of the best peer with channels", least: 3, value: ofStreaming },
  {
    of: "W8",
    what: "KiB for each idle connection, where it is most",
    most: 15,
    value: ({ points }) => Math.max(...points.map(({ rounds }) => typical(rounds, "rap", idle))),
  },
  {
    of: "W8",
    what: "the same, of grpc-js",
    most: 0.5,
    value: ({ points }) => Math.max(...points.map(({ rounds }) => ratio(rounds, "rap", "grpc", idle))),
  },
  {
    of: "W9",
    what: "time to the first result, of L2b",
    most: 1.3,
    value: ({ rounds }) => ratio(rounds, "rap", "l2b", first),
  },
  { of: "W9", what: "the same, of grpc-js", most: 0.6, value: ({ rounds }) => ratio(rounds, "rap", "grpc", first) },
  { of: "W9", what: "ms to import @rap/client", most: 40, value: alone(({ importMs }) => importMs) },
  {
    of: "W9",
    what: "MB installed with it",
    most: 3,
    value: alone(({ installed }) => installed && installed.bytes / 1e6),
  },
  { of: "W10", what: "ms at p99 of the small calls", most: 20, value: alone(({ p99 }) => p99 / 1000) },
];

function bounded({ of, what, least, most, value }, workload) {
  const found = value(workload);
  return [
    `${of}: ${what}`,
    found === undefined || Number.isNaN(found) ? "" : found.toPrecision(3),
    least === undefined ? `at most ${most}` : `at least ${least}`,
  ];
}

/** A sweep has a part per point, any other workload is one. */
function parts({ points, rounds, axis }) {
  return points
    ? points.map((point) => ({ rounds: point.rounds, at: ` at ${point.at} ${axis}` }))
    : [{ rounds, at: "" }];
}

/** Lines on the peers that were better than rap in the median of the rounds. */
function aheadOfRap({ name, kind }, { rounds, at }) {
  const measure = better[kind ?? "steady"];
  return contenders
    .filter((contender) => contender.kind === "peer")
    .map(({ name: peer, title }) => ({ title, times: ratio(rounds, peer, "rap", measure.value) }))
    .filter(({ times }) => times !== undefined && (measure.more ? times > 1 : times < 1))
    .map(({ title, times }) => `- ${name}${at}: ${title}, ${times.toFixed(2)} times rap's ${measure.what}`);
}

const better = {
  steady: { what: "rate", more: true, value: ({ rate }) => rate },
  idle: { what: "memory", more: false, value: idle },
  cold: { what: "time to the first result", more: false, value: first },
  mixed: { what: "p99 of the small calls", more: false, value: ({ p99 }) => p99 },
};

function stand({ name, rounds, floor }) {
  const best = bestPeer(rounds);
  const against = (other, least) => {
    const value = other === undefined ? undefined : ratio(rounds, "rap", other);
    if (value === undefined) return "";
    return least === undefined ? value.toFixed(2) : `${value.toFixed(2)} (floor ${least})`;
  };
  return [
    name,
    against("l2", floor.l2),
    against("l2b", floor.l2b),
    number(ratio(rounds, "rap", "l2", cpuPerCall), 2),
    best === undefined ? "" : `${against(best, floor.peer)}, ${best}`,
    against("grpc", floor.grpc),
  ];
}

/** The peer whose median is the highest, of those that did the same. */
function bestPeer(rounds, counts = ({ gathers }) => !gathers) {
  const rate = (name) => typical(rounds, name, (result) => result.rate) ?? 0;
  const peers = contenders.filter((each) => each.kind === "peer" && counts(each) && rate(each.name) > 0);
  return peers.sort((a, b) => rate(b.name) - rate(a.name))[0]?.name;
}

function section(workload) {
  const { name, title, points, rounds, kind, date, load, pace } = workload;
  const columns = points ? pointColumns(workload) : columnsOf[kind ?? "steady"](workload);
  const all = points ? points.flatMap((point) => point.rounds) : rounds;
  const present = contenders.filter((contender) => all.some((round) => round[contender.name] !== undefined));
  const rows = present.map((contender) => [contender.title, ...columns.map(({ cell }) => cell(contender.name))]);
  const errors = present.flatMap((contender) => errorsOf(contender, all));
  const { rounds: count, ms } = pace;
  const when = `${date.slice(0, 16).replace("T", " ")} UTC, load ${load.toFixed(1)}, ${count} rounds${kind ? "" : ` of ${ms} ms`}`;
  const table = markdown(["", ...columns.map(({ head }) => head)], rows);
  return [`## ${name} ${title}`, "", when, "", ...table, ...(errors.length > 0 ? ["", ...errors] : [])].join("\n");
}

/** Lines on why measurements of a contender failed. */
function errorsOf({ name, title }, rounds) {
  const messages = rounds.map((round) => round[name]?.error?.split("\n", 1)[0]).filter((message) => message);
  return [...new Set(messages)].map((message) => `- ${title} failed: ${message}`);
}

const columnsOf = {
  steady: (workload) => [
    rateColumn(workload.unit, workload),
    ...ratioColumn(workload),
    ...quantileColumns(workload),
    { head: "client CPU s per 100 000", cell: cpuCell(workload, ({ cpu }) => cpu) },
    { head: "server CPU s", cell: cpuCell(workload, ({ serverCpu }) => serverCpu) },
    { head: "both, of L2", cell: (name) => number(ratio(workload.rounds, name, "l2", cpuPerCall), 2) },
  ],
  mixed: (workload) => [
    rateColumn("small calls/s", workload, ({ rate }) => rate),
    ...quantileColumns(workload),
    rateColumn("MiB/s of the large", workload, ({ bigRate }) => (bigRate * workload.size) / MiB),
  ],
  cold: ({ rounds }) => [
    {
      head: "ms to the first result",
      cell(name) {
        const ms = typical(rounds, name, (result) => result.ms);
        return ms === undefined ? "failed" : number(ms, 0);
      },
    },
    {
      head: "of L2b",
      cell: (name) =>
        number(
          ratio(rounds, name, "l2b", ({ ms }) => ms),
          2,
        ),
    },
    {
      head: "import, ms",
      cell: (name) =>
        number(
          typical(rounds, name, ({ importMs }) => importMs),
          0,
        ),
    },
    {
      head: "installed, KiB",
      cell: (name) =>
        number(
          typical(rounds, name, ({ installed }) => installed && installed.bytes / KiB),
          0,
        ),
    },
    {
      head: "packages",
      cell: (name) =>
        number(
          typical(rounds, name, ({ installed }) => installed?.packages),
          0,
        ),
    },
  ],
};

function rateColumn(head, workload, value = ({ rate }) => inUnit(workload, rate)) {
  return {
    head,
    cell(name) {
      const rate = typical(workload.rounds, name, value);
      return rate === undefined ? "failed" : short(rate);
    },
  };
}

function ratioColumn({ rounds }) {
  return [{ head: "of L2", cell: (name) => number(ratio(rounds, name, "l2"), 2) }];
}

function quantileColumns({ rounds, operation }) {
  if (operation === "items" || operation === "duplex") return [];
  const column = (head, value) => ({ head, cell: (name) => number(typical(rounds, name, value), 0) });
  return [
    column("p50 µs", ({ p50 }) => p50),
    column("p99 µs", ({ p99 }) => p99),
    column("p99.9 µs", ({ p999 }) => p999),
  ];
}

function cpuCell({ rounds }, value) {
  const per = (result) => (value(result) === undefined ? undefined : (value(result) / result.count) * 100_000);
  return (name) => number(typical(rounds, name, per), 2);
}

/** A column for each point of a sweep. */
function pointColumns(workload) {
  const { kind, axis, unit, points } = workload;
  return points.map((point, index) => ({
    head: index === 0 ? `${unit} at ${point.at} ${axis}` : String(point.at),
    cell(name) {
      const task = { ...workload, ...point };
      const value = typical(point.rounds, name, ({ kib, rate }) => (kind === "idle" ? kib : inUnit(task, rate)));
      if (value === undefined) return point.rounds.some((round) => round[name]) ? "failed" : "";
      return kind === "idle" ? number(value, 1) : short(value);
    },
  }));
}

/** CPU seconds of a call or message, client and server together. */
function cpuPerCall({ cpu, serverCpu = 0, count }) {
  return (cpu + serverCpu) / count;
}

/** A rate of calls, in what the workload counts. */
function inUnit({ unit, size }, rate) {
  return unit === "MiB/s" ? (rate * size) / MiB : rate;
}

/** Three digits: 1.23 M, 45.6 k, 789, 1.23. */
function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function number(value, digits) {
  return value === undefined ? "" : value.toFixed(digits);
}

function markdown(head, rows) {
  const cells = (row) => `| ${row.join(" | ")} |`;
  return [cells(head), `|---|${"--:|".repeat(head.length - 1)}`, ...rows.map(cells)];
}

module.exports = { inUnit, line, report, summary };
