// Every fault that one machine can make, on real processes and sockets, and a table of what was measured beside what had
// to be reached. The table is saved in `results`.
//   npm run test:faults [-- group ...]
import { fileURLToPath } from "node:url";
import { attacks } from "./attacks.mjs";
import { crashes } from "./crashes.mjs";
import { encryption } from "./encryption.mjs";
import { functions } from "./functions.mjs";
import { Report } from "./report.mjs";
import { shutdown } from "./shutdown.mjs";
import { wire } from "./wire.mjs";

const GROUPS = { attacks, wire, crashes, encryption, functions, shutdown };

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => !Object.hasOwn(GROUPS, name));
if (unknown !== undefined) throw new Error(`there is no group ${unknown}: ${Object.keys(GROUPS).join(", ")}`);

const report = new Report("Faults");
for (const [name, group] of Object.entries(GROUPS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  console.log(name);
  report.group(name);
  const started = performance.now();
  try {
    await group(report);
  } catch (error) {
    console.error(error);
    report.row("", `the group ${name}`, "runs to its end", String(error), false);
  }
  console.log(`  ${name}: ${((performance.now() - started) / 1_000).toFixed(1)} s`);
}
report.finish(fileURLToPath(new URL("results", import.meta.url)), "faults");
// What a failed group left open must not keep this process.
process.exit();
