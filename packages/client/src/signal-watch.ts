/** Something that a signal cancels. */
export interface Cancellable {
  onSignal(signal: AbortSignal): void;
}

const watchers = new WeakMap<AbortSignal, Set<Cancellable>>();

/**
 * Tells `watcher` when `signal` fires, until `unwatch`. One signal may stand for thousands of calls, and Node warns of
 * more than ten listeners on one: so there is one, and the calls are in a set.
 */
export function watch(signal: AbortSignal, watcher: Cancellable): void {
  const others = watchers.get(signal);
  if (others !== undefined) {
    others.add(watcher);
    return;
  }
  watchers.set(signal, new Set([watcher]));
  signal.addEventListener("abort", onAbort, { once: true });
}

export function unwatch(signal: AbortSignal, watcher: Cancellable): void {
  const all = watchers.get(signal);
  if (all === undefined || !all.delete(watcher) || all.size > 0) return;
  watchers.delete(signal);
  signal.removeEventListener("abort", onAbort);
}

function onAbort(this: AbortSignal): void {
  const all = watchers.get(this) ?? [];
  watchers.delete(this);
  for (const watcher of all) watcher.onSignal(this);
}
