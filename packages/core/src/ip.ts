import { isIP } from "node:net";

const BYTES = 16;
/** Bits of IPv6 that one customer of a provider holds as a rule: whoever has one address has 2^64. */
const NETWORK_BITS = 64;

/**
 * The 16 bytes of an IP address. IPv4 and the IPv6 that maps it (`::ffff:10.0.0.1`) have the same; a zone (`%eth0`) is
 * left out. undefined for all that is no IP address, such as the path of a Unix socket.
 */
export function parseIp(text: string): Uint8Array | undefined {
  const family = isIP(text);
  if (family === 0) return undefined;
  const bytes = new Uint8Array(BYTES);
  if (family === 4) {
    bytes.fill(0xff, 10, 12);
    bytes.set(bytesOf(text), 12);
    return bytes;
  }
  const [head = "", tail = ""] = text.replace(/%.*/, "").split("::");
  bytes.set(bytesOf(head), 0);
  const last = bytesOf(tail);
  bytes.set(last, BYTES - last.length);
  return bytes;
}

/** Whether the bytes of {@link parseIp} are those of an IPv4 address. */
export function isIpv4(bytes: Uint8Array): boolean {
  for (let at = 0; at < 10; at++) if (bytes[at] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The usual way to write an address (RFC 5952), from its 16 bytes. */
export function formatIp(bytes: Uint8Array): string {
  if (isIpv4(bytes)) return bytes.slice(12).join(".");
  const groups = Array.from({ length: BYTES / 2 }, (_, at) => (bytes[2 * at]! * 256 + bytes[2 * at + 1]!).toString(16));
  const { start, length } = longestZeros(groups);
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

/**
 * Who an address stands for where connections are counted: an IPv4 address itself, of IPv6 its /64, since whoever has
 * one address of it has all. undefined for all that is no IP address.
 */
export function ipNetwork(address: string): string | undefined {
  const bytes = parseIp(address);
  if (bytes === undefined) return undefined;
  if (isIpv4(bytes)) return formatIp(bytes);
  return `${formatIp(bytes.fill(0, NETWORK_BITS / 8))}/${NETWORK_BITS}`;
}

/** The bytes of a part of an address that has no gap. */
function bytesOf(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [at, group] of groups.entries()) {
    length = group === "0" ? length + 1 : 0;
    if (length > best.length) best = { start: at + 1 - length, length };
  }
  return best;
}
