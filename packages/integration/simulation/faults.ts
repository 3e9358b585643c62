import type { Chance } from "./chance";
import type { ClientParty, ServerParty, World } from "./parties";
import { HEALED, LAST_CALL } from "./plan";

type Fault = "cut" | "half-cut" | "clog" | "partition" | "kill" | "unplug" | "restart" | "crash";

/** How often each kind of fault was made. */
export type FaultCounts = Record<Fault, number>;

/** Makes the bad weather of a scenario, and good weather again. */
export class Faults {
  readonly counts: FaultCounts = {
    cut: 0,
    "half-cut": 0,
    clog: 0,
    partition: 0,
    kill: 0,
    unplug: 0,
    restart: 0,
    crash: 0,
  };
  /** Nothing more will befall anybody. */
  over = true;
  readonly #world: World;
  readonly #chance: Chance;
  readonly #servers: readonly ServerParty[];
  readonly #clients: readonly ClientParty[];

  constructor(world: World, servers: readonly ServerParty[], clients: readonly ClientParty[]) {
    this.#world = world;
    this.#chance = world.chance.fork();
    this.#servers = servers;
    this.#clients = clients;
  }

  /** Faults of all kinds until the last call was made; then everything is repaired. */
  storm(): void {
    const { time, network } = this.#world;
    for (let left = this.#chance.integer(2, 10); left > 0; left--) {
      time.after(this.#chance.between(200, LAST_CALL), () => this.#strike());
    }
    time.after(HEALED, () => network.heal());
  }

  /** Restarts the servers one after the other; each is back before the next one goes. */
  rolling(): void {
    const { time } = this.#world;
    const roll = async () => {
      for (const server of this.#servers) {
        await this.#restart(server);
        await this.#pause(this.#chance.between(3_500, 5_000));
      }
      this.over = true;
    };
    this.over = false;
    time.after(this.#chance.between(500, 3_000), () => void roll());
  }

  #strike(): void {
    const { network } = this.#world;
    const chance = this.#chance;
    const server = chance.oneOf(this.#servers);
    const client = chance.oneOf(this.#clients);
    const kind = chance.oneOf<Fault>([
      "cut",
      "cut",
      "half-cut",
      "clog",
      "clog",
      "partition",
      "kill",
      "unplug",
      "restart",
      "crash",
    ]);
    const links = network.links();
    switch (kind) {
      case "cut":
        if (links.length === 0) return;
        network.cut(chance.oneOf(links), chance);
        break;
      case "half-cut":
        if (links.length === 0) return;
        network.silence(chance.oneOf(links), chance);
        break;
      case "clog":
        network.clog(client.machine.name, server.address, chance.size(50, 5_000));
        break;
      case "partition": {
        const ms = chance.size(50, 5_000);
        for (const { machine } of this.#clients) network.clog(machine.name, server.address, ms);
        break;
      }
      case "kill":
      case "unplug":
        if (server.busy) return;
        void this.#kill(server, kind === "unplug");
        break;
      case "restart":
        if (server.busy) return;
        void this.#restart(server);
        break;
      case "crash":
        if (!client.machine.alive || this.counts.crash === 2) return;
        network.kill(client.machine, undefined, chance.once(0.5));
        break;
    }
    this.counts[kind]++;
    this.#world.trace.say(this.#world.time.now(), `fault: ${kind} ${client.machine.name} ${server.address}`);
  }

  async #kill(server: ServerParty, dark: boolean): Promise<void> {
    server.busy = true;
    server.kill(dark);
    await this.#pause(this.#chance.size(50, 3_000));
    await server.start();
    server.busy = false;
  }

  /** With all due care: what runs may finish, and what comes is told to go elsewhere. */
  async #restart(server: ServerParty): Promise<void> {
    server.busy = true;
    if (this.#world.weather === "rolling") this.counts.restart++;
    await server.server.shutdown({ graceMs: this.#world.weather === "rolling" ? 15_000 : 1_000 });
    await this.#pause(this.#chance.size(1, 1_000));
    await server.start();
    server.busy = false;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#world.time.after(ms, resolve));
  }
}
