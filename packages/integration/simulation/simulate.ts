import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { type Campaign, findBugs, merge, runCampaign } from "./campaign";
import type { Report } from "./scenario";
import { runScenario } from "./scenario";

const HELP = `npm run simulate -- [--seeds 1000] [--from 1] [--processes N]   runs scenarios
npm run simulate -- --seed N                                  one scenario, with everything that happened
npm run simulate -- --bugs [--seeds 1000] [--from 1]          looks for the planted bugs`;

/** Scenarios a second that two free cores do. A busy machine does fewer, as do few seeds: no failure, so it is only told. */
const PACE = 50;

/** The command line. */
export async function main(args: readonly string[]): Promise<void> {
  const number = (name: string, otherwise: number) => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? otherwise : Number(args[at + 1]);
  };
  const from = number("from", 1);
  const seeds = number("seeds", 1_000);
  if (args.includes("--help")) console.log(HELP);
  else if (args.includes("--seed")) await showScenario(number("seed", 1));
  else if (args.includes("--bugs")) await showBugs(from, seeds);
  else if (args.includes("--part")) process.stdout.write(JSON.stringify(await runCampaign(from, seeds)));
  else await showCampaign(from, seeds, number("processes", availableParallelism()));
}

async function showScenario(seed: number): Promise<void> {
  const report = await runScenario(seed, { trace: true });
  for (const line of report.trace ?? []) console.log(line);
  console.log(
    `\nseed ${seed}: ${report.weather}${report.points.map((point) => `, ${point}`).join("")}, trace ${report.hash}, ${report.calls} calls`,
  );
  tell(report);
}

async function showBugs(from: number, seeds: number): Promise<void> {
  const found = await findBugs(from, seeds);
  for (const [{ name }, report] of found) {
    const [first] = report?.violations ?? [];
    const where = report === undefined ? `not found from ${from} on` : `seed ${report.seed}, ${first!.invariant}`;
    console.log(`${name.padEnd(80)} ${where}`);
    if (report === undefined) process.exitCode = 1;
  }
}

async function showCampaign(from: number, seeds: number, processes: number): Promise<void> {
  const start = process.hrtime.bigint();
  const share = Math.ceil(seeds / processes);
  const parts = Array.from({ length: processes }, (_, i) =>
    runPart(from + i * share, Math.max(0, Math.min(share, seeds - i * share))),
  );
  const campaign = merge(await Promise.all(parts));
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { scenarios, calls, failed, events, faults, broken } = campaign;
  const pace = scenarios / seconds;
  console.table({
    scenarios: `${scenarios} (seeds ${from} to ${from + seeds - 1})`,
    "scenarios a second": `${pace.toFixed(1)} in ${processes} processes, ${pace < PACE ? "below" : "at least"} ${PACE}`,
    calls: `${calls}, of which ${failed} failed as they may`,
    events,
    faults: Object.entries(faults)
      .map(([fault, count]) => `${count} ${fault}`)
      .join(", "),
    violations: broken.length === 0 ? "none" : `seeds ${broken.map(({ seed }) => seed).join(", ")}`,
  });
  for (const report of broken) tell(report);
}

/** Some of the seeds, in a process of their own. */
function runPart(from: number, seeds: number): Promise<Campaign> {
  const args = [...process.argv.slice(1, 3), "--part", "--from", String(from), "--seeds", String(seeds)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(output) as Campaign);
      else reject(new Error(`seeds from ${from} on ended with code ${code}`));
    });
  });
}

function tell({ seed, weather, points, violations }: Report): void {
  if (violations.length > 0) process.exitCode = 1;
  for (const { invariant, what } of violations)
    console.log(`seed ${seed} (${[weather, ...points].join(", ")}): ${invariant} ${what}`);
}
