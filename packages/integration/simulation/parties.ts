import { CLOCK, Client, RANDOM } from "@rap/client";
import type { Limits } from "@rap/protocol";
import { createContainer, type Logger, Server } from "@rap/server";
import type { Rarities } from "./buggify";
import { Caller } from "./caller";
import type { Chance } from "./chance";
import { Functions } from "./functions";
import type { History } from "./history";
import { Machine } from "./machine";
import type { Network } from "./network";
import { DEFAULT_TIMEOUT, type Weather } from "./plan";
import type { Trace } from "./trace";
import type { VirtualTime } from "./virtual-time";
import { type Processing, Wrapping } from "./wrapping";

/** What all machines of a scenario live in. */
export interface World {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly chance: Chance;
  readonly network: Network;
  readonly history: History;
  readonly limits: Limits;
  readonly weather: Weather;
  readonly processing: Processing;
  readonly rarities: Rarities;
}

/** A server at its address, which is killed and started again. */
export class ServerParty {
  readonly address: string;
  readonly #world: World;
  #runs = 0;
  machine!: Machine;
  server!: Server;
  wrapping: Wrapping | undefined;
  /** It is on its way down or up: leave it alone. */
  busy = false;

  constructor(world: World, name: string) {
    this.#world = world;
    this.address = `memory://${name}`;
  }

  async start(): Promise<void> {
    const { time, network, history, limits } = this.#world;
    const before = this.machine as Machine | undefined;
    this.machine = new Machine(
      `${this.address.slice("memory://".length)}#${++this.#runs}`,
      time,
      latenessOf(this.#world),
    );
    this.server = new Server({
      limits,
      logger: faultLogger(history),
      container: containerOf(this.#world, this.machine),
    });
    this.wrapping = wrappingOf(this.#world, this.machine, false);
    if (this.wrapping !== undefined) this.server.loadProcessor([this.wrapping]);
    new Functions(this.machine, history, limits).register(this.server);
    if (before !== undefined) network.plugIn(this.address, before);
    await this.server.listen({ transport: network.transportOf(this.machine), address: this.address });
  }

  kill(dark: boolean): void {
    this.#world.network.kill(this.machine, this.address, dark);
  }
}

/** A client of all servers, with the calls that it makes. */
export class ClientParty {
  readonly machine: Machine;
  readonly client: Client;
  readonly caller: Caller;
  readonly wrapping: Wrapping | undefined;

  constructor(world: World, name: string, addresses: readonly string[]) {
    const { time, trace, network, history, limits } = world;
    this.machine = new Machine(name, time, latenessOf(world));
    this.client = new Client({
      target: addresses,
      limits,
      timeout: DEFAULT_TIMEOUT,
      transports: [network.transportOf(this.machine)],
      container: containerOf(world, this.machine),
    });
    this.wrapping = wrappingOf(world, this.machine, true);
    if (this.wrapping !== undefined) this.client.loadProcessor([this.wrapping]);
    this.caller = new Caller(this.machine, this.client, history, trace);
  }
}

/** Every fourth timer is late, where any is. */
function latenessOf({ chance, rarities: { lateness } }: World): (() => number) | undefined {
  if (lateness === 0) return undefined;
  const own = chance.fork();
  return () => (own.once(0.25) ? own.between(0, lateness) : 0);
}

function wrappingOf({ processing, history, chance }: World, machine: Machine, isClient: boolean): Wrapping | undefined {
  if (processing === "none") return undefined;
  return new Wrapping(machine, history, chance.fork(), isClient, processing === "slow");
}

function containerOf({ chance }: World, machine: Machine) {
  const container = createContainer();
  container.register(CLOCK, { useValue: machine.clock });
  container.register(RANDOM, { useValue: chance.fork() });
  return container;
}

/** Two honest peers never break the protocol, and rap has no faults: what is logged of either is a violation. */
function faultLogger(history: History): Logger {
  const look = (_: object, text = "") => {
    if (FAULT.test(text)) history.violation("I11", `a server logged: ${text}`);
  };
  return { debug: look, info: look, warn: look, error: look };
}

const FAULT = /PROTOCOL_ERROR|FLOW_CONTROL|FRAME_TOO_LARGE|TOO_MANY|ENHANCE_YOUR_CALM|INTERNAL|a fault of rap/;
