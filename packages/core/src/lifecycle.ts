import type { Awaitable } from "@rap/protocol";
import type { Host } from "./host";
import type { Logger } from "./logger";
import type { Lifecycle } from "./middleware";

/** A function that runs around the life of a server or client. */
export type LifecycleEvent = () => Awaitable<void>;

/** The points of a life at which functions can run, in the order in which they were loaded. */
export interface LifecycleEvents {
  readonly beforeStart: LifecycleEvent[];
  readonly afterStart: LifecycleEvent[];
  readonly beforeStop: LifecycleEvent[];
  readonly afterStop: LifecycleEvent[];
}

export function lifecycleEvents(): LifecycleEvents {
  return { beforeStart: [], afterStart: [], beforeStop: [], afterStop: [] };
}

/** Runs what comes before a start, then starts the parts. What had started is stopped again if one of them throws. */
export async function startParts(
  events: readonly LifecycleEvent[],
  parts: readonly Lifecycle[],
  host: Host,
): Promise<void> {
  for (const event of events) await event();
  const started: Lifecycle[] = [];
  try {
    for (const part of parts) {
      await part.onStart?.(host);
      started.push(part);
    }
  } catch (error) {
    await stopParts(started, [], host);
    throw error;
  }
}

/** Stops the parts in reverse, then runs what comes after a stop. Errors are logged, and the stop goes on. */
export async function stopParts(
  parts: readonly Lifecycle[],
  events: readonly LifecycleEvent[],
  host: Host,
): Promise<void> {
  const stops = [...parts].reverse().map((part) => () => part.onStop?.(host));
  await runEvents([...stops, ...events], host.logger);
}

/** Runs functions one after the other; one that throws is logged. */
export async function runEvents(events: readonly LifecycleEvent[], logger: Logger): Promise<void> {
  for (const event of events) {
    try {
      await event();
    } catch (error) {
      logger.error({ err: error }, "a lifecycle event failed");
    }
  }
}
