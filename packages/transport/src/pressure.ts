import { GoawayCode } from "@rap/protocol";
import { Budget } from "./budget";
import type { Connection } from "./connection";
import { atTurnEnd } from "./turn";

/** What peers do not take, and what they began and did not finish, of all connections of the process. */
const unsent = new Budget<Connection>();
const unfinished = new Budget<Connection>();

/** The limits at which a peer is not read from for a while. */
export type PauseLimit = "writeQueueSoftBytes" | "maxUnsentReplies";

/** How a connection bears a peer that does not take what it is sent, or does not finish what it sends. */
export class Pressure {
  readonly #connection: Connection;
  /** Bytes of messages that are not whole, and of an unfinished frame. */
  #parts = 0;
  #partial = 0;
  /** Frames that the peer made this side send since it last took everything. */
  provoked = 0;
  /** It is not read from. */
  paused = false;
  /** Whether the budget knows of bytes that this connection holds. */
  #accounted = false;

  constructor(connection: Connection) {
    this.#connection = connection;
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
    unsent.set(this.#connection, socket.buffered);
    outbox.drained();
    if (this.paused && socket.buffered < limits.writeQueueSoftBytes) {
      this.paused = false;
      socket.resume();
    }
  }

  /** The peer takes less than it is sent. Over the budget of all connections, the one that is most behind has to go. */
  fallBehind(): void {
    const { closed, socket, limits } = this.#connection;
    if (closed) return;
    unsent.set(this.#connection, socket.buffered);
    if (unsent.held <= limits.processWriteQueueBytes) return;
    // Whoever is sending just now must not be interrupted by the end of another connection.
    atTurnEnd(() => {
      while (unsent.held > limits.processWriteQueueBytes) {
        unsent
          .largest()!
          .abort(
            GoawayCode.SLOW_CONSUMER,
            "bytes that peers do not take need too much memory",
            "processWriteQueueBytes",
          );
      }
    });
  }

  /** The connection is over. */
  end(): void {
    unsent.set(this.#connection, 0);
    unfinished.set(this.#connection, 0);
  }

  /** Tells the budget of unfinished messages; over it, whoever began first has to go. */
  #account(held: number): void {
    unfinished.set(this.#connection, held);
    this.#accounted = held > 0;
    while (unfinished.held > this.#connection.limits.processReceiveBytes) {
      unfinished
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
    if (this.paused || (!slow && this.provoked <= limits.maxUnsentReplies)) return;
    this.paused = true;
    socket.pause();
    connection.paused(slow ? "writeQueueSoftBytes" : "maxUnsentReplies");
  }
}
