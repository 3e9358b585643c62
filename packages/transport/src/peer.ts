import type { Socket as RawSocket } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { Peer } from "./transport";

/** The peer of a TCP socket; undefined when the kernel no longer knows it, because the connection was reset. */
export function tcpPeer(raw: RawSocket): Peer | undefined {
  const { remoteAddress: address, remotePort: port, localAddress } = raw;
  if (address === undefined || port === undefined || localAddress === undefined) return undefined;
  return plainPeer(address, port, localAddress, isLoopback(address) && isLoopback(localAddress));
}

/** The peer of a TLS socket, whose handshake is done; undefined as in {@link tcpPeer}. */
export function tlsPeer(raw: TLSSocket): Peer | undefined {
  const peer = tcpPeer(raw);
  return peer && new TlsPeer(peer, raw);
}

/** A peer without TLS. */
export function plainPeer(address: string, port: number, localAddress: string, local: boolean): Peer {
  return { address, port, localAddress, local, encrypted: false, authorized: false, certificate: undefined };
}

/** Whether an IP address, as the kernel writes it, is in 127.0.0.0/8, ::1 or ::ffff:127.0.0.0/104. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(address);
}

class TlsPeer implements Peer {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly local: boolean;
  readonly encrypted = true;
  readonly authorized: boolean;
  readonly #raw: TLSSocket;
  #certificate: PeerCertificate | undefined;

  constructor({ address, port, localAddress, local }: Peer, raw: TLSSocket) {
    this.address = address;
    this.port = port;
    this.localAddress = localAddress;
    this.local = local;
    this.authorized = raw.authorized;
    this.#raw = raw;
  }

  /** Parsed when first read, because most never are. Node forgets it when the socket closes. */
  get certificate(): PeerCertificate | undefined {
    if (this.#certificate === undefined) {
      const certificate = this.#raw.getPeerCertificate() as PeerCertificate | null | undefined;
      if (certificate?.raw !== undefined) this.#certificate = certificate;
    }
    return this.#certificate;
  }
}
