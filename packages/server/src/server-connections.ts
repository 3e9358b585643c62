import { GoawayCode, type RapError } from "@rap/protocol";
import { Ends, type Socket } from "@rap/transport";
import { ServerConnection } from "./server-connection";
import type { ServerCore } from "./server-core";

/** All connections of a server: they come in over the admission's counts, and are seen off at the end. */
export class ServerConnections {
  readonly #core: ServerCore;
  readonly #all = new Set<ServerConnection>();
  #onEmpty: (() => void) | undefined;
  readonly ends = new Ends();

  constructor(core: ServerCore) {
    this.#core = core;
  }

  get size(): number {
    return this.#all.size;
  }

  list(): ServerConnection[] {
    return [...this.#all];
  }

  accept(socket: Socket): void {
    const { admission } = this.#core;
    // A transport of the caller's did not ask before.
    const seat = admission.seatOf(socket.peer) ?? admission.enter(socket.peer, socket.peer.encrypted);
    if (seat === undefined) return socket.destroy();
    this.#all.add(new ServerConnection(this.#core, socket, seat));
  }

  /** One is over; `error` if not in good order. */
  left(connection: ServerConnection, error: RapError | undefined): void {
    const { admission, logger } = this.#core;
    this.#all.delete(connection);
    this.ends.add(error, connection.wire.endedBy);
    if (!connection.seat.held) admission.leave(connection.seat);
    if (error !== undefined) {
      logger.debug({ peer: connection.remoteAddress, connection: connection.id }, error.message);
    }
    if (this.#all.size === 0) this.#onEmpty?.();
  }

  /** Tells all that no further call is taken. */
  drain(reason: string): void {
    for (const { wire } of this.list()) wire.drain(reason);
  }

  /** Waits until none is left; false when that takes longer than `ms` or the signal fires first. */
  empty(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#all.size === 0) return Promise.resolve(true);
    const { clock } = this.#core;
    return new Promise((resolve) => {
      const done = () => {
        this.#onEmpty = undefined;
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve(this.#all.size === 0);
      };
      const timer = clock.setTimeout(done, ms, true);
      this.#onEmpty = done;
      if (signal?.aborted) done();
      else signal?.addEventListener("abort", done, { once: true });
    });
  }

  /** Cancels what runs, telling the callers. */
  abortCalls(error: RapError): void {
    for (const connection of this.list()) connection.abortCalls(error);
  }

  close(reason: string): void {
    for (const { wire } of this.list()) {
      wire.close(GoawayCode.NO_ERROR, reason);
      // Who has not ended by now would not answer this either, and its socket would wait for it once more.
      wire.socket.destroy();
    }
  }
}
