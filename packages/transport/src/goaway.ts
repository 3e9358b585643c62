import { encodeGoaway, GoawayCode, Kind, MAX_STREAM_ID, RapError } from "@rap/protocol";
import type { Connection } from "./connection";
import type { ConnectionHost } from "./connection-host";
import { lost } from "./loss";
import type { StreamTable } from "./stream-table";
import { Watch } from "./wheel";

/** The mark of the ping between the two steps: keepalive's may be under way. */
const LAST_CALL = 1;
const ALL_USED = "all stream ids are used";

/** How a connection takes leave: the two steps of this side's goaway, the peer's, and the end after the last stream. */
export class Goaway {
  readonly #connection: Connection;
  readonly #host: ConnectionHost;
  readonly #streams: StreamTable;
  /** What the peer said, or why it need not. */
  #said: { code: number; reason: string } | undefined;
  /** Between the two steps, once the first was taken. */
  #pause: Watch | undefined;
  /** Ids above it are refused: the second step was taken. */
  lastAcceptedId = MAX_STREAM_ID;

  constructor(connection: Connection, host: ConnectionHost, streams: StreamTable) {
    this.#connection = connection;
    this.#host = host;
    this.#streams = streams;
  }

  /** No goaway of the peer was about an error. */
  get inOrder(): boolean {
    return this.#said === undefined || this.#said.code === GoawayCode.NO_ERROR;
  }

  /** Takes the first step, and the second when the peer has heard of it, or after a pause. */
  send(reason: string): void {
    const connection = this.#connection;
    if (connection.closed || this.#pause !== undefined) return;
    connection.draining = true;
    if (!connection.ready) return connection.close(GoawayCode.NO_ERROR, reason);
    this.#pause = new Watch(() => this.#lastCall(reason));
    // A client takes no calls, so there is nothing to wait for.
    if (connection.role === "client") return this.#lastCall(reason);
    connection.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(MAX_STREAM_ID, GoawayCode.NO_ERROR, reason));
    connection.wheel.add(this.#pause, connection.limits.goawayPause);
    connection.ping(LAST_CALL);
  }

  /** The peer answers the ping with this mark: it has heard all that was said before. */
  heard(mark: number): void {
    if (mark === LAST_CALL && this.#pausing) this.#pause!.expire();
  }

  /** The peer is going away. */
  receive(goaway: { lastId: number; code: number; reason: string }): void {
    const connection = this.#connection;
    const { code, reason } = goaway;
    connection.draining = true;
    for (const stream of this.#streams.list()) {
      if (!this.#streams.isOwn(stream.id) || stream.id <= goaway.lastId) continue;
      // The peer never looked at it, so there is nothing to tell it either.
      stream.localDone = true;
      stream.dropPending();
      stream.receiveReset(
        new RapError("UNAVAILABLE", `the server is going away: ${reason}`, {
          origin: "transport",
          maybeExecuted: false,
        }),
      );
    }
    if (connection.closed) return;
    // Not before, or the last of those streams would end the connection in their midst.
    this.#said = goaway;
    if (code !== GoawayCode.NO_ERROR) {
      connection.socket.end();
      connection.finish(this.lostBy(undefined), code, reason);
      return;
    }
    this.#host.onGoaway?.(connection, reason);
    this.endIfDrained();
  }

  /** Ids are never used twice: what runs goes on, and new calls need a new connection. */
  exhausted(): void {
    this.#connection.draining = true;
    this.#said ??= { code: GoawayCode.NO_ERROR, reason: ALL_USED };
    this.#host.onGoaway?.(this.#connection, ALL_USED);
  }

  /** Ends the connection if it takes no more streams and has none. */
  endIfDrained(): void {
    const connection = this.#connection;
    if (connection.closed) return;
    // Between the two steps more calls may be on their way.
    if (this.#streams.size > 0 || this.#pausing) return;
    if (this.#said === undefined && this.#pause === undefined) return;
    connection.outbox.flush();
    connection.socket.end();
    connection.finish(connection.ready ? undefined : this.lostBy(undefined), GoawayCode.NO_ERROR, "");
  }

  /** What streams are told whose connection is lost: what the peer said counts for more than how its socket ended. */
  lostBy(error: Error | undefined): RapError {
    if (this.#said !== undefined) {
      const { code, reason } = this.#said;
      return lost(code as GoawayCode, reason, error, "the peer closed the connection");
    }
    if (error !== undefined) return lost(GoawayCode.NO_ERROR, error.message, error, "the connection was lost");
    const when = this.#connection.ready ? "" : " before the handshake was done";
    return lost(GoawayCode.NO_ERROR, `the peer closed it${when}`, undefined, "the connection was lost");
  }

  /** The connection is over. */
  stop(): void {
    if (this.#pause !== undefined) this.#connection.wheel.remove(this.#pause);
  }

  get #pausing(): boolean {
    return this.#pause !== undefined && this.#pause.slot >= 0;
  }

  /** The second step: from here on calls are refused. */
  #lastCall(reason: string): void {
    const connection = this.#connection;
    if (connection.closed) return;
    this.stop();
    this.lastAcceptedId = this.#streams.lastPeerId;
    connection.outbox.frame(Kind.GOAWAY, 0, 0, encodeGoaway(this.lastAcceptedId, GoawayCode.NO_ERROR, reason));
    this.endIfDrained();
  }
}
