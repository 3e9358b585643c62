import { GoawayCode } from "@rap/protocol";
import type { Connection } from "./connection";
import { WheelEntry } from "./wheel";

/** Looks are at most this far apart, in milliseconds. */
const LONGEST_PERIOD = 2_500;

/**
 * Watches over a connection's time: a handshake or a frame that does not come to its end, a peer that does not
 * answer, one that takes nothing, and one that nobody uses. All are absolute: no trickle of bytes puts them off.
 */
export class Keepalive extends WheelEntry {
  readonly #connection: Connection;
  readonly #period: number;
  readonly #idleTimeout: number;
  readonly #interval: number;
  /** When the frame that is not whole began; undefined between frames. */
  #partialSince: number | undefined;
  #pingSentAt: number | undefined;
  /** Bytes that the peer had taken when it last took any while more waited, and when that was. */
  #taken = 0;
  #takenAt: number;
  lastRead: number;
  pingsSent = 0;

  constructor(connection: Connection, idleTimeout: number) {
    super();
    const { limits, peer, wheel } = connection;
    this.#connection = connection;
    this.#idleTimeout = idleTimeout;
    // A peer says how often it wants to be asked at most; a client may not be punished for what it was told.
    this.#interval = Math.max(limits.keepaliveInterval, peer.keepaliveInterval);
    this.lastRead = this.#takenAt = wheel.now();
    const shortest = Math.min(
      this.#interval,
      limits.keepaliveTimeout,
      limits.frameTimeout,
      limits.writeStallTimeout,
      idleTimeout,
    );
    this.#period = Math.min(shortest / 4, LONGEST_PERIOD);
    wheel.add(this, this.#period);
  }

  /** Bytes came; `begun` when a frame is left unfinished, `ended` when one or more were finished. */
  read(now: number, begun: boolean, ended: boolean): void {
    this.lastRead = now;
    this.#pingSentAt = undefined;
    if (!begun) this.#partialSince = undefined;
    else if (ended || this.#partialSince === undefined) this.#partialSince = now;
  }

  stop(): void {
    this.#connection.wheel.remove(this);
  }

  override expire(): void {
    const connection = this.#connection;
    const now = connection.wheel.now();
    if (this.#partialSince !== undefined && now - this.#partialSince >= connection.limits.frameTimeout) {
      connection.close(GoawayCode.SLOW_FRAME, "a frame took too long to arrive");
    } else if (this.#stalled(now)) {
      connection.abort(GoawayCode.SLOW_CONSUMER, "the peer takes no bytes");
    } else if (connection.streams > 0) {
      this.#ask(now);
    } else if (connection.holds === 0 && now - this.lastRead >= this.#idleTimeout) {
      connection.close(GoawayCode.IDLE, "the connection was not used");
    }
    if (!connection.closed) connection.wheel.add(this, this.#period);
  }

  #ask(now: number): void {
    const { limits } = this.#connection;
    if (this.#pingSentAt !== undefined) {
      if (now - this.#pingSentAt >= limits.keepaliveTimeout) {
        this.#connection.abort(GoawayCode.KEEPALIVE_TIMEOUT, "the peer does not answer");
      }
    } else if (now - this.lastRead >= this.#interval) {
      this.#pingSentAt = now;
      this.pingsSent++;
      this.#connection.ping();
    }
  }

  /** Whether bytes have waited for the peer all through the stall timeout without one being taken. */
  #stalled(now: number): boolean {
    const { buffered, written } = this.#connection.progress();
    const taken = written - buffered;
    if (buffered === 0 || taken !== this.#taken) {
      this.#taken = taken;
      this.#takenAt = now;
      return false;
    }
    return now - this.#takenAt >= this.#connection.limits.writeStallTimeout;
  }
}
