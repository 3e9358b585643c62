import { HEAD_BYTES, PREAMBLE, readU32 } from "@rap/protocol";
import { type Listener, memory, type Socket, type SocketHandler, type Transport } from "@rap/transport";

export type Way = "up" | "down";

/** What the man does with a frame: gives other bytes in its place, several pieces, or none. */
export type Alter = (frame: Buffer, index: number, way: Way, link: Link) => Uint8Array | undefined;

/**
 * A network with a man in it: sees each frame of each connection (the first with its preamble) and passes on what he
 * likes. `up` is from client to server.
 */
export class ManInTheMiddle implements Transport {
  readonly scheme = "memory";
  readonly network: Transport;
  readonly links: Link[] = [];
  alter: Alter = (frame) => frame;

  /** With `bindings`, each end is on a TLS connection of which it knows that. */
  constructor(readonly bindings: { client?: Uint8Array; server?: Uint8Array } = {}) {
    this.network = memory({ peer: { channelBinding: bindings.server } });
  }

  listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
    return this.network.listen(address, onSocket);
  }

  async dial(address: string, signal?: AbortSignal): Promise<Socket> {
    const link = new Link(this, await this.network.dial(address, signal));
    this.links.push(link);
    return link;
  }

  /** A connection of the man's own; what the server says is in `heard`. */
  async connect(address: string): Promise<{ socket: Socket; heard: Buffer[]; closed: Promise<void> }> {
    const socket = await this.network.dial(address);
    const heard: Buffer[] = [];
    const closed = new Promise<void>((resolve) => {
      socket.start({
        onData: (bytes) => void heard.push(Buffer.from(bytes)),
        onDrain: () => {},
        onClose: () => resolve(),
      });
    });
    return { socket, heard, closed };
  }
}

/** One connection, as the client's socket. */
export class Link implements Socket {
  /** The frames as they came to the man. */
  readonly frames: Readonly<Record<Way, Buffer[]>> = { up: [], down: [] };
  readonly #man: ManInTheMiddle;
  readonly #far: Socket;
  readonly #rest: Record<Way, Buffer> = { up: Buffer.alloc(0), down: Buffer.alloc(0) };
  #handler: SocketHandler | undefined;
  closed = false;

  constructor(man: ManInTheMiddle, far: Socket) {
    this.#man = man;
    this.#far = far;
  }

  get peer() {
    return { ...this.#far.peer, channelBinding: this.#man.bindings.client };
  }

  get openedAt() {
    return this.#far.openedAt;
  }

  get buffered() {
    return this.#far.buffered;
  }

  start(handler: SocketHandler): void {
    this.#handler = handler;
    this.#far.start({
      onData: (bytes) => this.#pass("down", bytes),
      onDrain: () => handler.onDrain(),
      onClose: (error) => {
        this.closed = true;
        handler.onClose(error);
      },
    });
  }

  write(bytes: Uint8Array): boolean {
    this.#pass("up", bytes);
    return true;
  }

  /** Sends bytes of the man's own. */
  inject(way: Way, bytes: Uint8Array): void {
    if (way === "up") this.#far.write(bytes);
    else this.#handler!.onData(Buffer.from(bytes));
  }

  pause(): void {
    this.#far.pause();
  }

  resume(): void {
    this.#far.resume();
  }

  end(): void {
    this.#far.end();
  }

  destroy(error?: Error): void {
    this.#far.destroy(error);
  }

  #pass(way: Way, bytes: Uint8Array): void {
    let rest = Buffer.concat([this.#rest[way], bytes]);
    for (;;) {
      const start = this.frames[way].length === 0 ? PREAMBLE.length : 0;
      if (rest.length < start + HEAD_BYTES) break;
      const size = start + HEAD_BYTES + readU32(rest, start);
      if (rest.length < size) break;
      const frame = rest.subarray(0, size);
      rest = rest.subarray(size);
      const index = this.frames[way].push(Buffer.from(frame)) - 1;
      const altered = this.#man.alter(Buffer.from(frame), index, way, this);
      if (altered !== undefined) this.inject(way, altered);
    }
    this.#rest[way] = rest;
  }
}
