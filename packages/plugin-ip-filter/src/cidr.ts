import { formatIp, isIpv4, parseIp } from "@rap/core";

/** Bits in front of an IPv4 address in its 16 bytes. */
const MAPPED_BITS = 96;
const BITS = 128;

/** A network: all addresses of a family that begin with the first `prefix` bits of `bytes`. */
export interface Cidr {
  /** 16 bytes; of IPv4 those of `::ffff:a.b.c.d`, with a prefix of at least 96. */
  readonly bytes: Uint8Array;
  readonly prefix: number;
  /** As it is usually written: `10.0.0.0/8`, or without a prefix where it is one address. */
  readonly text: string;
}

/**
 * Reads `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32` or `::ffff:10.0.0.0/104`, which is `10.0.0.0/8`.
 *
 * @throws TypeError with code `ERR_RAP_CIDR` that names the entry, for what is no address, for a prefix that is no whole
 * number in range, and for bits that are set beyond it.
 */
export function parseCidr(entry: string): Cidr {
  const [address = "", prefixText, ...rest] = String(entry).split("/");
  const bytes = parseIp(address);
  if (typeof entry !== "string" || bytes === undefined || rest.length > 0) {
    throw invalid(entry, "it is no IP address and no network like 10.0.0.0/8");
  }
  const before = address.includes(":") ? 0 : MAPPED_BITS;
  const prefix = prefixText === undefined ? BITS : before + prefixOf(prefixText);
  if (!(prefix <= BITS)) throw invalid(entry, `its prefix is no whole number from 0 to ${BITS - before}`);
  const first = masked(bytes, prefix);
  if (Buffer.compare(first, bytes) !== 0) {
    throw invalid(entry, `bits are set beyond its prefix; the network is ${formatIp(first)}/${prefixText}`);
  }
  const shown = isIpv4(bytes) ? prefix - MAPPED_BITS : prefix;
  return { bytes, prefix, text: prefix === BITS ? formatIp(bytes) : `${formatIp(bytes)}/${shown}` };
}

/**
 * Networks, in which an address is found by one look for each length of prefix. IPv4 addresses, mapped ones too, are in
 * IPv4 networks only: `::/0` is all of IPv6 and nothing else.
 */
export class CidrList {
  readonly #texts = new Set<string>();
  /** By the length of their prefix, the bits of the networks. */
  readonly #ipv4 = new Map<number, Set<string>>();
  readonly #ipv6 = new Map<number, Set<string>>();

  constructor(entries: Iterable<Cidr> = []) {
    for (const entry of entries) this.add(entry);
  }

  get size(): number {
    return this.#texts.size;
  }

  /** The networks as they are usually written, in the order in which they were added. */
  get entries(): string[] {
    return [...this.#texts];
  }

  /** false if it was there before. Throws a TypeError (`ERR_RAP_CIDR`) for what `parseCidr` did not make. */
  add(entry: Cidr): boolean {
    const { bytes, prefix, text } = (entry ?? {}) as Cidr;
    if (!(bytes instanceof Uint8Array)) throw invalid(entry, "parseCidr() makes a network of a text");
    if (this.#texts.has(text)) return false;
    this.#texts.add(text);
    const lengths = this.#family(bytes);
    const networks = lengths.get(prefix) ?? new Set();
    lengths.set(prefix, networks.add(keyOf(bytes)));
    return true;
  }

  /** false if it was not there. Other networks that lie in it or around it stay. */
  delete({ bytes, prefix, text }: Cidr): boolean {
    if (!this.#texts.delete(text)) return false;
    const lengths = this.#family(bytes);
    const networks = lengths.get(prefix);
    networks?.delete(keyOf(bytes));
    if (networks?.size === 0) lengths.delete(prefix);
    return true;
  }

  /** Whether an address, as its 16 bytes, is in one of the networks. */
  has(address: Uint8Array): boolean {
    for (const [prefix, networks] of this.#family(address)) {
      if (networks.has(keyOf(masked(address, prefix)))) return true;
    }
    return false;
  }

  #family(bytes: Uint8Array): Map<number, Set<string>> {
    return isIpv4(bytes) ? this.#ipv4 : this.#ipv6;
  }
}

function prefixOf(text: string): number {
  return /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : Number.NaN;
}

/** The same bytes with all bits beyond the prefix zero. */
function masked(bytes: Uint8Array, prefix: number): Uint8Array {
  const first = bytes.slice();
  const whole = prefix >> 3;
  if (whole === first.length) return first;
  first[whole]! &= 0xff00 >> (prefix & 7);
  return first.fill(0, whole + 1);
}

function keyOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function invalid(entry: unknown, why: string): TypeError {
  const message = `${JSON.stringify(String(entry).slice(0, 100))} is not for a list of addresses: ${why}`;
  return Object.assign(new TypeError(message), { code: "ERR_RAP_CIDR" });
}
