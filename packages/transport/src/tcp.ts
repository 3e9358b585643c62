import { promises as fs } from "node:fs";
import { connect, type Socket as RawSocket } from "node:net";
import { addressError } from "./explain";
import { type AcceptOptions, NetListener } from "./net-listener";
import { connected, NetSocket, type SocketOptions } from "./net-socket";
import { plainPeer, tcpPeer } from "./peer";
import { formatAddress, type Listener, parseAddress, type Socket, type Transport } from "./transport";

/** Options of {@link tcp}. */
export interface TcpOptions extends SocketOptions, AcceptOptions {
  /** Sends small writes at once (no Nagle). Default true. */
  noDelay?: boolean;
  /** Lets the kernel probe idle connections. Default true. */
  keepAlive?: boolean;
  /** Milliseconds of silence before the first probe. Default 30 000. */
  keepAliveInitialDelay?: number;
}

/** Options of {@link unix}. */
export interface UnixOptions extends SocketOptions, AcceptOptions {
  /** Permissions of the socket file: who may write it may connect. Default 0o600. */
  mode?: number;
}

/** Sockets over TCP, addresses `tcp://host:port` or `rap://host:port`. */
export function tcp(options: TcpOptions = {}): Transport {
  return {
    scheme: "tcp",

    async dial(address: string, signal?: AbortSignal): Promise<Socket> {
      const { host, port } = parseAddress(address, "tcp");
      signal?.throwIfAborted();
      const openedAt = performance.now();
      const raw = connect({ ...tcpSettings(options), host, port, allowHalfOpen: true });
      return connected(raw, "connect", address, signal, () => {
        return new NetSocket(raw, tcpPeer(raw) ?? resetByPeer(), openedAt, options);
      });
    },

    async listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
      const { host, port } = parseAddress(address, "tcp");
      const listener = await NetListener.open(address, options, {
        ...tcpSettings(options),
        where: { host, port },
        peerOf: tcpPeer,
        accept: (raw, peer) => onSocket(new NetSocket(raw, peer, performance.now(), options)),
      });
      listener.address = dialable("tcp", host, listener.port);
      return listener;
    },
  };
}

/**
 * Sockets over a path of the file system, addresses `unix:/path`; every peer is local. Listening removes a socket file
 * that a dead process left, and nothing else; closing removes the file.
 */
export function unix(options: UnixOptions = {}): Transport {
  const peerAt = (path: string) => () => plainPeer(path, 0, path, true);
  return {
    scheme: "unix",

    async dial(address: string, signal?: AbortSignal): Promise<Socket> {
      const { path } = parseAddress(address, "unix");
      signal?.throwIfAborted();
      const openedAt = performance.now();
      const raw = connect({ path, allowHalfOpen: true });
      return connected(raw, "connect", address, signal, () => new NetSocket(raw, peerAt(path)(), openedAt, options));
    },

    async listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
      const { path } = parseAddress(address, "unix");
      if (await isStale(path)) await fs.unlink(path);
      const listener = await NetListener.open(address, options, {
        highWaterMark: options.highWaterMark,
        where: { path },
        peerOf: peerAt(path),
        accept: (raw, peer) => onSocket(new NetSocket(raw, peer, performance.now(), options)),
      });
      listener.address = `unix:${path}`;
      try {
        await fs.chmod(path, options.mode ?? 0o600);
      } catch (error) {
        await listener.close();
        throw addressError("listen on", address, error);
      }
      return listener;
    },
  };
}

/** Node's settings of a TCP socket, with our defaults. */
export function tcpSettings({ noDelay = true, keepAlive = true, keepAliveInitialDelay = 30_000, ...rest }: TcpOptions) {
  return { noDelay, keepAlive, keepAliveInitialDelay, highWaterMark: rest.highWaterMark };
}

/** The address of a listener; one on all interfaces is dialled over loopback. */
export function dialable(scheme: string, host: string, port: number): string {
  const loopback = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return formatAddress(scheme, loopback, port);
}

/** The peer was gone before anybody could ask who it is. */
export function resetByPeer(): never {
  throw new Error("the peer reset the connection");
}

/** Whether there is a socket file at `path` and nobody answers it. */
async function isStale(path: string): Promise<boolean> {
  const file = await fs.lstat(path).catch(() => undefined);
  if (file === undefined || !file.isSocket()) return false;
  const probe: RawSocket = connect({ path });
  return new Promise((resolve) => {
    probe.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    probe.on("connect", () => {
      probe.destroy();
      resolve(false);
    });
  });
}
