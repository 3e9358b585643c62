import { isIPv6 } from "node:net";
import type { PeerCertificate } from "node:tls";

/** Who is at the other end of a socket, as the kernel sees it: never taken from anything that the peer says. */
export interface Peer {
  /** IP address, path of the Unix socket, or `"memory"`. */
  readonly address: string;
  /** 0 where there is none. */
  readonly port: number;
  /** Our own end, in the same form as `address`. */
  readonly localAddress: string;
  /**
   * Whether the peer is on this machine: a Unix or memory socket, or both addresses are loopback. A proxy or tunnel on
   * this machine makes everyone behind it local.
   */
  readonly local: boolean;
  /** Whether bytes travel inside TLS. */
  readonly encrypted: boolean;
  /** Whether the peer showed a TLS certificate and it was verified. */
  readonly authorized: boolean;
  /** The peer's TLS certificate, if it showed one. Costs its parsing at the first read. */
  readonly certificate: PeerCertificate | undefined;
  /** What only the two ends of this TLS connection know (the `tls-exporter` of RFC 9266); undefined without TLS. */
  readonly channelBinding?: Uint8Array | undefined;
}

/** What a user of a {@link Socket} is told. A callback that throws destroys its socket and nothing else. */
export interface SocketHandler {
  /** Bytes from the peer, in order. They belong to the handler from now on. */
  onData(bytes: Uint8Array): void;
  /** The socket takes bytes again after `write` returned false. */
  onDrain(): void;
  /**
   * The peer has sent its last byte or the socket is gone; called exactly once, after every other callback, and never
   * from inside a method of the socket. `error` is there unless the peer ended cleanly or we destroyed the socket
   * without one. What is buffered then is still sent, and the socket ends by itself.
   */
  onClose(error?: Error): void;
}

/** A stream of bytes to one peer and back. Nothing is read until {@link Socket.start}. */
export interface Socket {
  readonly peer: Peer;
  /** `performance.now()` when the socket was accepted, before any TLS, or when it was dialled. */
  readonly openedAt: number;
  /** Bytes that `write` accepted and the kernel has not taken yet. */
  readonly buffered: number;

  /**
   * Sets the handler and begins to read. Bytes that came before are delivered, and so is a close, but never during the
   * call. Throws if the socket was started before.
   */
  start(handler: SocketHandler): void;

  /**
   * Hands bytes over; they must not be changed afterwards. false: the peer is behind, wait for `onDrain`. Never throws.
   * After `end`, `destroy` or `onClose` the bytes are dropped and false is returned; no `onDrain` follows. `more` says
   * that another write follows at once, with which these bytes may go.
   */
  write(bytes: Uint8Array, more?: boolean): boolean;

  /** Stops `onData`. While paused, a peer that ends or breaks may go unnoticed. */
  pause(): void;
  /** Goes on with `onData`. */
  resume(): void;

  /**
   * Sends what is buffered and then the end. Reads on until the peer ends too; after `closeTimeout` (an option of each
   * transport, default 2 s) the socket is destroyed. Further calls do nothing.
   */
  end(): void;

  /** Closes at once; buffered bytes are lost. `onClose` gets `error`. Further calls do nothing. */
  destroy(error?: Error): void;
}

/** Accepts sockets at an address. */
export interface Listener {
  /** URL that a client on this machine can dial: with the real port, and loopback in place of "all interfaces". */
  readonly address: string;
  /** The bound IP address, path of the Unix socket, or name in memory. */
  readonly host: string;
  /** The bound port; 0 where there is none. */
  readonly port: number;
  /** Sockets that were turned away, or died, before `onSocket` was told of them. */
  readonly dropped: number;
  /** Stops accepting; resolves when the address is free. Announced sockets live on, others are dropped. Idempotent. */
  close(): Promise<void>;
}

/** Opens sockets of one kind. It knows nothing of frames; `transportCompliance` states its laws. */
export interface Transport {
  /** What its addresses begin with, without the colon: `"tcp"`, `"tls"`, `"unix"`, `"memory"`. */
  readonly scheme: string;
  /**
   * Connects to an address. Rejects with the signal's reason when aborted, else with an `Error` whose message names
   * the address and whose `code` is the system's (`ECONNREFUSED` …); `ERR_RAP_ADDRESS` for a bad address.
   */
  dial(address: string, signal?: AbortSignal): Promise<Socket>;
  /**
   * Accepts sockets at an address; port 0 takes a free one. `onSocket` that throws destroys that socket. Rejects like
   * `dial`, for instance with `EADDRINUSE`.
   */
  listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener>;
}

/** An address in its parts; `rap:` is `tcp` and `raps:` is `tls`. */
export type Address =
  | { readonly scheme: "tcp"; readonly host: string; readonly port: number }
  | { readonly scheme: "tls"; readonly host: string; readonly port: number }
  | { readonly scheme: "unix"; readonly path: string }
  | { readonly scheme: "memory"; readonly name: string };

/** The port of an address that names none. */
export const DEFAULT_PORT = 9000;

/** What fits into the kernel's `sun_path`; a longer path would be cut silently. */
const MAX_UNIX_PATH_BYTES = process.platform === "darwin" ? 103 : 107;

/**
 * Reads `tcp://host:port` (or `rap://`), `tls://host:port` (or `raps://`), `unix:/path` and `memory://name`. IPv6
 * addresses stand in brackets; the default port is 9000. A Unix path is taken literally.
 *
 * With `scheme`, an address of any other scheme is refused. Throws a `TypeError` with code `ERR_RAP_ADDRESS` that
 * names what is wrong.
 */
export function parseAddress(address: string): Address;
export function parseAddress<S extends Address["scheme"]>(address: string, scheme: S): Extract<Address, { scheme: S }>;
export function parseAddress(address: string, expected?: string): Address {
  const [, prefix, slashes, rest] = /^([a-z]+):(\/\/)?(.*)$/is.exec(address) ?? [];
  const scheme = SCHEMES[prefix?.toLowerCase() ?? ""];
  if (scheme === undefined || rest === undefined) {
    throw invalid(address, "it must begin with tcp://, tls://, rap://, raps://, unix: or memory://");
  }
  if (expected !== undefined && scheme !== expected)
    throw invalid(address, `this transport takes ${expected} addresses`);
  if (scheme === "unix") return { scheme, path: unixPath(address, rest) };
  if (slashes === undefined) throw invalid(address, "two slashes must follow the scheme");
  if (scheme !== "memory") return { scheme, ...hostAndPort(address, rest) };
  if (rest === "") throw invalid(address, "it has no name");
  return { scheme, name: rest };
}

/** The inverse of {@link parseAddress} for a host and a port. */
export function formatAddress(scheme: string, host: string, port: number): string {
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

const SCHEMES: Readonly<Record<string, Address["scheme"] | undefined>> = {
  __proto__: null as never,
  tcp: "tcp",
  rap: "tcp",
  tls: "tls",
  raps: "tls",
  unix: "unix",
  memory: "memory",
};

function hostAndPort(address: string, rest: string): { host: string; port: number } {
  const [, brackets, name, port = ""] = /^(?:\[(.*)\]|([^:/?#@[\]\s]*))(?::([^:/]*))?\/?$/.exec(rest) ?? [];
  const host = brackets ?? name;
  if (host === undefined) {
    const colons = rest.split(":").length > 2;
    throw invalid(address, colons ? "an IPv6 address must stand in brackets" : "only host:port may follow the slashes");
  }
  if (host === "") throw invalid(address, "it has no host");
  if (brackets !== undefined && !isIPv6(brackets)) throw invalid(address, `${brackets} is not an IPv6 address`);
  if (port === "") return { host, port: DEFAULT_PORT };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw invalid(address, `${port} is not a port`);
  return { host, port: Number(port) };
}

function unixPath(address: string, path: string): string {
  if (path === "") throw invalid(address, "it has no path");
  if (path.includes("\0")) throw invalid(address, "its path contains a NUL");
  if (Buffer.byteLength(path) > MAX_UNIX_PATH_BYTES) {
    throw invalid(address, `its path is longer than ${MAX_UNIX_PATH_BYTES} bytes`);
  }
  return path;
}

function invalid(address: string, why: string): TypeError {
  return Object.assign(new TypeError(`${JSON.stringify(address)} is not a valid address: ${why}`), {
    code: "ERR_RAP_ADDRESS",
  });
}
