import type { Peer, Socket, SocketHandler } from "@rap/transport";
import type { Machine } from "./machine";
import { type Parcel, Pipe } from "./pipe";
import type { Road } from "./road";
import type { Trace } from "./trace";
import type { VirtualTime } from "./virtual-time";

/** Milliseconds that the peer has to finish after `end`. */
const CLOSE_TIMEOUT = 2_000;

/** What both ends of a connection have in common. */
export interface LinkOptions {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly road: Road;
  /** Bytes on their way at which `write` returns false. */
  readonly highWaterMark: number;
}

/** One end of a connection between two machines. */
export class SimSocket implements Socket {
  readonly peer: Peer;
  readonly openedAt: number;
  readonly machine: Machine;
  readonly name: string;
  readonly #options: LinkOptions;
  readonly #out: Pipe;
  #far: SimSocket = this;
  #handler: SocketHandler | undefined;
  #buffered = 0;
  #behind = false;
  #ended = false;
  #peerEnded = false;
  /** The connection is no more. */
  over = false;
  #closed = false;
  #closeTimer: unknown;

  private constructor(options: LinkOptions, name: string, machine: Machine, peer: Machine) {
    this.#options = options;
    this.name = name;
    this.machine = machine;
    this.openedAt = options.time.now();
    this.peer = peerOf(peer.name, machine.name);
    this.#out = new Pipe(options.time, options.road, (parcel) => this.#far.#receive(parcel));
  }

  static pair(options: LinkOptions, name: string, near: Machine, far: Machine): [SimSocket, SimSocket] {
    const here = new SimSocket(options, `${name}>`, near, far);
    const there = new SimSocket(options, `${name}<`, far, near);
    here.#far = there;
    there.#far = here;
    return [here, there];
  }

  get buffered(): number {
    return this.#buffered;
  }

  get far(): SimSocket {
    return this.#far;
  }

  start(handler: SocketHandler): void {
    this.#handler = handler;
    this.resume();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#ended || this.over || !this.machine.alive) return false;
    this.#buffered += bytes.length;
    if (bytes.length > 0) this.#out.put({ bytes });
    if (this.#buffered < this.#options.highWaterMark) return true;
    this.#behind = true;
    return false;
  }

  pause(): void {
    this.#far.#out.hold();
  }

  resume(): void {
    if (!this.over) this.#far.#out.release();
  }

  end(): void {
    if (this.#ended || this.over || !this.machine.alive) return;
    this.#ended = true;
    this.#out.put("end");
    this.#closeTimer = this.machine.clock.setTimeout(() => this.destroy(networkError("ETIMEDOUT")), CLOSE_TIMEOUT);
  }

  destroy(error?: Error): void {
    if (this.over || !this.machine.alive) return;
    const lossy = this.#buffered > 0;
    if (lossy) this.#out.empty();
    if (lossy || (this.#ended && !this.#peerEnded)) this.#out.put("reset");
    else if (!this.#ended) this.#out.put("end");
    this.#finish(error);
  }

  // From the network.

  /** The connection breaks, for this end only. */
  break(): void {
    if (this.over) return;
    this.#out.empty();
    this.#finish(networkError("ECONNRESET"));
  }

  /** From now on nothing that this end sends arrives. */
  silence(): void {
    this.#out.silent = true;
  }

  /** Its machine was killed; the peer hears of it unless that went dark. */
  abandon(): void {
    if (!this.machine.dark) this.#out.put("reset");
    this.#far.#out.close();
  }

  /** Lets what a killed machine has left behind in this process go. */
  bury(): void {
    this.over = true;
    this.#close(networkError("ECONNRESET"));
  }

  #receive(parcel: Parcel): void {
    if (this.over || !this.machine.alive) return;
    const { time, trace } = this.#options;
    if (typeof parcel !== "object") {
      trace.say(time.now(), `${this.name} ${parcel}`);
      if (parcel === "reset") this.#finish(networkError("ECONNRESET"));
      else this.#receiveEnd();
      return;
    }
    trace.bytes(time.now(), this.name, parcel.bytes);
    this.#guard(() => this.#handler?.onData(parcel.bytes));
    this.#far.#taken(parcel.bytes.length);
  }

  #receiveEnd(): void {
    this.#peerEnded = true;
    this.#close(undefined);
    this.end();
    if (!this.#far.#peerEnded) return;
    this.#finish(undefined);
    this.#far.#finish(undefined);
  }

  /** The far end has taken bytes. */
  #taken(length: number): void {
    this.#buffered = Math.max(0, this.#buffered - length);
    if (this.#buffered > 0 || !this.#behind || this.#ended || this.over || !this.machine.alive) return;
    this.#behind = false;
    this.#guard(() => this.#handler?.onDrain());
  }

  #finish(error: Error | undefined): void {
    if (this.over) return;
    this.over = true;
    this.#buffered = 0;
    this.machine.clock.clearTimeout(this.#closeTimer);
    this.#far.#out.close();
    this.#options.time.after(0, () => {
      if (this.machine.alive) this.#close(error);
    });
  }

  #close(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.onClose(error);
  }

  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}

export function networkError(code: string): Error {
  return Object.assign(new Error(`simulated ${code}`), { code });
}

function peerOf(address: string, localAddress: string): Peer {
  const nothing = { local: false, encrypted: false, authorized: false, certificate: undefined };
  return { address, port: 1, localAddress, ...nothing };
}
