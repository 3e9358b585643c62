import { createServer, type ListenOptions as NodeListenOptions, type Socket as RawSocket, type Server } from "node:net";
import { addressError, toError } from "./explain";
import { ignore } from "./net-socket";
import type { Listener, Peer } from "./transport";

/** Options of listening that TCP, Unix and TLS share. */
export interface AcceptOptions {
  /** Open connections beyond which new ones are dropped. Default 10 000. */
  maxConnections?: number;
  /** Connections that the kernel keeps until they are accepted. Default 511. */
  backlog?: number;
  /**
   * Asked for every connection before its first byte and before TLS; false drops it. A function lets it in too and is
   * called once, when the socket is gone. The place of address filters and limits.
   */
  filter?: (peer: Peer) => boolean | (() => void);
  /** Told why a connection was dropped. */
  onDrop?: (reason: Error) => void;
}

/** How {@link NetListener} opens its port. */
export interface NetListenerInit<P extends Peer> {
  where: NodeListenOptions;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  highWaterMark?: number | undefined;
  /** undefined: the connection died before it was accepted. */
  peerOf(raw: RawSocket): P | undefined;
  /** Takes over a connection that passed all checks, and the listening to its "error". */
  accept(raw: RawSocket, peer: P): void;
}

/** The listening half of TCP, Unix and TLS: bad sockets never reach `accept`, and no failure of one stops it. */
export class NetListener implements Listener {
  address = "";
  host = "";
  port = 0;
  dropped = 0;
  readonly #server: Server;
  readonly #options: AcceptOptions;

  private constructor(options: AcceptOptions, init: NetListenerInit<Peer>) {
    const { where: _, peerOf, accept, ...settings } = init;
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, ...settings } as object, (raw) => {
      try {
        const peer = peerOf(raw);
        if (peer === undefined) return this.drop("the connection was reset before it was accepted", raw);
        const passed = options.filter?.(peer);
        if (passed === false) return this.drop(`${peer.address} was filtered`, raw);
        if (typeof passed === "function") raw.on("close", () => guard(passed));
        accept(raw, peer);
      } catch (error) {
        this.drop(toError(error), raw);
      }
    });
    this.#server.maxConnections = options.maxConnections ?? 10_000;
    this.#server.on("drop", (peer) => {
      this.drop(`${peer?.remoteAddress ?? "a peer"} came when ${this.#server.maxConnections} connections were open`);
    });
  }

  /** Binds and listens; `address` is for messages. */
  static async open<P extends Peer>(
    address: string,
    options: AcceptOptions,
    init: NetListenerInit<P>,
  ): Promise<NetListener> {
    const listener = new NetListener(options, init);
    await listener.#listen(address, { backlog: options.backlog, ...init.where } as NodeListenOptions);
    return listener;
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Counts and reports a connection that is not announced, and destroys it. */
  drop(reason: Error | string, raw?: RawSocket): void {
    raw?.on("error", ignore).destroy();
    this.dropped++;
    guard(() => this.#options.onDrop?.(typeof reason === "string" ? new Error(reason) : reason));
  }

  close(): Promise<void> {
    // Node closes the port at once; its callback would wait for every live socket.
    this.#server.close();
    return Promise.resolve();
  }

  #listen(address: string, where: NodeListenOptions): Promise<void> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onError = (error: Error) => reject(addressError("listen on", address, error));
      server.once("error", onError);
      server.once("listening", () => {
        server.off("error", onError);
        // A failed accept (EMFILE …) arrives here; Node has dropped that connection and goes on.
        server.on("error", (error) => this.drop(error));
        const bound = server.address();
        if (typeof bound === "string") this.host = bound;
        else if (bound !== null) [this.host, this.port] = [bound.address, bound.port];
        resolve();
      });
      if (where.path === undefined) server.listen(where);
      else withUmask(0o177, () => server.listen(where));
    });
  }
}

/** Runs a callback whose failure must not be that of a socket. */
function guard(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    process.emitWarning(toError(error));
  }
}

/** Runs `bind` so that a file it makes is never, not even for a moment, open to others. A worker thread cannot. */
function withUmask(mask: number, bind: () => void): void {
  // Loaded here, as few need it, and loading it is a thirtieth of loading a client.
  const { isMainThread } = require("node:worker_threads") as typeof import("node:worker_threads");
  if (!isMainThread) return bind();
  const before = process.umask(mask);
  try {
    bind();
  } finally {
    process.umask(before);
  }
}
