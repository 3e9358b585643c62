import type { FaultCounts } from "./faults";
import { PLANTED_BUGS, type PlantedBug } from "./planted-bugs";
import { type Report, runScenario } from "./scenario";

/** What a range of seeds showed. */
export interface Campaign {
  scenarios: number;
  calls: number;
  failed: number;
  events: number;
  faults: Partial<FaultCounts>;
  /** Reports of the seeds that broke a promise. */
  broken: Report[];
}

/** Runs the seeds one after the other. */
export async function runCampaign(from: number, seeds: number): Promise<Campaign> {
  const campaign = empty();
  for (let seed = from; seed < from + seeds; seed++) add(campaign, await runScenario(seed));
  return campaign;
}

/** The sum of what several ranges showed. */
export function merge(parts: readonly Campaign[]): Campaign {
  const sum = empty();
  for (const { scenarios, calls, failed, events, faults, broken } of parts) {
    sum.scenarios += scenarios;
    sum.calls += calls;
    sum.failed += failed;
    sum.events += events;
    addFaults(sum, faults);
    sum.broken.push(...broken);
  }
  return sum;
}

function empty(): Campaign {
  return { scenarios: 0, calls: 0, failed: 0, events: 0, faults: {}, broken: [] };
}

function add(campaign: Campaign, report: Report): void {
  campaign.scenarios++;
  campaign.calls += report.calls;
  campaign.failed += report.failed;
  campaign.events += report.events;
  addFaults(campaign, report.faults);
  if (report.violations.length > 0) campaign.broken.push(report);
}

function addFaults(campaign: Campaign, faults: Partial<FaultCounts>): void {
  for (const [fault, count] of Object.entries(faults) as [keyof FaultCounts, number][]) {
    campaign.faults[fault] = (campaign.faults[fault] ?? 0) + count;
  }
}

/** The first seed, of so many, in which a planted bug is seen; undefined if it is in none. */
export async function findBug(bug: PlantedBug, from: number, seeds: number): Promise<Report | undefined> {
  const undo = bug.plant();
  try {
    for (let seed = from; seed < from + seeds; seed++) {
      const report = await runScenario(seed);
      if (report.violations.length > 0) return report;
    }
    return undefined;
  } finally {
    undo();
  }
}

/** Looks for each of the planted bugs. */
export async function findBugs(from: number, seeds: number): Promise<Map<PlantedBug, Report | undefined>> {
  const found = new Map<PlantedBug, Report | undefined>();
  for (const bug of PLANTED_BUGS) found.set(bug, await findBug(bug, from, seeds));
  return found;
}
