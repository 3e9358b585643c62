import fc from "fast-check";
import { isLoopback } from "../src/peer";
import { formatAddress, parseAddress } from "../src/transport";

describe("parseAddress", () => {
  test.each([
    ["tcp://localhost:80", { scheme: "tcp", host: "localhost", port: 80 }],
    ["tcp://localhost", { scheme: "tcp", host: "localhost", port: 9000 }],
    ["tcp://localhost:80/", { scheme: "tcp", host: "localhost", port: 80 }],
    ["rap://10.0.0.1:0", { scheme: "tcp", host: "10.0.0.1", port: 0 }],
    ["TLS://[::1]:65535", { scheme: "tls", host: "::1", port: 65_535 }],
    ["raps://[fe80::1%eth0]", { scheme: "tls", host: "fe80::1%eth0", port: 9000 }],
    ["unix:/run/a b%20.sock", { scheme: "unix", path: "/run/a b%20.sock" }],
    ["unix:///run/rap.sock", { scheme: "unix", path: "/run/rap.sock" }],
    ["unix:relative.sock", { scheme: "unix", path: "relative.sock" }],
    ["memory://a name", { scheme: "memory", name: "a name" }],
  ])("reads %s", (address, parts) => {
    expect(parseAddress(address)).toEqual(parts);
  });

  test.each([
    ["", "must begin with tcp://"],
    ["localhost:9000", "must begin with tcp://"],
    ["constructor://a", "must begin with tcp://"],
    ["http://localhost", "must begin with tcp://"],
    ["tcp:localhost", "two slashes"],
    ["tcp://", "no host"],
    ["tcp://:9000", "no host"],
    ["tcp://::1:9000", "in brackets"],
    ["tcp://[127.0.0.1]:9000", "127.0.0.1 is not an IPv6 address"],
    ["tcp://[]:9000", "no host"],
    ["tcp://a:65536", "65536 is not a port"],
    ["tcp://a:-1", "-1 is not a port"],
    ["tcp://a:9000x", "9000x is not a port"],
    ["tcp://a:9000/path", "only host:port"],
    ["tcp://user@a:9000", "only host:port"],
    ["tcp://a?b", "only host:port"],
    ["tcp://a b:1", "only host:port"],
    ["unix:", "no path"],
    ["unix:/a\0b", "NUL"],
    [`unix:/${"a".repeat(200)}`, "longer than"],
    ["memory://", "no name"],
  ])("refuses %j and says why", (address, why) => {
    expect(() => parseAddress(address)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_RAP_ADDRESS", message: expect.stringContaining(why) }),
    );
  });

  test("refuses another scheme than the expected one", () => {
    expect(parseAddress("rap://a", "tcp").host).toBe("a");
    expect(() => parseAddress("tls://a", "tcp")).toThrow("this transport takes tcp addresses");
  });

  test("is the inverse of formatAddress", () => {
    for (const host of ["localhost", "127.0.0.1", "::1"]) {
      expect(parseAddress(formatAddress("tcp", host, 1))).toEqual({ scheme: "tcp", host, port: 1 });
    }
  });
});

test.each([
  ["127.0.0.1", true],
  ["127.0.0.9", true],
  ["127.255.255.255", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["10.9.9.9", false],
  ["128.0.0.1", false],
  ["::ffff:10.0.0.1", false],
  ["::127.0.0.1", false],
  ["2001:db8::1", false],
  ["::", false],
  ["127.0.0.1.example.org", false],
  ["", false],
])("whether %s is loopback: %s", (address, loopback) => {
  expect(isLoopback(address)).toBe(loopback);
});

const seed = Date.now() % 2 ** 31;

test(`any text is read as an address, which is written and read the same, or is refused in words (seed ${seed})`, () => {
  const part = fc.constantFrom(
    "tcp",
    "tls",
    "rap",
    "unix",
    "memory",
    ":",
    "//",
    "[",
    "]",
    "::1",
    "host",
    "/",
    "9000",
    "@",
    "?",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (address) => {
      try {
        const parts = parseAddress(address);
        if (parts.scheme !== "tcp" && parts.scheme !== "tls") return;
        expect(parseAddress(formatAddress(parts.scheme, parts.host, parts.port))).toEqual(parts);
      } catch (error) {
        expect(error).toMatchObject({ name: "TypeError", code: "ERR_RAP_ADDRESS" });
      }
    }),
    { seed, numRuns: 5_000 },
  );
});
