import type { Socket as RawSocket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Clock, systemClock, type Timer } from "@rap/protocol";
import { addressError, closeTimeoutError, explained, toError } from "./explain";
import type { Peer, Socket, SocketHandler } from "./transport";

/** Options that sockets of all kinds share. */
export interface SocketOptions {
  /** Bytes buffered at which `write` returns false. Default 64 KiB. */
  highWaterMark?: number;
  /** Milliseconds that the peer has to finish after `end`. Default 2000. */
  closeTimeout?: number;
  /** Default: the machine's clock. */
  clock?: Clock;
}

const OWNER = Symbol("rap.socket");

/** One of Node's that knows whose it is, so that all of them share five listeners instead of having five closures each. */
type OwnedSocket = RawSocket & { [OWNER]?: NetSocket };

/** A {@link Socket} over one of Node's, for TCP, Unix and TLS alike. */
export class NetSocket implements Socket {
  readonly peer: Peer;
  readonly openedAt: number;
  readonly #raw: OwnedSocket;
  readonly #clock: Clock;
  readonly #highWaterMark: number;
  readonly #closeTimeout: number;
  #handler: SocketHandler | undefined;
  #error: Error | undefined;
  #closeTimer: Timer | undefined;
  #paused = false;
  /** `write` returned false and `onDrain` has not followed. */
  #behind = false;
  /** Destroyed by us: bytes that are already read must not be delivered any more. */
  #destroyed = false;
  /** The raw socket has emitted "close". */
  #gone = false;
  /** `onClose` was called. */
  #closed = false;

  /** `raw` must be connected and opened with `allowHalfOpen`: the socket itself answers the peer's end. */
  constructor(raw: OwnedSocket, peer: Peer, openedAt: number, options: SocketOptions) {
    this.peer = peer;
    this.openedAt = openedAt;
    this.#raw = raw;
    this.#clock = options.clock ?? systemClock;
    this.#highWaterMark = options.highWaterMark ?? 64 * 1024;
    this.#closeTimeout = options.closeTimeout ?? 2_000;
    raw[OWNER] = this;
    // Stays for good: Node ends the process for an "error" that nobody listens to, however late it comes.
    raw.on("error", NetSocket.#onError).on("end", NetSocket.#onEnd).on("close", NetSocket.#onClose);
  }

  get buffered(): number {
    return this.#raw.writableLength;
  }

  start(handler: SocketHandler): void {
    if (this.#handler !== undefined) throw new Error("the socket was already started");
    this.#handler = handler;
    if (this.#gone || this.#raw.readableEnded) {
      process.nextTick(() => this.#close());
      return;
    }
    this.#raw.on("data", NetSocket.#onData).on("drain", NetSocket.#onDrain);
    if (!this.#paused) this.#raw.resume();
  }

  write(bytes: Uint8Array, more = false): boolean {
    const raw = this.#raw;
    if (!raw.writable) return false;
    if (more) {
      if (raw.writableCorked === 0) raw.cork();
      raw.write(bytes);
      return true;
    }
    const taken = raw.write(bytes);
    if (raw.writableCorked > 0) raw.uncork();
    // Node says false to any write of its high-water mark, also when the kernel took all of it at once.
    if (taken || raw.writableLength < this.#highWaterMark) return true;
    this.#behind = true;
    return false;
  }

  pause(): void {
    this.#paused = true;
    this.#raw.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#handler !== undefined) this.#raw.resume();
  }

  end(): void {
    if (this.#closeTimer !== undefined || this.#raw.destroyed) return;
    this.#raw.end();
    // A socket with unread bytes never destroys itself, and a peer need not answer.
    this.#closeTimer = this.#clock.setTimeout(() => {
      this.destroy(closeTimeoutError(this.#closeTimeout));
    }, this.#closeTimeout);
  }

  destroy(error?: Error): void {
    if (this.#raw.destroyed) return;
    this.#destroyed = true;
    this.#error ??= error;
    this.#raw.destroy();
  }

  static readonly #onData = function (this: OwnedSocket, bytes: Uint8Array): void {
    const socket = this[OWNER]!;
    if (socket.#destroyed) return;
    try {
      socket.#handler!.onData(bytes);
    } catch (error) {
      socket.destroy(toError(error));
    }
  };

  static readonly #onDrain = function (this: OwnedSocket): void {
    const socket = this[OWNER]!;
    if (!socket.#behind || socket.#closed) return;
    socket.#behind = false;
    try {
      socket.#handler!.onDrain();
    } catch (error) {
      socket.destroy(toError(error));
    }
  };

  static readonly #onError = function (this: OwnedSocket, error: Error): void {
    this[OWNER]!.#error ??= explained(error);
  };

  /** Node emits it even when nobody reads, if there is nothing to read. */
  static readonly #onEnd = function (this: OwnedSocket): void {
    const socket = this[OWNER]!;
    socket.#close();
    socket.end();
  };

  static readonly #onClose = function (this: OwnedSocket): void {
    const socket = this[OWNER]!;
    socket.#gone = true;
    if (socket.#closeTimer !== undefined) socket.#clock.clearTimeout(socket.#closeTimer);
    socket.#close();
  };

  #close(): void {
    if (this.#closed || this.#handler === undefined) return;
    this.#closed = true;
    try {
      this.#handler.onClose(this.#error);
    } catch (error) {
      process.emitWarning(toError(error));
      this.#raw.destroy();
    }
  }
}

/**
 * Resolves with a socket once `raw` emits `event` and `open` has accepted it. Rejects, `raw` destroyed, when it fails
 * before, when `open` throws, or with the signal's reason; no listener stays on the signal.
 */
export function connected<R extends RawSocket | TLSSocket>(
  raw: R,
  event: "connect" | "secureConnect",
  address: string,
  signal: AbortSignal | undefined,
  open: (raw: R) => Socket,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      raw.off(event, onConnect).off("error", onError).off("close", onClose);
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (reason: unknown) => {
      settle();
      raw.destroy();
      reject(reason);
    };
    const onConnect = () => {
      try {
        resolve(open(raw));
        settle();
      } catch (error) {
        fail(addressError("connect to", address, error));
      }
    };
    const onError = (error: unknown) => fail(addressError("connect to", address, error));
    const onClose = () => onError(new Error("the peer closed the connection"));
    const onAbort = () => fail(signal?.reason);

    // This one stays: an error may still come after the promise has settled.
    raw.on("error", ignore);
    raw.on(event, onConnect).on("error", onError).on("close", onClose);
    signal?.addEventListener("abort", onAbort);
  });
}

/** Listens to the "error" of a socket that nobody cares about any more. */
export function ignore(): void {}
