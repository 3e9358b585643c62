import { GoawayCode } from "@rap/protocol";
import { Budget } from "./budget";
import type { Connection } from "./connection";
import type { Slice } from "./slice";
import { atTurnEnd } from "./turn";

/** Messages that wait in the outboxes of servers. */
class Waiting extends Budget<Connection> {
  /** Since when they are over the limit. */
  overSince: number | undefined;
}

/**
 * What peers do not take, what they began and did not finish, and what waits in servers: by the limits there are for it, of
 * which a process has few. What connections with another limit hold costs none that is within its own.
 */
const unsent = new Map<number, Budget<Connection>>();
const unfinished = new Map<number, Budget<Connection>>();
const waiting = new Map<number, Waiting>();

/** The one for this limit; there is one from the first connection that has it on. */
function budgetOf<B>(budgets: Map<number, B>, kind: new (limit: number) => B, limit: number): B {
  const found = budgets.get(limit) ?? new kind(limit);
  budgets.set(limit, found);
  return found;
}

/** The process did something else, and no peer could take anything: they have the whole time again. */
export function heldUp(now: number): void {
  for (const shared of waiting.values()) if (shared.overSince !== undefined) shared.overSince = now;
}

/** The limits at which a peer is not read from for a while. */
export type PauseLimit = "writeQueueSoftBytes" | "writeQueueHardBytes" | "maxUnsentReplies";

/** A counter, at 0, for each of them. */
export function noPauses(): Record<PauseLimit, number> {
  return { writeQueueSoftBytes: 0, writeQueueHardBytes: 0, maxUnsentReplies: 0 };
}

/** By how much what waits must differ from what the budget of all connections knows of it. */
const WORTH_TELLING = 16 * 1024;
/** All metadata is at most 8.2 KiB; a result without any waits when it is larger than 16. */
const LARGEST_TRAILERS = 9 * 1024;

/** How a connection bears a peer that does not take what it is sent, or does not finish what it sends. */
export class Pressure {
  readonly #connection: Connection;
  readonly #slice: Slice;
  readonly #unsent: Budget<Connection>;
  readonly #unfinished: Budget<Connection>;
  readonly #waiting: Waiting;
  /** Bytes of messages that are not whole, and of an unfinished frame. */
  #parts = 0;
  #partial = 0;
  /** Frames that the peer made this side send since it last took everything. */
  provoked = 0;
  /** Bytes of messages that wait in the outbox, and of the results among them, which need no credit. */
  #queued = 0;
  #results = 0;
  /** What the budget knows of the first. */
  #told = 0;
  /** Its socket is not read from. */
  #paused = false;
  /** Nothing of what came is looked at either. */
  #held = false;
  /** Whether the budget knows of bytes that this connection holds. */
  #accounted = false;

  constructor(connection: Connection, slice: Slice) {
    this.#connection = connection;
    this.#slice = slice;
    const { processWriteQueueBytes, processReceiveBytes } = connection.limits;
    this.#unsent = budgetOf(unsent, Budget<Connection>, processWriteQueueBytes);
    this.#unfinished = budgetOf(unfinished, Budget<Connection>, processReceiveBytes);
    this.#waiting = budgetOf(waiting, Waiting, processWriteQueueBytes);
  }

  /** Whether what the peer sends is read. */
  get reading(): boolean {
    return !this.#paused && !this.#held;
  }

  /** More waits for the peer than it should, so that what can wait does. */
  get isBehind(): boolean {
    const connection = this.#connection;
    return connection.outbox.blocked && connection.socket.buffered > connection.limits.writeQueueSoftBytes;
  }

  /** Bytes came, the last `partial` of which are not a whole frame. */
  read(partial: number): void {
    this.#partial = partial;
    const held = partial + this.#parts;
    if (held > 0 || this.#accounted) this.#account(held);
    this.#pauseIfBehind();
  }

  /** Parts of a message came (or, below 0, are no longer kept, which may be when nothing is read any more). */
  keep(bytes: number): void {
    this.#parts += bytes;
    if (bytes < 0 && this.#accounted && !this.#connection.closed) this.#account(this.#partial + this.#parts);
  }

  /** The socket takes bytes again. */
  drained(): void {
    const { socket, outbox, limits } = this.#connection;
    this.provoked = 0;
    this.#unsent.set(this.#connection, socket.buffered);
    outbox.drained();
    if (this.#paused && socket.buffered < limits.writeQueueSoftBytes) {
      this.#paused = false;
      if (!this.#held) this.#slice.resume();
    }
  }

  /**
   * A message, or (below 0) less of it, waits in the outbox. A client's arguments are its own, but results that nobody
   * takes could fill a server's memory: while there are too many of them it takes no further call of this peer.
   */
  queue(bytes: number, result: boolean): void {
    if (this.#connection.role === "client") return;
    if (result) {
      // One alone may be as large as it is, and has its trailers behind it.
      const another = bytes > LARGEST_TRAILERS && this.#results > 0;
      this.#results += bytes;
      if (another && this.#manyResults()) this.#hold();
      else if (this.#held && !this.#manyResults()) this.#release();
    }
    this.#queued += bytes;
    // Items of streams wait for credit all the time, and are small.
    const news = Math.abs(this.#queued - this.#told);
    if (news >= WORTH_TELLING || (news > 0 && this.#queued === 0)) this.#tellQueued(this.#queued);
  }

  #tellQueued(bytes: number): void {
    if (bytes === this.#told) return;
    this.#told = bytes;
    const shared = this.#waiting;
    shared.set(this.#connection, bytes);
    if (shared.isOver) shared.overSince ??= this.#connection.wheel.now();
    else shared.overSince = undefined;
  }

  /**
   * Called now and then. Results come all at once and go as fast as they are taken, so peers have the time of
   * `writeStallTimeout` to take what is too much; then those that have most waiting have to go.
   */
  relieve(now: number): void {
    // A client's limits are not those of the servers in its process.
    if (this.#connection.role === "client") return;
    const { overSince } = this.#waiting;
    if (overSince === undefined || now - overSince < this.#connection.limits.writeStallTimeout) return;
    this.#endLargest(this.#waiting);
  }

  /** Those that have most have to go, until the others are within the limit. */
  #endLargest(shared: Budget<Connection>): void {
    while (shared.isOver) {
      shared
        .largest()!
        .abort(GoawayCode.SLOW_CONSUMER, "bytes that peers do not take need too much memory", "processWriteQueueBytes");
    }
  }

  /** Where all connections together hold much, one result of each is enough. */
  #manyResults(): boolean {
    const { held, limit } = this.#waiting;
    return this.#results > (held > limit / 2 ? 0 : this.#connection.limits.writeQueueHardBytes);
  }

  #hold(): void {
    if (this.#held || this.#connection.closed) return;
    this.#held = true;
    this.#connection.hold();
    this.#connection.paused("writeQueueHardBytes");
  }

  #release(): void {
    this.#held = false;
    // Whoever is sending just now must not be interrupted by further calls.
    atTurnEnd(() => {
      if (this.reading && !this.#connection.closed) this.#slice.resume();
    });
  }

  /** The peer takes less than it is sent. Over the budget of all connections, the one that is most behind has to go. */
  fallBehind(): void {
    const { closed, socket } = this.#connection;
    if (closed) return;
    this.#unsent.set(this.#connection, socket.buffered);
    // Whoever is sending just now must not be interrupted by the end of another connection.
    if (this.#unsent.isOver) atTurnEnd(() => this.#endLargest(this.#unsent));
  }

  /** The connection is over. */
  end(): void {
    this.#unsent.set(this.#connection, 0);
    this.#tellQueued(0);
    this.#unfinished.set(this.#connection, 0);
  }

  /** Tells the budget of unfinished messages; over it, whoever began first has to go. */
  #account(held: number): void {
    this.#unfinished.set(this.#connection, held);
    this.#accounted = held > 0;
    while (this.#unfinished.isOver) {
      this.#unfinished
        .oldest()!
        .abort(GoawayCode.ENHANCE_YOUR_CALM, "unfinished messages take too much memory", "processReceiveBytes");
    }
  }

  #pauseIfBehind(): void {
    const connection = this.#connection;
    const { limits, socket, outbox, role } = connection;
    const { buffered } = socket;
    if (buffered > limits.writeQueueHardBytes) {
      connection.abort(
        GoawayCode.SLOW_CONSUMER,
        `${buffered} bytes wait for a peer that does not take them`,
        "writeQueueHardBytes",
      );
      return;
    }
    // Nobody would say when to read on.
    if (!outbox.blocked) {
      this.provoked = 0;
      return;
    }
    // A client that stopped reading could wait for a server that stopped reading: only one side may.
    const slow = role === "server" && buffered > limits.writeQueueSoftBytes;
    if (this.#paused || (!slow && this.provoked <= limits.maxUnsentReplies)) return;
    this.#paused = true;
    socket.pause();
    connection.paused(slow ? "writeQueueSoftBytes" : "maxUnsentReplies");
  }
}
