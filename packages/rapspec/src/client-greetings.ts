import { deepEqual, equal, match } from "node:assert/strict";
import { encodeFrame, Kind, type Limits, PREAMBLE } from "@rap/protocol";
import type { Bench, Case } from "./case";
import { expectHarmless, expectNothing } from "./client-scene";
import { goaway, greet, helloOf, KiB, NONE, PING, raw } from "./frames";
import { RawListener } from "./raw-peer";
import { until } from "./wait";

const SHORT = { handshakeTimeout: 150 };

/** What a client says of a server that is none, by what that says first. */
const GREETED: Readonly<Record<string, { says: readonly Uint8Array[]; limits?: Partial<Limits>; gives: RegExp }>> = {
  "nothing at all": { says: [], limits: SHORT, gives: /handshake took too long/ },
  "a preamble and nothing else": { says: [PREAMBLE], limits: SHORT, gives: /handshake took too long/ },
  garbage: { says: [Buffer.from("\u0001\u0002garbage")], gives: /does not speak rap\/1: it begins with/ },
  "an HTTP answer": { says: [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], gives: /HTTP server/ },
  "a greeting of SSH": { says: [Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")], gives: /SSH/ },
  "an alert of TLS": { says: [Buffer.from("15030300020228", "hex")], gives: /TLS/ },
  "a frame before HELLO": { says: [PREAMBLE, encodeFrame(PING)], gives: /before the handshake is done/ },
  "a HELLO that is too large": { says: [PREAMBLE, raw(Kind.HELLO, 0, 0, NONE, 16 * KiB + 1)], gives: /over the limit/ },
  "a HELLO with a codec that was not offered": {
    says: [PREAMBLE, encodeFrame({ kind: "hello", hello: helloOf({ codecs: ["cbor"] }) })],
    gives: /no common codec/,
  },
  "GOAWAY in place of HELLO": {
    says: [PREAMBLE, encodeFrame(goaway(11, 0, "come back tomorrow"))],
    gives: /REFUSED.*come back tomorrow/,
  },
};

async function greetClient(bench: Bench, { says, limits = {}, gives }: (typeof GREETED)[string]): Promise<void> {
  const { subject } = bench;
  await using listener = await RawListener.open((peer) => peer.send(...says));
  const { error, ...left } = await subject.ask({ op: "connect", address: listener.address, limits });
  equal(error?.code, "UNAVAILABLE");
  if (bench.texts) match(error!.message, gives);
  expectNothing(left);
  await expectHarmless(subject);
}

/** Going away at once is no reason to come back at once. */
async function goAwayAtOnce({ subject }: Bench): Promise<void> {
  await using listener = await RawListener.open((peer) => {
    greet(peer);
    peer.send(goaway(0, 0, "not now"));
  });
  const limits = { reconnectInitialBackoff: 60_000, reconnectMaxBackoff: 60_000 };
  const { id } = await subject.ask({ op: "connect", address: listener.address, limits });
  await until(() => listener.peers[0]!.closed);
  const call = subject.call({ op: "call", of: id, shape: "unary", function: "default/f", timeout: 50 });
  equal((await call.outcome()).text, "DEADLINE_EXCEEDED");
  deepEqual([call.last?.error?.maybeExecuted, listener.peers.length], [false, 1]);
  expectNothing(await subject.ask({ op: "stop", of: id }));
}

/** What a client makes of whoever greets it. */
export const clientGreetings: readonly Case[] = [
  ...Object.entries(GREETED).map(
    ([name, row]): Case => ({
      section: "a client is greeted with",
      name,
      gives: "UNAVAILABLE",
      run: (bench) => greetClient(bench, row),
    }),
  ),
  {
    section: "a client is greeted with",
    name: "GOAWAY each time it comes",
    gives: "a pause before it dials again",
    run: goAwayAtOnce,
  },
];
