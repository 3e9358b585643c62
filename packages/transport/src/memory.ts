import { type Clock, systemClock, type Timer } from "@rap/protocol";
import { addressError, closeTimeoutError, toError } from "./explain";
import { plainPeer } from "./peer";
import { type Listener, type Peer, parseAddress, type Socket, type SocketHandler, type Transport } from "./transport";

/** Options of {@link memory}. */
export interface MemoryOptions {
  /** Bytes not yet delivered at which `write` returns false. Default 64 KiB. */
  highWaterMark?: number;
  /** Milliseconds that bytes travel, in each direction. Default 0. */
  latency?: number;
  /** Most bytes in one `onData`; smaller finds bugs in framing. Default: as they were written. */
  chunk?: number;
  /** Milliseconds that the peer has to finish after `end`. Default 2000. */
  closeTimeout?: number;
  /** What each end sees of the other, to play a remote or an authorised peer. Default: local, not encrypted. */
  peer?: Partial<Peer>;
  /** Calls back when the current turn of the event loop is over. Default `setImmediate`. */
  turn?: (callback: () => void) => void;
  /** Default: the machine's clock, but bytes that travel keep the process alive. */
  clock?: Clock;
}

/** A world of sockets inside one process; worlds do not see each other. */
export interface MemoryTransport extends Transport {
  /** Breaks all open links as a dead network does: undelivered bytes are lost, both ends get `ECONNRESET`. */
  cut(): void;
  /** Delivers nothing any more, neither bytes nor closes, as a silent network does: nobody is told. */
  stall(): void;
  /** Ends a {@link MemoryTransport.stall}: what was written meanwhile arrives. */
  heal(): void;
}

/**
 * Sockets between the parts of one process, addresses `memory://name`, for tests and for a client beside its server.
 * Asynchronous and with back-pressure like those of the kernel; bytes are copied on their way.
 */
export function memory(options: MemoryOptions = {}): MemoryTransport {
  return new MemoryWorld(options);
}

class MemoryWorld implements MemoryTransport {
  readonly scheme = "memory";
  readonly #listeners = new Map<string, MemoryListener>();
  readonly #sockets = new Set<MemorySocket>();
  readonly #dialling = new Set<() => void>();
  readonly #settings: Settings;

  constructor(options: MemoryOptions) {
    this.#settings = {
      highWaterMark: options.highWaterMark ?? 64 * 1024,
      latency: options.latency ?? 0,
      chunk: Math.max(1, options.chunk ?? Infinity),
      closeTimeout: options.closeTimeout ?? 2_000,
      peer: Object.freeze({ ...plainPeer("memory", 0, "memory", true), ...options.peer }),
      turn: options.turn ?? setImmediate,
      clock: options.clock ?? systemClock,
      road: options.clock ?? liveClock,
      stalled: false,
      onGone: (socket) => this.#sockets.delete(socket),
    };
  }

  async dial(address: string, signal?: AbortSignal): Promise<Socket> {
    const { name } = parseAddress(address, "memory");
    signal?.throwIfAborted();
    await this.#arrival(signal);
    const listener = this.#listeners.get(name);
    if (listener === undefined)
      throw addressError("connect to", address, systemError("nobody listens", "ECONNREFUSED"));
    const [near, far] = MemorySocket.pair(this.#settings);
    this.#sockets.add(near).add(far);
    try {
      listener.onSocket(far);
    } catch (error) {
      listener.dropped++;
      far.destroy(toError(error));
    }
    return near;
  }

  async listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
    const { name } = parseAddress(address, "memory");
    if (this.#listeners.has(name)) {
      throw addressError("listen on", address, systemError("the name is taken", "EADDRINUSE"));
    }
    const listener: MemoryListener = {
      address: `memory://${name}`,
      host: name,
      port: 0,
      dropped: 0,
      onSocket,
      close: async () => {
        if (this.#listeners.get(name) === listener) this.#listeners.delete(name);
      },
    };
    this.#listeners.set(name, listener);
    return listener;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy(systemError("the link was cut", "ECONNRESET"));
  }

  stall(): void {
    this.#settings.stalled = true;
  }

  heal(): void {
    this.#settings.stalled = false;
    for (const socket of this.#sockets) socket.wake();
    for (const arrive of this.#dialling) arrive();
  }

  /** Resolves when a dial has travelled to the other end. */
  #arrival(signal: AbortSignal | undefined): Promise<void> {
    const { turn, latency, road } = this.#settings;
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const settle = () => {
        if (timer !== undefined) road.clearTimeout(timer);
        this.#dialling.delete(arrive);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        settle();
        reject(signal?.reason);
      };
      const arrive = () => {
        if (this.#settings.stalled || signal?.aborted) return;
        settle();
        resolve();
      };
      this.#dialling.add(arrive);
      signal?.addEventListener("abort", onAbort);
      turn(() => {
        if (latency === 0) arrive();
        else if (!signal?.aborted) timer = road.setTimeout(arrive, latency);
      });
    });
  }
}

interface MemoryListener extends Listener {
  dropped: number;
  onSocket(socket: Socket): void;
}

interface Settings extends Required<Omit<MemoryOptions, "peer">> {
  readonly peer: Peer;
  /** The clock of bytes on their way. */
  readonly road: Clock;
  stalled: boolean;
  onGone(socket: MemorySocket): void;
}

/** What travels: bytes, the sender's end, or the error with which it was destroyed before all of its bytes arrived. */
type Parcel = Uint8Array | "end" | Error;

/** One end of a link. Each end holds what it has written and what has arrived from the other. */
class MemorySocket implements Socket {
  readonly peer: Peer;
  readonly openedAt = performance.now();
  readonly #settings: Settings;
  #far: MemorySocket = this;
  #handler: SocketHandler | undefined;
  #paused = false;
  /** Written in this turn: sent together when it is over. */
  #outbox: Parcel[] = [];
  readonly #travelling = new Set<Timer>();
  /** Arrived and not yet delivered. */
  readonly #inbox: Parcel[] = [];
  #buffered = 0;
  /** `write` returned false and `onDrain` has not followed. */
  #behind = false;
  #delivering = false;
  #ended = false;
  #endArrived = false;
  #closed = false;
  #destroyed = false;
  #error: Error | undefined;
  #closeTimer: Timer | undefined;

  private constructor(settings: Settings) {
    this.#settings = settings;
    this.peer = settings.peer;
  }

  static pair(settings: Settings): [MemorySocket, MemorySocket] {
    const near = new MemorySocket(settings);
    const far = new MemorySocket(settings);
    near.#far = far;
    far.#far = near;
    return [near, far];
  }

  get buffered(): number {
    return this.#buffered;
  }

  start(handler: SocketHandler): void {
    if (this.#handler !== undefined) throw new Error("the socket was already started");
    this.#handler = handler;
    this.wake();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#ended || this.#destroyed) return false;
    // A copy, as the kernel makes: the ends must not share memory.
    if (bytes.length > 0) this.#send(new Uint8Array(bytes));
    this.#buffered += bytes.length;
    if (this.#buffered < this.#settings.highWaterMark) return true;
    this.#behind = true;
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  end(): void {
    if (this.#ended || this.#destroyed) return;
    const { clock, closeTimeout } = this.#settings;
    this.#ended = true;
    this.#send("end");
    this.#closeTimer = clock.setTimeout(() => this.destroy(closeTimeoutError(closeTimeout)), closeTimeout);
  }

  destroy(error?: Error): void {
    if (this.#destroyed) return;
    const lossy = this.#buffered > 0 || this.#inbox.some((parcel) => parcel instanceof Uint8Array);
    this.#release(error);
    this.#far.#inbox.length = 0;
    this.#send(lossy ? systemError("the peer closed before it had read everything", "ECONNRESET") : "end");
    this.wake();
  }

  /** Delivers what is there, in a turn of its own. */
  wake(): void {
    this.#settings.turn(() => this.#deliver());
  }

  #send(parcel: Parcel): void {
    if (this.#outbox.push(parcel) > 1) return;
    const { turn, latency, road } = this.#settings;
    turn(() => {
      const parcels = this.#outbox;
      this.#outbox = [];
      if (latency === 0) return this.#far.#arrive(parcels);
      const timer = road.setTimeout(() => {
        this.#travelling.delete(timer);
        this.#far.#arrive(parcels);
      }, latency);
      this.#travelling.add(timer);
    });
  }

  #arrive(parcels: readonly Parcel[]): void {
    for (const parcel of parcels) this.#inbox.push(parcel);
    this.#deliver();
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#handler !== undefined && !this.#destroyed && !this.#paused && !this.#settings.stalled) {
      const parcel = this.#inbox.shift();
      if (parcel === undefined) break;
      if (parcel instanceof Uint8Array) this.#deliverBytes(parcel);
      else if (parcel === "end") this.#deliverEnd();
      else this.#release(parcel);
    }
    this.#delivering = false;
    if (this.#destroyed) this.#close();
  }

  #deliverBytes(bytes: Uint8Array): void {
    const { chunk } = this.#settings;
    if (bytes.length > chunk) this.#inbox.unshift(bytes.subarray(chunk));
    const piece = bytes.length > chunk ? bytes.slice(0, chunk) : bytes;
    this.#guard(() => this.#handler?.onData(piece));
    this.#far.#taken(piece.length);
  }

  #deliverEnd(): void {
    this.#close();
    this.end();
    this.#endArrived = true;
    this.#far.#settle();
    this.#settle();
  }

  /** The far end has taken bytes. */
  #taken(length: number): void {
    this.#buffered = Math.max(0, this.#buffered - length);
    if (this.#buffered > 0 || !this.#behind || this.#ended || this.#destroyed) return;
    this.#behind = false;
    this.#guard(() => this.#handler?.onDrain());
  }

  /** Both ends have arrived: nothing is left to wait for. */
  #settle(): void {
    if (this.#endArrived && this.#far.#endArrived) this.#release();
  }

  /** Gives everything back; `onClose` is left to the next delivery. */
  #release(error?: Error): void {
    const { clock, road, onGone } = this.#settings;
    this.#destroyed = true;
    this.#error ??= error;
    this.#buffered = 0;
    this.#inbox.length = 0;
    this.#outbox.length = 0;
    for (const timer of this.#travelling) road.clearTimeout(timer);
    if (this.#closeTimer !== undefined) clock.clearTimeout(this.#closeTimer);
    onGone(this);
  }

  #close(): void {
    if (this.#closed || this.#handler === undefined) return;
    this.#closed = true;
    try {
      this.#handler.onClose(this.#error);
    } catch (error) {
      process.emitWarning(toError(error));
      this.destroy();
    }
  }

  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.destroy(toError(error));
    }
  }
}

function systemError(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Unlike others, its timers keep the process alive: who awaits an answer over the link must get it. */
const liveClock: Clock = {
  ...systemClock,
  setTimeout: (callback, ms) => setTimeout(callback, ms),
};
