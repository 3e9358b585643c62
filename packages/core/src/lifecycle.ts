import type { Awaitable } from "@rap/protocol";
import { given } from "./option-values";

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

/** Adds functions to a point of a life. Throws TypeError `ERR_RAP_LOAD` for what is no list of functions. */
export function addEvents(events: LifecycleEvent[], added: readonly LifecycleEvent[] = []): void {
  if (!Array.isArray(added)) throw loadError(`events are a list of functions, not ${given(added)}`);
  const wrong = added.findIndex((event) => typeof event !== "function");
  if (wrong >= 0) throw loadError(`events are a list of functions, and entry ${wrong} is ${given(added[wrong])}`);
  events.push(...added);
}

/** Throws TypeError `ERR_RAP_LOAD` where a part has something else than a function under one of these names. */
export function checkHooks(of: string, part: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  for (const name of names) {
    const hook = part[name];
    if (hook !== undefined && typeof hook !== "function") {
      throw loadError(`${name} of ${of} is a function, not ${given(hook)}`);
    }
  }
}

/** A part that cannot be loaded. */
export function loadError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_LOAD" });
}

/** A part with a start and a stop: middleware, a processor. */
type Part<H> = { onStart?(host: H): Awaitable<void>; onStop?(host: H): Awaitable<void> };

/**
 * Runs what comes before a start, then starts the parts. What had started is stopped again if one of them throws, or if
 * `stopped` says that the start is not wanted any more.
 */
export async function startParts<H>(
  events: readonly LifecycleEvent[],
  parts: readonly Part<H>[],
  host: H,
  failed: (error: unknown) => void,
  stopped: () => boolean,
): Promise<void> {
  const check = () => {
    if (!stopped()) return;
    throw Object.assign(new Error("it was stopped while it started"), { code: "ERR_RAP_STATE" });
  };
  for (const event of events) {
    await event();
    check();
  }
  const started: Part<H>[] = [];
  try {
    for (const part of parts) {
      await part.onStart?.(host);
      started.push(part);
      check();
    }
  } catch (error) {
    await stopParts(started, [], host, failed);
    throw error;
  }
}

/** Stops the parts in reverse, then runs what comes after a stop. `failed` is told of errors, and the stop goes on. */
export async function stopParts<H>(
  parts: readonly Part<H>[],
  events: readonly LifecycleEvent[],
  host: H,
  failed: (error: unknown) => void,
): Promise<void> {
  const stops = [...parts].reverse().map((part) => () => part.onStop?.(host));
  await runEvents([...stops, ...events], failed);
}

/** Runs functions one after the other; `failed` is told of one that throws. */
export async function runEvents(events: readonly LifecycleEvent[], failed: (error: unknown) => void): Promise<void> {
  for (const event of events) {
    try {
      await event();
    } catch (error) {
      failed(error);
    }
  }
}

/** Throws a TypeError with code `ERR_RAP_LOAD` for a part that has a start and comes too late for it. */
export function checkInTime(part: { onStart?: unknown }, startedAlready: boolean): void {
  if (!startedAlready || typeof part?.onStart !== "function") return;
  throw loadError("what has an onStart is loaded before the start: it would never be called");
}
