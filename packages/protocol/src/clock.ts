/** A timer that `Clock.setTimeout` gave. */
export type Timer = unknown;

/** Time as the library sees it. Replace it to test deadlines, backoff and keepalive without waiting. */
export interface Clock {
  /** Milliseconds that only go forward; its zero means nothing. */
  now(): number;
  /** Calls `callback` once after `ms`. The timer keeps the process alive only if `keepAlive` is true. */
  setTimeout(callback: () => void, ms: number, keepAlive?: boolean): Timer;
  clearTimeout(timer: Timer): void;
}

/** 24.8 days: Node would call at once what is to wait for longer. */
const MAX_WAIT = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout(callback, ms, keepAlive = false) {
    const timer: unknown = setTimeout(callback, Math.min(ms, MAX_WAIT));
    if (!keepAlive) (timer as { unref?(): void }).unref?.();
    return timer;
  },
  clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
};
