import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

export const MiB = 1024 * 1024;
export const mib = (bytes) => `${(bytes / MiB).toFixed(1)} MiB`;
export const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** What was measured beside what had to be reached, row by row; printed at the end, and saved as JSON and Markdown. */
export class Report {
  #rows = [];
  #group = "";
  #started = performance.now();

  constructor(title) {
    this.title = title;
  }

  get rows() {
    return this.#rows;
  }

  /** Figures that were missed, and nobody has said why. */
  get missed() {
    return this.#rows.filter(({ met }) => met === "NO");
  }

  group(name) {
    this.#group = name;
  }

  /** One figure: `result` is a text, `met` whether it is good enough; `why` is printed beside it when it is not. */
  row(id, what, figure, result, met, why) {
    const missed = why === undefined ? { met: "NO" } : { met: "missed", why };
    this.#add({ id, what, figure, result: String(result), ...(met ? { met: "yes" } : missed) });
  }

  /**
   * At most so much, or at least. `known` is `{ to, why }`: the reason why it is missed at times, and how far that was
   * seen to go. A value beyond that has another reason, which nobody knows yet.
   */
  atMost(id, what, value, bound, text = String, known = undefined) {
    const why = value <= known?.to ? known.why : undefined;
    this.row(id, what, `≤ ${text(bound)}`, text(value), value <= bound, why);
  }

  atLeast(id, what, value, bound, text = String, known = undefined) {
    const why = value >= known?.to ? known.why : undefined;
    this.row(id, what, `≥ ${text(bound)}`, text(value), value >= bound, why);
  }

  equal(id, what, value, expected) {
    this.row(id, what, String(expected), value, value === expected);
  }

  /** To be known, whatever it is. */
  told(id, what, figure, result) {
    this.#add({ id, what, figure, result: String(result), met: "told" });
  }

  /** What this machine, or this form of the run, cannot show, and why. */
  skipped(id, what, why) {
    this.#add({ id, what, figure: "", result: why, met: "skipped" });
  }

  #add(row) {
    this.#rows.push({ group: this.#group, ...row });
    const why = row.why === undefined ? "" : `: ${row.why}`;
    console.log(`  ${row.met.padEnd(7)} ${row.id.padEnd(4)} ${row.what}: ${row.result}  [${row.figure}]${why}`);
  }

  markdown() {
    const head = "| | what | figure | measured | met | why not |\n|---|---|---|---|---|---|\n";
    const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
    return (
      head +
      this.#rows
        .map(({ why = "", ...r }) => `| ${[r.id, r.what, r.figure, r.result, r.met, why].map(cell).join(" | ")} |\n`)
        .join("")
    );
  }

  /** Prints the table, saves it, and sets the exit code: 0 if each figure is met or has the reason beside it. */
  finish(folder, name) {
    const seconds = (performance.now() - this.#started) / 1000;
    const table = Object.fromEntries(this.#rows.map(({ group, ...row }, i) => [`${i + 1}`, row]));
    console.table(table);
    const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
    mkdirSync(folder, { recursive: true });
    const about = { title: this.title, date: new Date().toISOString(), machine, seconds };
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ ...about, rows: this.#rows }, undefined, 2)}\n`);
    writeFileSync(
      join(folder, `${name}.md`),
      `# ${this.title}\n\n${about.date}, ${machine}, ${seconds.toFixed(0)} s.\n\n${this.markdown()}`,
    );
    const { missed } = this;
    const explained = this.#rows.filter(({ why }) => why !== undefined).length;
    console.log(
      `${this.#rows.length} figures in ${seconds.toFixed(0)} s, ${missed.length} missed, ${explained} more for the reason beside them; saved in ${folder}`,
    );
    process.exitCode = missed.length === 0 ? 0 : 1;
  }
}
