import type { ClientParty, World } from "./parties";

/** More than the first step of the backoff, as a timer may be late. */
const SLACK = 10;

/**
 * I13: the loss of a connection that has lived for a while is a first loss. Whatever was tried before it, the next try
 * comes within the first step of the backoff.
 */
export class Reconnects {
  readonly #world: World;
  /** When each connection was made, and by when one that was lost must be dialled again. */
  readonly #since = new Map<string, number>();
  readonly #due = new Map<string, () => void>();
  #stopped = false;

  constructor(world: World, clients: readonly ClientParty[]) {
    this.#world = world;
    world.network.onDial = (client, address) => this.#dialled(`${client} to ${address}`);
    for (const { machine, client } of clients) {
      const onConnect = (event: unknown) => this.#since.set(`${machine.name} to ${addressOf(event)}`, world.time.now());
      const onLoss = (event: unknown) => {
        const lost = "error" in (event as object) || "reason" in (event as object);
        if (lost) this.#lost(`${machine.name} to ${addressOf(event)}`, () => machine.alive);
      };
      client.on("connect", onConnect);
      client.on("reconnect", onConnect);
      client.on("disconnect", onLoss);
      client.on("goaway", onLoss);
    }
  }

  /** What is lost from now on is meant to be. */
  stop(): void {
    this.#stopped = true;
    for (const forget of this.#due.values()) forget();
  }

  #dialled(path: string): void {
    this.#due.get(path)?.();
    this.#due.delete(path);
  }

  #lost(path: string, isAlive: () => boolean): void {
    const { time, limits, history, rarities } = this.#world;
    const since = this.#since.get(path);
    if (this.#stopped || since === undefined || time.now() - since < limits.reconnectResetAfter) return;
    this.#since.delete(path);
    const forget = time.after(limits.reconnectInitialBackoff + SLACK + rarities.lateness, () => {
      if (isAlive())
        history.violation("I13", `${path} was lost after ${time.now() - since} ms and is not dialled again`);
    });
    this.#due.set(path, forget);
  }
}

function addressOf(event: unknown): string {
  return (event as { address: string }).address;
}
