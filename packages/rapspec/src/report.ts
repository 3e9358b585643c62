import type { Result } from "./suite";

const WIDTH = 56;

/** The results as a table of one line per section, and a list of what is not passed. */
export function report(results: readonly Result[]): string {
  const sections = [...new Set(results.map((result) => result.case.section))];
  const row = (name: string, own: readonly Result[]) => {
    const count = (verdict: Result["verdict"]) => own.filter((result) => result.verdict === verdict).length;
    const cells = [own.length, count("passed"), count("failed"), count("skipped")];
    return `${name.padEnd(WIDTH)}${cells.map((cell) => String(cell).padStart(9)).join("")}`;
  };
  const lines = [
    `${"".padEnd(WIDTH)}${["cases", "passed", "failed", "skipped"].map((title) => title.padStart(9)).join("")}`,
    ...sections.map((section) =>
      row(
        section,
        results.filter((result) => result.case.section === section),
      ),
    ),
    row("all", results),
  ];
  for (const { case: it, verdict, why = "" } of results) {
    if (verdict !== "passed")
      lines.push("", `${verdict}: ${it.section}: ${it.name}: ${it.gives}`, `    ${why.slice(0, 500)}`);
  }
  return `${lines.join("\n")}\n`;
}
