import { runOutOfScope } from "@rap/core";
import type { Connection } from "@rap/transport";
import type { ClientCore } from "./pool";
import { StreamCall } from "./remote-stream";
import { targetOf } from "./target";

/** The server's function that tells its health, at once and whenever it changes. */
const GROUP = "rap.health.v1";

/** What a server says of the health of one service, for as long as a connection to it lives. */
export class HealthWatch {
  readonly #core: ClientCore;
  readonly #connection: Connection;
  readonly #service: string;
  readonly #changed: () => void;
  #call: StreamCall | undefined;
  /** What it said last: `SERVING`, or a status in which it takes no calls; undefined before its first word. */
  status: string | undefined;

  constructor(core: ClientCore, connection: Connection, service: string, changed: () => void) {
    this.#core = core;
    this.#connection = connection;
    this.#service = service;
    this.#changed = changed;
  }

  /** Asks, and tells every change until the connection ends. */
  start(): void {
    // Whoever made the call for which the client dialled has nothing to do with it.
    runOutOfScope(() => void this.#watch());
  }

  stop(): void {
    this.#call?.leave();
  }

  get serving(): boolean {
    return this.status === "SERVING";
  }

  async #watch(): Promise<void> {
    const target = targetOf(GROUP, "Watch", { session: null });
    this.#call = new StreamCall(this.#core, target, [this.#service]);
    this.#call.launchOn(this.#connection);
    try {
      for (;;) {
        const next = await this.#call.next();
        // A server that stops ends the watch, and has said before that it does not serve.
        if (next.done === true) return;
        this.#set(statusOf(next.value));
      }
    } catch {
      // A server that cannot say how it is counts as well. What is lost takes no calls anyway.
      if (!this.#connection.draining) this.#set("SERVING");
    }
  }

  #set(status: string): void {
    this.status = status;
    this.#changed();
  }
}

function statusOf(message: unknown): string {
  return String((message as { status?: unknown } | undefined | null)?.status);
}
