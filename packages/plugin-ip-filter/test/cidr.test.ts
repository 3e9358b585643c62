import { BlockList, isIP } from "node:net";
import { describe, expect, test } from "@jest/globals";
import { parseIp } from "@rap/core";
import fc from "fast-check";
import { CidrList, parseCidr } from "../src";

const contains = (network: string, address: string): boolean =>
  new CidrList([parseCidr(network)]).has(parseIp(address)!);

describe("an entry of a list", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["10.0.0.1/32", "10.0.0.1"],
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["192.168.0.0/31", "192.168.0.0/31"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
    ["::ffff:0:0/96", "0.0.0.0/0"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::/0", "::/0"],
    ["::1", "::1"],
    ["2001:DB8::/32", "2001:db8::/32"],
    ["2001:db8:0:0:1::/80", "2001:db8:0:0:1::/80"],
    ["fe80::1%eth0", "fe80::1"],
  ])("%s is %s", (entry, text) => {
    expect(parseCidr(entry).text).toBe(text);
  });

  test.each([
    ["10.0.0.1/8", "10.0.0.0/8"],
    ["192.168.0.1/31", "192.168.0.0/31"],
    ["1.2.3.4/0", "0.0.0.0/0"],
    ["2001:db8::1/64", "2001:db8::/64"],
    ["::ffff:10.0.0.1/104", "10.0.0.0/104"],
    ["::ffff:10.0.0.0/80", "::/80"],
  ])("%s has bits beyond its prefix, and the error says what is meant", (entry, network) => {
    expect(() => parseCidr(entry)).toThrow(
      expect.objectContaining({
        name: "TypeError",
        code: "ERR_RAP_CIDR",
        message: expect.stringContaining(`${JSON.stringify(entry)} is not for a list of addresses`),
      }),
    );
    expect(() => parseCidr(entry)).toThrow(network);
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8.0",
    "10.0.0.0/ 8",
    "10.0.0.0/08",
    "10.0.0.0/",
    "::/129",
    "::/1e1",
  ])("%s has a bad prefix", (entry) => {
    expect(() => parseCidr(entry)).toThrow(/prefix is no whole number from 0 to (32|128)/);
  });

  test.each(["", "/8", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.0/8/8", "localhost", "10.0.0.*", "::g", " ::1"])(
    "%j is none",
    (entry) => {
      expect(() => parseCidr(entry)).toThrow(expect.objectContaining({ code: "ERR_RAP_CIDR" }));
    },
  );

  test.each([undefined, null, 10, ["10.0.0.1"], {}])("%j is none either", (entry) => {
    expect(() => parseCidr(entry as never)).toThrow(expect.objectContaining({ code: "ERR_RAP_CIDR" }));
  });
});

describe("a list of networks", () => {
  test("finds an address by whichever name", () => {
    expect(contains("10.0.0.0/8", "10.9.9.9")).toBe(true);
    expect(contains("10.0.0.0/8", "::ffff:10.9.9.9")).toBe(true);
    expect(contains("::ffff:10.0.0.0/104", "10.9.9.9")).toBe(true);
    expect(contains("10.0.0.0/8", "11.0.0.0")).toBe(false);
    expect(contains("fe80::/10", "fe80::1%eth0")).toBe(true);
    expect(contains("192.168.0.0/31", "192.168.0.2")).toBe(false);
  });

  test("keeps the families apart: neither all of IPv6 nor a part of it has an IPv4 address, nor the other way", () => {
    expect(contains("::/0", "1.2.3.4")).toBe(false);
    expect(contains("::/80", "::ffff:1.2.3.4")).toBe(false);
    expect(contains("::/0", "::1")).toBe(true);
    expect(contains("0.0.0.0/0", "::1")).toBe(false);
    expect(contains("0.0.0.0/0", "::1.2.3.4")).toBe(false);
    expect(contains("0.0.0.0/0", "::ffff:1.2.3.4")).toBe(true);
  });

  test("is not misled where net.BlockList is", () => {
    const list = new BlockList();
    list.addSubnet("::", 0, "ipv6");
    // Without the family an IPv6 address is taken for IPv4, so nothing is blocked; and all of IPv6 has IPv4 in it.
    expect([list.check("::1"), list.check("1.2.3.4", "ipv4")]).toEqual([false, true]);
    expect([contains("::/0", "::1"), contains("::/0", "1.2.3.4")]).toEqual([true, false]);
  });

  test("is changed entry by entry; what lies in or around one stays", () => {
    const list = new CidrList();
    const entry = (text: string) => parseCidr(text);
    expect(["10.0.0.0/8", "10.1.0.0/16", "::ffff:10.0.0.0/104", "::1"].map((text) => list.add(entry(text)))).toEqual([
      true,
      true,
      false,
      true,
    ]);
    expect(list.entries).toEqual(["10.0.0.0/8", "10.1.0.0/16", "::1"]);
    expect(list.delete(entry("10.0.0.0/9"))).toBe(false);
    expect(list.delete(entry("::ffff:10.0.0.0/104"))).toBe(true);
    expect([list.size, list.has(parseIp("10.1.1.1")!), list.has(parseIp("10.2.1.1")!)]).toEqual([2, true, false]);
    list.delete(entry("10.1.0.0/16"));
    list.delete(entry("::1"));
    expect([list.size, list.entries, list.has(parseIp("::1")!)]).toEqual([0, [], false]);
  });
});

describe("10 000 random pairs of a network and an address", () => {
  const BITS = { ipv4: 32, ipv6: 128 } as const;
  type Family = keyof typeof BITS;

  /** An address as a number, written out in full: nothing of what is tested has a part in it. */
  const write = (value: bigint, family: Family, mapped: boolean): string => {
    const octets = (bits: number) =>
      Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(bits - 8 - 8 * i)) & 255n));
    if (family === "ipv4") return `${mapped ? "::ffff:" : ""}${octets(32).join(".")}`;
    return octets(128)
      .map((octet, i) => `${octet.toString(16).padStart(2, "0")}${i % 2 === 1 && i < 15 ? ":" : ""}`)
      .join("");
  };

  const isMapped = (value: bigint): boolean => value >> 32n === 0xffffn;

  const pair = fc
    .record({
      family: fc.constantFrom<Family>("ipv4", "ipv6"),
      other: fc.integer({ min: 0, max: 9 }),
      network: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
      noise: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
      prefix: fc.nat(128),
      flip: fc.option(fc.nat(127)),
      netMapped: fc.boolean(),
      mapped: fc.boolean(),
    })
    .map(({ family, other, network, noise, prefix, flip, netMapped, mapped }) => {
      const bits = BITS[family];
      const length = prefix % (bits + 1);
      const host = (1n << BigInt(bits - length)) - 1n;
      const first = network & ((1n << BigInt(bits)) - 1n) & ~host;
      // Most addresses are in the network but for one bit at most: there the mistakes are.
      let address = first | (noise & host);
      if (flip !== null) address ^= 1n << BigInt(flip % bits);
      const from: Family = other === 0 ? (family === "ipv4" ? "ipv6" : "ipv4") : family;
      if (from !== family) address = noise & ((1n << BigInt(BITS[from])) - 1n);
      return { family, first, length, from, address, netMapped, mapped };
    })
    .filter(({ family, first, from, address }) => {
      return !(family === "ipv6" && isMapped(first)) && !(from === "ipv6" && isMapped(address));
    });

  test("are told apart as whole numbers are, and as net.BlockList does when it is given the family", () => {
    const seen = { in: 0, out: 0 };
    fc.assert(
      fc.property(pair, ({ family, first, length, from, address, netMapped, mapped }) => {
        const shift = BigInt(BITS[family] - length);
        const oracle = from === family && first >> shift === address >> shift;
        const network = write(first, family, netMapped && family === "ipv4");
        const prefix = netMapped && family === "ipv4" ? length + 96 : length;
        const text = write(address, from, mapped && from === "ipv4");
        // Not by expect(): it would take most of the time.
        if (contains(`${network}/${prefix}`, text) !== oracle)
          throw new Error(`${network}/${prefix} has ${text}: ${!oracle}`);
        seen[oracle ? "in" : "out"]++;
        // All of IPv6 has no IPv4 in it here; there it has.
        if (family === "ipv6" && from === "ipv4") return;
        const list = new BlockList();
        list.addSubnet(network, prefix, isIP(network) === 6 ? "ipv6" : "ipv4");
        if (list.check(text, isIP(text) === 6 ? "ipv6" : "ipv4") !== oracle)
          throw new Error(`BlockList disagrees: ${text}`);
      }),
      { numRuns: 10_000 },
    );
    expect(Math.min(seen.in, seen.out)).toBeGreaterThan(2_000);
  });

  test("give the same answer in a list of many as one by one", () => {
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 40 }), (pairs) => {
        const entries = pairs.map(({ family, first, length }) => `${write(first, family, false)}/${length}`);
        const list = new CidrList(entries.map(parseCidr));
        for (const { address, from } of pairs) {
          const text = write(address, from, false);
          expect(list.has(parseIp(text)!)).toBe(entries.some((entry) => contains(entry, text)));
        }
      }),
      { numRuns: 100 },
    );
  });
});
