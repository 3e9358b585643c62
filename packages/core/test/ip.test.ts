import { BlockList } from "node:net";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { formatIp, ipNetwork, isIpv4, parseIp } from "../src";

const hex = (text: string): string | undefined => {
  const bytes = parseIp(text);
  return bytes && Buffer.from(bytes).toString("hex");
};

describe("an IP address", () => {
  test.each([
    ["10.0.0.1", "00000000000000000000ffff0a000001"],
    ["::ffff:10.0.0.1", "00000000000000000000ffff0a000001"],
    ["::FFFF:a00:1", "00000000000000000000ffff0a000001"],
    ["::", "00000000000000000000000000000000"],
    ["::1", "00000000000000000000000000000001"],
    ["::1.2.3.4", "00000000000000000000000001020304"],
    ["2001:db8::9", "20010db8000000000000000000000009"],
    ["2001:db8:1:2:3:4:5:6", "20010db8000100020003000400050006"],
    ["64:ff9b::10.0.0.1", "0064ff9b00000000000000000a000001"],
    ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
  ])("%s is its 16 bytes", (text, bytes) => {
    expect(hex(text)).toBe(bytes);
  });

  test.each(["", "memory", "/run/rap.sock", "localhost", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1 ", "0x7f.1"])(
    "%j is none",
    (text) => {
      expect(parseIp(text)).toBeUndefined();
    },
  );

  test.each([":::", "1::2::3", "12345::", "[::1]", "::1/64", "10.0.0.1%eth0", "1:2:3:4:5:6:7:8:9", "::ffff:10.0.0"])(
    "%j is none either",
    (text) => {
      expect(parseIp(text)).toBeUndefined();
    },
  );

  test.each([
    ["0:0:0:0:0:0:0:0", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["2001:0DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:0:2:0:0:0", "1::2:0:0:0"],
    ["0:0:1:0:0:0:0:0", "0:0:1::"],
    ["::ffff:7f00:1", "127.0.0.1"],
    ["192.0.2.7", "192.0.2.7"],
  ])("%s is written %s", (text, written) => {
    expect(formatIp(parseIp(text)!)).toBe(written);
  });

  test("survives being written and read, and Node reads it as the same address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(16), fc.nat(16), (bytes, from, to) => {
        bytes.fill(0, from, to);
        const text = formatIp(bytes);
        expect(parseIp(text)).toEqual(bytes);
        const list = new BlockList();
        const long = Buffer.from(bytes).toString("hex").match(/.{4}/g)!.join(":");
        list.addAddress(long, "ipv6");
        expect(list.check(text, isIpv4(bytes) ? "ipv4" : "ipv6")).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("who an address stands for", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"],
    ["2001:db8:0:1:bbbb::2", "2001:db8:0:1::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["memory", undefined],
    ["/run/rap.sock", undefined],
  ])("%s counts as %s", (address, network) => {
    expect(ipNetwork(address)).toBe(network);
  });
});
