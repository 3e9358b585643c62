import { context, type ServerSession } from "@rap/core";
import { type MetadataValue, type Random, RapError, randomId } from "@rap/protocol";
import type { Registry } from "./registry";
import type { ServerConnection } from "./server-connection";

/** Metadata key under which a call names its session. */
export const SESSION_KEY = "rap-session";

/** The group of the functions that open and close sessions. */
const GROUP = "rap.session.v1";

/** The sessions of one connection: they end when they are closed, and with the connection at the latest. */
export class Sessions {
  readonly #sessions = new Map<string, ServerSession>();

  get size(): number {
    return this.#sessions.size;
  }

  /** Opens a session and gives its id. Throws RESOURCE_EXHAUSTED at the limit. */
  open(random: Random, limit: number): string {
    if (this.#sessions.size >= limit) {
      throw new RapError("RESOURCE_EXHAUSTED", `this connection has ${limit} sessions open`, { details: [{ limit }] });
    }
    const session = newSession(random);
    this.#sessions.set(session.id, session);
    return session.id;
  }

  /** The session that a call names. Throws FAILED_PRECONDITION when this connection has none of that id. */
  get(id: MetadataValue): ServerSession {
    const session = typeof id === "string" ? this.#sessions.get(id) : undefined;
    if (session !== undefined) return session;
    throw new RapError("FAILED_PRECONDITION", "there is no such session on this connection", { maybeExecuted: false });
  }

  /** Whether there was such a session. */
  close(id: string): boolean {
    return this.#sessions.delete(id);
  }
}

export function newSession(random: Random): ServerSession {
  return { id: randomId(random), state: new Map() };
}

/** Registers what clients call to open and close sessions. */
export function registerSessions(registry: Registry): void {
  // On this server every connection is one of ours.
  const connection = () => context().conn as ServerConnection;
  registry.registerOwn(
    {
      Open: () => connection().openSession(),
      Close: (id: unknown) => connection().closeSession(String(id)),
    },
    { group: GROUP },
  );
}
