import type { Listener, Socket, Transport } from "@rap/transport";
import type { Chance } from "./chance";
import type { Machine } from "./machine";
import { Road } from "./road";
import { networkError, SimSocket } from "./sim-socket";
import type { Trace } from "./trace";
import type { VirtualTime } from "./virtual-time";

interface Doorway {
  readonly machine: Machine;
  onSocket(socket: Socket): void;
}

/** The network between all machines of a scenario: roads with their own pace, and what can befall them. */
export class Network {
  readonly #time: VirtualTime;
  readonly #trace: Trace;
  readonly #chance: Chance;
  readonly #roads = new Map<string, Road>();
  readonly #doorways = new Map<string, Doorway>();
  /** Addresses of machines that were unplugged: nobody answers there. */
  readonly #dark = new Set<string>();
  #links: SimSocket[] = [];
  readonly #silenced: SimSocket[] = [];
  #dialled = 0;
  /** Called with the client's name and the address of each dial. */
  onDial: (client: string, address: string) => void = () => undefined;

  /** Bytes on their way at which a socket takes no more; undefined: drawn for each. */
  readonly #socketBytes: number | undefined;

  constructor(time: VirtualTime, trace: Trace, chance: Chance, socketBytes: number | undefined) {
    this.#socketBytes = socketBytes;
    this.#time = time;
    this.#trace = trace;
    this.#chance = chance;
  }

  /** The transport of one machine's programs. */
  transportOf(machine: Machine): Transport {
    return {
      scheme: "memory",
      dial: (address, signal) => this.#dial(machine, address, signal),
      listen: (address, onSocket) => this.#listen(machine, address, onSocket),
    };
  }

  /** The dialling ends of all connections that are there. */
  links(): readonly SimSocket[] {
    this.#links = this.#links.filter((near) => !near.over || !near.far.over);
    return this.#links.filter((near) => near.machine.alive && near.far.machine.alive && !near.over);
  }

  /** A connection breaks; the ends learn it at different times. */
  cut(near: SimSocket, chance: Chance): void {
    const [first, second] = chance.once(0.5) ? [near, near.far] : [near.far, near];
    first.break();
    this.#time.after(chance.oneOf([0, chance.between(0, 100), chance.between(0, 3_000)]), () => second.break());
  }

  /** From now on nothing arrives in one direction, and nobody is told. */
  silence(near: SimSocket, chance: Chance): void {
    this.#silenced.push(near);
    (chance.once(0.5) ? near : near.far).silence();
  }

  /** All is well again: a connection of which half is lost is known to be lost. */
  heal(): void {
    for (const near of this.#silenced) {
      near.break();
      near.far.break();
    }
  }

  /** Nothing gets through between two machines for so long, and then everything that was sent. */
  clog(client: string, address: string, ms: number): void {
    const road = this.#road(client, address);
    road.clearAt = Math.max(road.clearAt, this.#time.now() + ms);
  }

  /** A process dies, and with it its ends of all connections. */
  kill(machine: Machine, address: string | undefined, dark: boolean): void {
    machine.kill(dark);
    if (address !== undefined) {
      this.#doorways.delete(address);
      if (dark) this.#dark.add(address);
    }
    for (const end of this.#endsOf(machine)) end.abandon();
  }

  /** A machine comes back to life: what is sent to the process that it ran before is refused. */
  plugIn(address: string, before: Machine): void {
    this.#dark.delete(address);
    if (!before.dark) return;
    for (const end of this.#endsOf(before)) this.#time.after(this.#chance.between(0, 50), () => end.far.break());
  }

  /** After the end of a scenario: nothing of a killed process may stay in this one. */
  bury(): void {
    for (const near of this.#links) {
      for (const end of [near, near.far]) if (!end.machine.alive) end.bury();
    }
  }

  #endsOf(machine: Machine): SimSocket[] {
    return this.#links.flatMap((near) => [near, near.far]).filter((end) => end.machine === machine && !end.over);
  }

  #road(client: string, address: string): Road {
    const name = `${client} ${address}`;
    const known = this.#roads.get(name);
    if (known !== undefined) return known;
    const road = new Road(this.#chance.fork());
    this.#roads.set(name, road);
    return road;
  }

  async #listen(machine: Machine, address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
    const doorway = { machine, onSocket };
    this.#doorways.set(address, doorway);
    const close = async () => {
      if (this.#doorways.get(address) === doorway) this.#doorways.delete(address);
    };
    return { address, host: address, port: 0, dropped: 0, close };
  }

  #dial(machine: Machine, address: string, signal: AbortSignal | undefined): Promise<Socket> {
    this.onDial(machine.name, address);
    const road = this.#road(machine.name, address);
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal!.reason as Error);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener("abort", onAbort);
      const arrive = () => {
        if (signal?.aborted || !machine.alive) return;
        // A kernel tries again and again.
        if (this.#time.now() < road.clearAt) this.#time.after(road.clearAt - this.#time.now(), arrive);
        else if (this.#dark.has(address)) this.#time.after(500, arrive);
        else {
          signal?.removeEventListener("abort", onAbort);
          const doorway = this.#doorways.get(address);
          if (doorway === undefined) reject(networkError("ECONNREFUSED"));
          else resolve(this.#connect(machine, doorway, road));
        }
      };
      this.#time.after(2 * road.transit(), arrive);
    });
  }

  #connect(machine: Machine, doorway: Doorway, road: Road): Socket {
    const highWaterMark = this.#socketBytes ?? this.#chance.size(1_000, 64_000);
    const options = { time: this.#time, trace: this.#trace, road, highWaterMark };
    const [near, far] = SimSocket.pair(options, `#${++this.#dialled}`, machine, doorway.machine);
    this.#links.push(near);
    doorway.onSocket(far);
    return near;
  }
}
