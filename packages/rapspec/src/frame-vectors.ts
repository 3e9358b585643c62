import { deepEqual, equal } from "node:assert/strict";
import { type Limits, PREAMBLE } from "@rap/protocol";
import type { Bench, Case } from "./case";
import { greet } from "./frames";
import { expectOutcome, type Outcome } from "./outcome";
import { RawListener, RawPeer } from "./raw-peer";
import { type MalformedVector, readFrameVectors } from "./vectors";
import { until } from "./wait";

const ONCE: Partial<Limits> = { reconnectInitialBackoff: 600_000, reconnectMaxBackoff: 600_000 };

async function playToServer(bench: Bench, vector: MalformedVector): Promise<void> {
  const { subject } = bench;
  const { id, address } = await subject.ask({ op: "serve" });
  const peer = await RawPeer.dial(address!);
  try {
    if (vector.phase === undefined) {
      greet(peer);
      await peer.waitFor("hello");
      peer.send(...vector.before);
    } else if (vector.phase === "handshake") peer.write(PREAMBLE);
    await playBytes(bench, peer, vector);
    if (vector.then === "silence") deepEqual(peer.frames, []);
  } finally {
    peer.socket.destroy();
    await subject.ask({ op: "stop", of: id });
  }
}

async function playToClient(bench: Bench, vector: MalformedVector): Promise<void> {
  const { subject } = bench;
  await using listener = await RawListener.open((peer) => {
    if (vector.phase === undefined) greet(peer);
  });
  const limits = { ...ONCE, connectTimeout: 10_000 };
  const connecting = subject.ask({ op: "connect", address: listener.address, limits });
  if (vector.phase !== undefined) {
    await until(() => listener.peers.length > 0);
    const [peer] = listener.peers;
    if (vector.phase === "handshake") peer!.write(PREAMBLE);
    await playBytes(bench, peer!, vector);
    equal((await connecting).error?.code, "UNAVAILABLE");
    return;
  }
  const { id } = await connecting;
  try {
    const peer = listener.peers[0]!;
    subject.call({ op: "call", of: id, shape: "unary", function: "default/f" });
    await peer.waitFor("open");
    peer.send(...vector.before);
    await playBytes(bench, peer, vector);
  } finally {
    await subject.ask({ op: "stop", of: id });
  }
}

async function playBytes(bench: Bench, peer: RawPeer, { bytes, then, why }: MalformedVector): Promise<void> {
  peer.write(bytes);
  const outcome = then === "glitch" ? "nothing" : (then as Outcome);
  await expectOutcome(peer, outcome, bench.texts ? why : undefined);
}

/** The malformed half of the vectors, played to a server and to a client. */
export const frameVectors: readonly Case[] = readFrameVectors().malformed.map((vector) => ({
  section: `vectors: a ${vector.to} gets`,
  name: `${vector.name}${vector.phase === undefined ? "" : `, as its ${vector.phase}`}`,
  gives: vector.then,
  run: (bench) => (vector.to === "server" ? playToServer(bench, vector) : playToClient(bench, vector)),
}));
