import type { Result } from "./suite";

/** The results as a table of one line per section, and a list of what is not passed. */
export function report(results: readonly Result[]): string {
  const sections = [...new Set(results.map((result) => result.case.section))];
  const row = (name: string, own: readonly Result[]) => {
    const count = (verdict: Result["verdict"]) => own.filter((result) => result.verdict === verdict).length;
    const cells = [own.length, count("passed"), count("failed"), count("skipped")];
    return `${name.padEnd(40)}${cells.map((cell) => String(cell).padStart(9)).join("")}`;
  };
  const lines = [
    `${"".padEnd(40)}${["cases", "passed", "failed", "skipped"].map((title) => title.padStart(9)).join("")}`,
    ...sections.map((section) =>
      row(
        section,
        results.filter((result) => result.case.section === section),
      ),
    ),
    row("all", results),
  ];
  for (const { case: it, verdict, why = "" } of results) {
    if (verdict !== "passed") lines.push("", `${verdict}: ${it.section}: ${it.name}: ${it.gives}`, `    ${why}`);
  }
  return `${lines.join("\n")}\n`;
}
