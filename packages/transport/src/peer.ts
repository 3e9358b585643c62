import type { Socket as RawSocket } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import type { Peer } from "./transport";

/** The peer of a TCP socket; undefined when the kernel no longer knows it, because the connection was reset. */
export function tcpPeer(raw: RawSocket): Peer | undefined {
  const { remoteAddress: address, remotePort: port, localAddress } = raw;
  if (address === undefined || port === undefined || localAddress === undefined) return undefined;
  return plainPeer(address, port, localAddress, isLoopback(address) && isLoopback(localAddress));
}

/** The peer of a TCP socket on which TLS is to come; undefined as in {@link tcpPeer}. */
export function tlsPeer(raw: RawSocket): TlsPeer | undefined {
  const peer = tcpPeer(raw);
  return peer && new TlsPeer(peer);
}

/** A peer without TLS. */
export function plainPeer(address: string, port: number, localAddress: string, local: boolean): Peer {
  return { address, port, localAddress, local, encrypted: false, authorized: false, certificate: undefined };
}

/** Whether an IP address, as the kernel writes it, is in 127.0.0.0/8, ::1 or ::ffff:127.0.0.0/104. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/i.test(address);
}

/** The same object from accept to the end; the TLS handshake adds to it. */
export class TlsPeer implements Peer {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly local: boolean;
  #raw: TLSSocket | undefined;
  #authorized = false;
  #certificate: PeerCertificate | undefined;

  constructor({ address, port, localAddress, local }: Peer) {
    this.address = address;
    this.port = port;
    this.localAddress = localAddress;
    this.local = local;
  }

  /** The handshake is done. */
  secured(raw: TLSSocket): this {
    this.#raw = raw;
    this.#authorized = raw.authorized;
    return this;
  }

  get encrypted(): boolean {
    return this.#raw !== undefined;
  }

  get authorized(): boolean {
    return this.#authorized;
  }

  /** Parsed when first read, because most never are. Node forgets it when the socket closes. */
  get certificate(): PeerCertificate | undefined {
    if (this.#certificate === undefined) {
      const certificate = this.#raw?.getPeerCertificate() as PeerCertificate | null | undefined;
      if (certificate?.raw !== undefined) this.#certificate = certificate;
    }
    return this.#certificate;
  }

  get channelBinding(): Uint8Array | undefined {
    return this.#raw?.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  }
}
