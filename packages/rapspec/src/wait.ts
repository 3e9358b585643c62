import { systemClock } from "@rap/protocol";

/** Resolves after so many milliseconds. */
export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    systemClock.setTimeout(resolve, ms, true);
  });
}

/** Resolves once a condition holds; the time of the case bounds the wait. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = systemClock.now() + PATIENCE;
  while (!(await condition())) {
    if (systemClock.now() > end) throw new Error(`it did not happen within ${PATIENCE} ms: ${condition}`);
    await wait(2);
  }
}

/** Far longer than anything takes that the protocol bounds, for a machine that is busy with other things. */
const PATIENCE = 12_000;
