/**
 * Runs `callback` when the current turn of the event loop has done its work. The only place that knows how: a
 * microtask would run between two items of an async generator and make one write of each.
 */
export function atTurnEnd(callback: () => void): void {
  process.nextTick(callback);
}

/** Runs `callback` in the next turn of the event loop, after what is ready to be read and written. */
export function nextTurn(callback: () => void): void {
  setImmediate(callback);
}
