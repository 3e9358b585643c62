import { GoawayCode } from "@rap/protocol";
import type { Connection } from "./connection";
import { heldUp } from "./pressure";
import { WheelEntry } from "./wheel";

/** Looks are at most this far apart, in milliseconds. */
const LONGEST_PERIOD = 2_500;
/** A look that is this late was held up by whatever the process did instead, and so was all reading and writing. */
const HELD_UP = 1_000;

/**
 * Watches over a connection's time: a frame that does not come to its end, a peer that does not answer, one that takes
 * nothing, and one that nobody uses. Bytes of a frame put its end off, as far as `frameTimeout`; any byte that comes is an
 * answer and a use, and any that is taken gives the peer its time anew.
 */
export class Keepalive extends WheelEntry {
  readonly #connection: Connection;
  readonly #period: number;
  readonly #idle: "clientIdleTimeout" | "serverIdleTimeout";
  readonly #interval: number;
  /** When the frame that is not whole began; undefined between frames. */
  #partialSince: number | undefined;
  /** Bytes that had come before it. */
  #partialFrom = 0;
  #pingSentAt: number | undefined;
  /** Bytes that the peer had taken when it last took any while more waited, and when that was. */
  #taken = 0;
  #takenAt: number;
  lastRead: number;
  pingsSent = 0;

  constructor(connection: Connection) {
    super();
    const { limits, peer, wheel } = connection;
    this.#connection = connection;
    this.#idle = `${connection.role}IdleTimeout`;
    // A peer says how often it wants to be asked at most; a client may not be punished for what it was told.
    this.#interval = Math.max(limits.keepaliveInterval, peer.keepaliveInterval);
    this.lastRead = this.#takenAt = wheel.now();
    const shortest = Math.min(
      this.#interval,
      limits.keepaliveTimeout,
      limits.frameTimeout,
      limits.writeStallTimeout,
      limits[this.#idle],
    );
    // Not by a quarter of `frameGrace`: once a frame was seen unfinished, the look after is on time.
    this.#period = Math.min(shortest / 4, limits.frameGrace / 2, LONGEST_PERIOD);
    wheel.add(this, this.#period);
  }

  /**
   * Bytes came, `received` in all. They leave a frame unfinished, of which there were `begun` when it began, or none (0);
   * `ended` when one or more were finished.
   */
  read(now: number, received: number, begun: number, ended: boolean): void {
    this.lastRead = now;
    this.#pingSentAt = undefined;
    if (begun === 0) this.#partialSince = undefined;
    else if (ended || this.#partialSince === undefined) {
      this.#partialSince = now;
      this.#partialFrom = received - begun;
    }
  }

  stop(): void {
    this.#connection.wheel.remove(this);
  }

  override expire(): void {
    const connection = this.#connection;
    const now = connection.wheel.now();
    const late = now - this.due > HELD_UP;
    let next = this.#period;
    if (late) heldUp(now);
    else connection.pressure.relieve(now);
    if (connection.closed) return;
    const progress = connection.progress();
    if (late) {
      this.#takenAt = now;
      this.#excuse(now);
    } else if (this.#stalled(now, progress)) {
      connection.abort(GoawayCode.SLOW_CONSUMER, "the peer takes no bytes", "writeStallTimeout");
    } else if (!connection.pressure.reading) {
      this.#excuse(now);
    } else {
      const left = this.#frameTimeLeft(now, progress.received);
      if (left <= 0) this.#endSlowFrame(now);
      else if (connection.streams > 0 || connection.holds > 0) this.#ask(now);
      else if (now - this.lastRead >= connection.limits[this.#idle]) {
        connection.close(GoawayCode.IDLE, "the connection was not used", this.#idle);
      }
      next = Math.min(next, left);
    }
    if (!connection.closed) connection.wheel.add(this, next);
  }

  #endSlowFrame(now: number): void {
    const wholly = now - this.#partialSince! >= this.#connection.limits.frameTimeout;
    const limit = wholly ? "frameTimeout" : "frameBytesPerSecond";
    this.#connection.close(GoawayCode.SLOW_FRAME, "a frame took too long to arrive", limit);
  }

  /** A peer that was not read from is not late with what it sends. */
  #excuse(now: number): void {
    this.lastRead = now;
    this.#pingSentAt = undefined;
    if (this.#partialSince !== undefined) this.#partialSince = now;
  }

  /** How long the frame that is not whole may take from now on, by what has come of it. */
  #frameTimeLeft(now: number, received: number): number {
    if (this.#partialSince === undefined) return Number.POSITIVE_INFINITY;
    const { frameTimeout, frameGrace, frameBytesPerSecond } = this.#connection.limits;
    const earned = (1_000 * (received - this.#partialFrom)) / frameBytesPerSecond;
    return this.#partialSince + Math.min(Math.max(frameGrace, earned), frameTimeout) - now;
  }

  #ask(now: number): void {
    const { limits } = this.#connection;
    if (this.#pingSentAt !== undefined) {
      if (now - this.#pingSentAt >= limits.keepaliveTimeout) {
        this.#connection.abort(GoawayCode.KEEPALIVE_TIMEOUT, "the peer does not answer", "keepaliveTimeout");
      }
    } else if (now - this.lastRead >= this.#interval) {
      this.#pingSentAt = now;
      this.pingsSent++;
      this.#connection.ping();
    }
  }

  /** Whether bytes have waited for the peer all through the stall timeout without one being taken. */
  #stalled(now: number, { buffered, written }: { buffered: number; written: number }): boolean {
    const taken = written - buffered;
    if (buffered === 0 || taken !== this.#taken) {
      this.#taken = taken;
      this.#takenAt = now;
      return false;
    }
    return now - this.#takenAt >= this.#connection.limits.writeStallTimeout;
  }
}
