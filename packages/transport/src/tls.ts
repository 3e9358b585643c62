import { readFileSync } from "node:fs";
import { isIP, type Socket as RawSocket } from "node:net";
import type {
  CommonConnectionOptions,
  ConnectionOptions,
  TlsOptions as NodeTlsOptions,
  SecureContextOptions,
  TLSSocket,
} from "node:tls";
import { explained, toError } from "./explain";
import { NetListener } from "./net-listener";
import { connected, ignore, NetSocket } from "./net-socket";
import { type TlsPeer, tlsPeer } from "./peer";
import { dialable, resetByPeer, type TcpOptions, tcpSettings } from "./tcp";
import { type Listener, parseAddress, type Socket, type Transport } from "./transport";

/** What both ends of TLS take: Node's option names and meanings, and the options of TCP. */
interface TlsSharedOptions
  extends TcpOptions,
    SecureContextOptions,
    Pick<CommonConnectionOptions, "enableTrace" | "rejectUnauthorized"> {
  /**
   * Protocols to agree on; a peer that agrees on none is refused. Default `["rap/1"]`. Empty: do not negotiate, for a
   * peer behind a proxy that cannot.
   */
  ALPNProtocols?: readonly string[];
}

/** Options of the dialling end of {@link tls}. The server's certificate and host name are verified unless refused. */
export interface TlsClientOptions
  extends TlsSharedOptions,
    Pick<ConnectionOptions, "checkServerIdentity" | "minDHSize" | "servername" | "session"> {}

/**
 * Options of the listening end of {@link tls}. With `requestCert`, clients must show a certificate that `ca` verifies,
 * unless `rejectUnauthorized` is false.
 */
export interface TlsServerOptions
  extends TlsSharedOptions,
    Pick<NodeTlsOptions, "requestCert" | "SNICallback" | "sessionTimeout" | "ticketKeys"> {
  /** Milliseconds from accepting a connection to the end of its TLS handshake. Default 5000. */
  handshakeTimeout?: number;
}

/** Options of {@link tls}; a transport that only dials or only listens needs only that end's. */
export interface TlsOptions extends TlsClientOptions, TlsServerOptions {}

/** The protocol that the ends agree on in the TLS handshake. */
export const ALPN = "rap/1";

/** Node's TLS takes as long to load as all of rap's client: only who uses it should wait. */
const node = () => require("node:tls") as typeof import("node:tls");

type SNICallback = NonNullable<TlsServerOptions["SNICallback"]>;

/** Reads a certificate or key. Throws an Error that names the option and the file; its `code` is the system's. */
export function pemFile(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = toError(error) as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${option}: ${String(path)} cannot be read: ${message}`, { cause: error }), { code });
  }
}

/** Sockets over TLS 1.2 or newer on TCP, addresses `tls://host:port` or `raps://host:port`. */
export function tls(options: TlsOptions = {}): Transport {
  const settings = {
    ...options,
    minVersion: options.minVersion ?? "TLSv1.2",
    ALPNProtocols: options.ALPNProtocols ?? [ALPN],
  } as const;
  return {
    scheme: "tls",

    async dial(address: string, signal?: AbortSignal): Promise<Socket> {
      const { host, port } = parseAddress(address, "tls");
      signal?.throwIfAborted();
      const openedAt = performance.now();
      const servername = options.servername ?? (isIP(host) === 0 ? host : "");
      const where = { host, port, servername, allowHalfOpen: true };
      const raw = node().connect({ ...settings, ...where });
      return connected(raw, "secureConnect", address, signal, () => {
        requireProtocol(raw, settings.ALPNProtocols);
        // Unlike net.connect, tls.connect does not take these.
        const { noDelay, keepAlive, keepAliveInitialDelay } = tcpSettings(options);
        raw.setNoDelay(noDelay).setKeepAlive(keepAlive, keepAliveInitialDelay);
        return new NetSocket(raw, (tlsPeer(raw) ?? resetByPeer()).secured(raw), openedAt, options);
      });
    },

    async listen(address: string, onSocket: (socket: Socket) => void): Promise<Listener> {
      const { host, port } = parseAddress(address, "tls");
      const announce = (raw: TLSSocket, { peer, openedAt }: Accepted) => {
        if (!listener.listening) throw new Error("the listener was closed during the handshake");
        requireProtocol(raw, settings.ALPNProtocols);
        onSocket(new NetSocket(raw, peer.secured(raw), openedAt, options));
      };
      const listener = await NetListener.open(address, options, {
        ...tcpSettings(options),
        where: { host, port },
        peerOf: tlsPeer,
        accept: handshake(settings, announce, (reason, raw) => listener.drop(reason, raw)),
      });
      listener.address = dialable("tls", host, listener.port);
      return listener;
    },
  };
}

/** What is known of a connection before its TLS handshake. */
interface Accepted {
  peer: TlsPeer;
  openedAt: number;
}

/** Does the server's side of handshakes: each connection that goes in comes out at `announce` or at `drop`. */
function handshake(
  options: TlsServerOptions,
  announce: (raw: TLSSocket, accepted: Accepted) => void,
  drop: (reason: Error, raw: RawSocket) => void,
): (raw: RawSocket, peer: TlsPeer) => void {
  // Node does not tell which connection a TLS socket came from, but the two ends of a connection name it.
  const accepted = new Map<string, Accepted>();
  const { handshakeTimeout = 5_000, SNICallback } = options;
  const server = node().createServer({
    ...options,
    handshakeTimeout,
    ...(SNICallback !== undefined && { SNICallback: guarded(SNICallback) }),
  });
  server.on("secureConnection", (raw) => {
    try {
      announce(raw, accepted.get(ends(raw)) ?? resetByPeer());
    } catch (error) {
      drop(toError(error), raw);
    }
  });
  // Node only reports: a client that fails or never finishes would stay connected.
  server.on("tlsClientError", (error, raw) => drop(handshakeError(error, raw), raw));
  return (raw, peer) => {
    const key = ends(raw);
    accepted.set(key, { peer, openedAt: performance.now() });
    raw.on("error", ignore).on("close", () => accepted.delete(key));
    server.emit("connection", raw);
  };
}

/** Node hangs up on a certificate that it cannot verify, and keeps the reason on the socket. */
function handshakeError(error: Error, { authorizationError }: TLSSocket): Error {
  if (authorizationError === null || authorizationError === undefined) return explained(error);
  return new Error(`the certificate of the peer was refused: ${String(authorizationError)}`, { cause: error });
}

function requireProtocol({ alpnProtocol }: TLSSocket, protocols: readonly string[]): void {
  if (protocols.length === 0 || (typeof alpnProtocol === "string" && protocols.includes(alpnProtocol))) return;
  throw new Error(`the peer speaks TLS but agreed to no ALPN protocol, it must be ${protocols.join(" or ")}`);
}

function ends({ remoteAddress, remotePort, localAddress }: RawSocket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** An exception of a user's callback inside OpenSSL's would end the process. */
function guarded(callback: SNICallback): SNICallback {
  return (servername, done) => {
    try {
      callback(servername, done);
    } catch (error) {
      done(toError(error));
    }
  };
}
