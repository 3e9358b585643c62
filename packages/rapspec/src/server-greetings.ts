import { Kind, PREAMBLE } from "@rap/protocol";
import { HELLO, KiB, NONE, raw, times } from "./frames";
import { type ServerCase, serverCases } from "./server-scene";
import { wait } from "./wait";

// Also what the other client has, whose handshake a busy machine delays.
const SHORT = { handshakeTimeout: 1_000 };

const CLIENT_HELLO = Buffer.from("1603010200010001fc0303", "hex");

const GREETINGS: readonly ServerCase[] = [
  { name: "nothing at all", limits: SHORT, play: [], gives: "silence" },
  { name: "garbage", play: [Uint8Array.from(times(64, (i) => (i * 37 + 11) & 0xff))], gives: "silence" },
  { name: "zeros", play: [new Uint8Array(4096)], gives: "silence" },
  { name: "an HTTP request", play: [Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")], gives: "silence" },
  { name: "TLS on the plain port", play: [CLIENT_HELLO], gives: "silence" },
  { name: "half a preamble", limits: SHORT, play: [PREAMBLE.subarray(0, 3)], gives: "silence" },
  { name: "a preamble of another version", play: [Buffer.from("rap/2\n")], gives: "silence" },
  { name: "a preamble and nothing else", limits: SHORT, play: [PREAMBLE], gives: "silence" },
  { name: "half a HELLO", limits: SHORT, play: [PREAMBLE, HELLO.subarray(0, 20)], gives: "silence" },
  {
    name: "a HELLO of 16 KiB and a byte",
    play: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 16 * KiB + 1)],
    gives: "silence",
  },
  { name: "a HELLO of 4 GiB", play: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 0xffffffff)], gives: "silence" },
  ...[Kind.PING, Kind.GOAWAY, Kind.OPEN, Kind.DATA, Kind.CREDIT, 0x80].map((kind) => ({
    name: `frame kind ${kind} before HELLO`,
    play: [PREAMBLE, raw(kind, 0, 0, new Uint8Array(8))],
    gives: "silence" as const,
  })),
  {
    name: "a HELLO that comes one byte at a time",
    limits: SHORT,
    play: async ({ peer }) => {
      for (const byte of [...PREAMBLE, ...HELLO]) {
        peer.write(Uint8Array.of(byte));
        await wait(20);
        if (peer.closed) return;
      }
    },
    gives: "silence",
  },
  { name: "half a TLS handshake", secure: true, limits: SHORT, play: [CLIENT_HELLO], gives: "silence" },
  { name: "nothing at all on the TLS port", secure: true, limits: SHORT, play: [], gives: "silence" },
  { name: "a plain greeting on the TLS port", secure: true, play: [PREAMBLE, HELLO], gives: "silence" },
  {
    name: "a second preamble",
    play: [PREAMBLE, HELLO, PREAMBLE, HELLO],
    gives: "GOAWAY FRAME_TOO_LARGE",
    why: "a frame of",
  },
  { name: "a second HELLO", play: [PREAMBLE, HELLO, HELLO], gives: "GOAWAY PROTOCOL_ERROR", why: "second HELLO" },
];

/** What a server makes of whoever greets it. */
export const serverGreetings = serverCases(
  "a server is greeted with",
  GREETINGS.map((it) => ({ ...it, hello: false })),
);
