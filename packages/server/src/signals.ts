/**
 * Resolves true at the first of some signals, or false when `stopped` comes first. After the first signal the
 * process is as it was before, so that a second one ends it at once with the exit code that signals have.
 */
export function untilSignal(signals: readonly NodeJS.Signals[], stopped: Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (signalled: boolean) => {
      for (const signal of signals) process.removeListener(signal, onSignal);
      resolve(signalled);
    };
    const onSignal = () => settle(true);
    for (const signal of signals) process.on(signal, onSignal);
    void stopped.then(() => settle(false));
  });
}
