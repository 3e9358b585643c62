const { contenders } = require("./contenders");
const { ratio, typical } = require("./median");
const { inUnit } = require("./report");

const WIDTH = 760;
const FONT = 'font-family="system-ui, sans-serif" font-size="12"';
/** Told apart by people who do not see all colours, too (Okabe and Ito). */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442"];

/** Pictures of results, as SVG by name: one of all contenders next to L2, one per sweep. */
function plots({ workloads }) {
  const all = Object.values(workloads);
  const table = all.filter(({ rounds, floor }) => rounds && floor);
  const sweeps = all.filter(({ points, kind }) => points && kind === undefined);
  return {
    ...(table.length > 0 && { table: bars(table) }),
    ...Object.fromEntries(sweeps.map((workload) => [workload.name.toLowerCase(), lines(workload)])),
  };
}

/** For each workload a bar per contender: its rate as a part of L2's, on a logarithmic scale. */
function bars(workloads) {
  const left = 250;
  const scale = logarithmic(0.001, 10, left, WIDTH - 60);
  const parts = [];
  let y = 10;
  for (const { name, title, rounds } of workloads) {
    y += 24;
    parts.push(text(10, y, `${name} ${title}`, 'font-weight="bold"'));
    const rows = contenders
      .map((contender) => ({ ...contender, value: ratio(rounds, contender.name, "l2") }))
      .filter(({ value }) => value !== undefined)
      .sort((a, b) => b.value - a.value);
    for (const row of rows) {
      y += 17;
      const colour = { rap: COLOURS[0], limit: COLOURS[6], peer: COLOURS[1] }[row.kind];
      const end = scale(row.value);
      parts.push(text(left - 8, y, row.title, 'text-anchor="end"'));
      parts.push(`<rect x="${left}" y="${y - 11}" width="${round(end - left)}" height="13" fill="${colour}"/>`);
      parts.push(text(end + 5, y, row.value.toPrecision(2)));
    }
    y += 8;
  }
  const height = y + 40;
  const grid = [0.001, 0.01, 0.1, 1, 10].map((value) => vertical(scale(value), 20, y + 4, value));
  return svg(height, [...grid, ...parts, text(left, height - 8, "rate as a part of L2's in the same round")]);
}

/** A line per contender over the points of a sweep, both axes logarithmic. */
function lines(workload) {
  const { name, title, axis, unit, points } = workload;
  const box = { left: 70, right: WIDTH - 250, top: 40, bottom: 380 };
  const series = contenders
    .map((contender) => ({
      ...contender,
      values: points
        .map((point) => [
          point.at,
          typical(point.rounds, contender.name, ({ rate }) => inUnit({ ...workload, ...point }, rate)),
        ])
        .filter(([, value]) => value !== undefined),
    }))
    .filter(({ values }) => values.length > 0);
  const values = series.flatMap((one) => one.values.map(([, value]) => value));
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const highest = 10 ** Math.ceil(Math.log10(Math.max(...values)));
  const x = logarithmic(points[0].at, points.at(-1).at, box.left, box.right);
  const y = logarithmic(lowest, highest, box.bottom, box.top);
  const parts = [text(10, 20, `${name} ${title}`, 'font-weight="bold"')];
  for (const { at } of points) parts.push(vertical(x(at), box.top, box.bottom, plain(at)));
  for (let value = lowest; value <= highest; value *= 10) {
    parts.push(`<path d="M${box.left} ${round(y(value))}H${box.right}" stroke="#ddd"/>`);
    parts.push(text(box.left - 6, y(value) + 4, plain(value), 'text-anchor="end"'));
  }
  for (const [index, { title: label, values: own }] of series.entries()) {
    const colour = COLOURS[index % COLOURS.length];
    const path = own.map(([at, value]) => `${round(x(at))} ${round(y(value))}`).join("L");
    parts.push(`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [at, value] of own)
      parts.push(`<circle cx="${round(x(at))}" cy="${round(y(value))}" r="3" fill="${colour}"/>`);
    const place = box.top + 18 * index;
    parts.push(`<rect x="${box.right + 16}" y="${place}" width="12" height="12" fill="${colour}"/>`);
    parts.push(text(box.right + 34, place + 10, label));
  }
  parts.push(text(box.left, box.bottom + 34, axis), text(box.left, box.top - 8, unit));
  return svg(box.bottom + 46, parts);
}

function logarithmic(from, to, start, end) {
  const span = Math.log(to) - Math.log(from) || 1;
  return (value) => start + ((Math.log(Math.min(Math.max(value, from), to)) - Math.log(from)) / span) * (end - start);
}

function vertical(x, top, bottom, label) {
  return `<path d="M${round(x)} ${top}V${bottom}" stroke="#ddd"/>${text(x, bottom + 14, label, 'text-anchor="middle"')}`;
}

function text(x, y, content, attributes = "") {
  const safe = String(content).replace(/[&<]/g, (character) => (character === "&" ? "&amp;" : "&lt;"));
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${safe}</text>`;
}

/** 1, 100, 10 k, 1 M; sizes are powers of two and have no other unit than bytes. */
function plain(value) {
  if (value >= 1e6) return `${round(value / 1e6)} M`;
  return value >= 1e4 ? `${round(value / 1e3)} k` : String(value);
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function svg(height, parts) {
  const title = "<title>Results of rap's benchmark</title>";
  const background = `<rect width="${WIDTH}" height="${height}" fill="white"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ${FONT} fill="#222">\n${[title, background, ...parts].join("\n")}\n</svg>\n`;
}

module.exports = { plots };
