import { type Arrival, type ConnMiddleware, ipNetwork } from "@rap/core";
import { type Clock, type Limits, limits } from "@rap/protocol";
import { type AcceptOptions, Bucket, type Peer } from "@rap/transport";

/** Why a connection was turned away as it was accepted: by which limit, or by a filter. */
export type Rejection =
  | "maxConnections"
  | "maxConnectionsPerIp"
  | "maxHandshakes"
  | "maxHandshakesPerIp"
  | "acceptsPerSecond"
  | "filtered";

/** The place of one connection among those that were let in. */
export interface Seat {
  state: "handshake" | "ready" | "left";
  /** Whether the listener gives it back, when the socket is gone. Otherwise that is up to whoever entered. */
  held: boolean;
  readonly source: Source | undefined;
}

/** An address that connections come from. */
interface Source {
  readonly network: string;
  readonly accepts: Bucket;
  readonly maxInFlight: number;
  open: number;
  handshakes: number;
  /** Calls of its connections, also of those that are gone, whose functions have not finished. */
  inFlight: number;
}

type Guards = Pick<
  Limits,
  | "maxConnectionsPerIp"
  | "maxHandshakes"
  | "maxHandshakesPerIp"
  | "maxInFlightPerIp"
  | "acceptBurst"
  | "acceptsPerSecond"
>;

/**
 * Addresses without a connection whose accept budget, and calls that still run, are remembered; the one longest gone is
 * forgotten first.
 */
const MAX_ABSENT = 10_000;

/**
 * Decides which connections a server takes, before their first byte and before TLS, and counts those that it took: in
 * all, and by IP address (IPv6: by /64). Each leaves once, so that the counts return to zero.
 */
export class Admission {
  readonly rejected: Record<Rejection, number> = {
    maxConnections: 0,
    maxConnectionsPerIp: 0,
    maxHandshakes: 0,
    maxHandshakesPerIp: 0,
    acceptsPerSecond: 0,
    filtered: 0,
  };
  readonly #maxConnections: number;
  readonly #guards: Guards;
  readonly #localGuards: Guards;
  readonly #clock: Clock;
  readonly #filters: readonly ConnMiddleware[];
  readonly #present = new Map<string, Source>();
  readonly #absent = new Map<string, Source>();
  readonly #seats = new WeakMap<Peer, Seat>();
  #open = 0;
  #handshakes = 0;

  constructor(given: Limits, clock: Clock, filters: readonly ConnMiddleware[]) {
    this.#maxConnections = given.maxConnections;
    this.#guards = given;
    this.#localGuards = localGuards(given);
    this.#clock = clock;
    this.#filters = filters;
  }

  /** Connections that are open, and those among them whose handshake is not done. */
  get counts(): { open: number; handshakes: number; addresses: number } {
    return { open: this.#open, handshakes: this.#handshakes, addresses: this.#present.size };
  }

  /** A listener's `filter`; `given` is asked first. The seats it gives out are found by `seatOf`. */
  guard(tls: boolean, given?: AcceptOptions["filter"]): NonNullable<AcceptOptions["filter"]> {
    return (peer) => {
      const passed = given?.(peer) ?? true;
      const onGone = typeof passed === "function" ? passed : undefined;
      const seat = passed === false ? this.#reject("filtered") : this.enter(peer, tls);
      if (seat === undefined) {
        onGone?.();
        return false;
      }
      seat.held = true;
      this.#seats.set(peer, seat);
      return () => {
        this.leave(seat);
        onGone?.();
      };
    };
  }

  /** The seat of a connection that came through `guard`. */
  seatOf(peer: Peer): Seat | undefined {
    return this.#seats.get(peer);
  }

  /** Lets a connection in, or counts why not. */
  enter(peer: Peer, tls: boolean): Seat | undefined {
    const arrival: Arrival = { remoteAddress: peer.address, remotePort: peer.port, local: peer.local, tls };
    for (const middleware of this.#filters) {
      if (middleware.filter?.(arrival) === false) return this.#reject("filtered");
    }
    const guards = peer.local ? this.#localGuards : this.#guards;
    if (this.#open >= this.#maxConnections) return this.#reject("maxConnections");
    if (this.#handshakes >= guards.maxHandshakes) return this.#reject("maxHandshakes");
    const network = ipNetwork(peer.address);
    const source = network === undefined ? undefined : this.#source(network, guards);
    if (source !== undefined) {
      if (source.open >= guards.maxConnectionsPerIp) return this.#reject("maxConnectionsPerIp");
      if (source.handshakes >= guards.maxHandshakesPerIp) return this.#reject("maxHandshakesPerIp");
      if (!source.accepts.take(this.#clock.now())) return this.#reject("acceptsPerSecond");
      source.open++;
      source.handshakes++;
      this.#absent.delete(source.network);
      this.#present.set(source.network, source);
    }
    this.#open++;
    this.#handshakes++;
    return { state: "handshake", held: false, source };
  }

  /** The handshake of a connection is done. */
  ready(seat: Seat): void {
    if (seat.state !== "handshake") return;
    seat.state = "ready";
    this.#handshakes--;
    if (seat.source !== undefined) seat.source.handshakes--;
  }

  /** A connection is gone. Further calls do nothing. */
  leave(seat: Seat): void {
    if (seat.state === "left") return;
    this.ready(seat);
    seat.state = "left";
    this.#open--;
    const { source } = seat;
    if (source === undefined || --source.open > 0) return;
    this.#present.delete(source.network);
    this.#absent.set(source.network, source);
    if (this.#absent.size > MAX_ABSENT) this.#absent.delete(this.#absent.keys().next().value!);
  }

  #source(network: string, { acceptBurst, acceptsPerSecond, maxInFlightPerIp: maxInFlight }: Guards): Source {
    const known = this.#present.get(network) ?? this.#absent.get(network);
    if (known !== undefined) return known;
    const accepts = new Bucket(acceptBurst, acceptsPerSecond, this.#clock.now());
    return { network, accepts, maxInFlight, open: 0, handshakes: 0, inFlight: 0 };
  }

  #reject(why: Rejection): undefined {
    this.rejected[why]++;
    return undefined;
  }
}

/** The guards against strangers as they hold for peers on this machine: those that have their defaults do not. */
function localGuards(given: Limits): Guards {
  // One of them follows another limit unless it is changed.
  const defaults = limits({ maxServerInFlight: given.maxServerInFlight });
  const unless = (name: keyof Guards) => (given[name] === defaults[name] ? Number.POSITIVE_INFINITY : given[name]);
  const { acceptBurst, acceptsPerSecond } = given;
  const paced = acceptBurst !== defaults.acceptBurst || acceptsPerSecond !== defaults.acceptsPerSecond;
  return {
    maxConnectionsPerIp: unless("maxConnectionsPerIp"),
    maxHandshakes: unless("maxHandshakes"),
    maxHandshakesPerIp: unless("maxHandshakesPerIp"),
    maxInFlightPerIp: unless("maxInFlightPerIp"),
    acceptBurst: paced ? acceptBurst : Number.POSITIVE_INFINITY,
    acceptsPerSecond,
  };
}
