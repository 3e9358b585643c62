import { GoawayCode, Kind, writeU32 } from "@rap/protocol";
import type { Connection } from "./connection";
import { ReceiveWindow, SendWindow } from "./credit";
import type { Stream } from "./stream";
import { Violation } from "./violation";

/** The credit that all streams of a connection use together, and those that wait for it. */
export class ConnectionCredit {
  readonly #connection: Connection;
  readonly #receiving: ReceiveWindow;
  #waiting: Set<Stream> | undefined;
  /** For what this side sends. Nothing before the peer's HELLO said how much. */
  sending = new SendWindow(0, 0);

  constructor(connection: Connection) {
    this.#connection = connection;
    const { connectionWindowBytes } = connection.limits;
    this.#receiving = new ReceiveWindow(connectionWindowBytes, Number.MAX_SAFE_INTEGER, connectionWindowBytes / 32);
  }

  /** How many streams wait for it. */
  get waiting(): number {
    return this.#waiting?.size ?? 0;
  }

  /** So many bytes came. */
  charge(bytes: number): void {
    if (this.#receiving.receive(bytes, 0)) return;
    const text = "the connection has no credit for what was sent on it";
    throw new Violation(GoawayCode.FLOW_CONTROL_ERROR, text, "connectionWindowBytes");
  }

  /** So many of them were taken by their reader. */
  release(bytes: number): void {
    if (!this.#receiving.release(bytes, 0) || this.#connection.closed) return;
    this.grant(0, this.#receiving.grant().bytes, 0);
  }

  /** Lets the peer send more on a stream, or (0) on all together. */
  grant(id: number, bytes: number, messages: number): void {
    const { closed, outbox } = this.#connection;
    if (closed) return;
    const at = outbox.reserve(Kind.CREDIT, 0, id, 8);
    writeU32(outbox.buffer, at, bytes);
    writeU32(outbox.buffer, at + 4, messages);
    // Not at the end of the turn: a reader may be busy with what came for long, and the sender would idle meanwhile.
    if (id !== 0) outbox.flush();
  }

  /** The peer lets this side send more: streams that waited go on. */
  receive(bytes: number): void {
    if (!this.sending.add(bytes, 0)) {
      throw new Violation(GoawayCode.FLOW_CONTROL_ERROR, "the connection was granted too much");
    }
    if (this.#waiting === undefined || this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) this.#connection.outbox.enqueue(stream);
  }

  wait(stream: Stream): void {
    this.#waiting ??= new Set();
    this.#waiting.add(stream);
  }

  /** It tries again for another reason, or is over. */
  waitNoMore(stream: Stream): void {
    this.#waiting?.delete(stream);
  }

  /** The connection is over. */
  end(): void {
    this.#waiting?.clear();
  }
}
