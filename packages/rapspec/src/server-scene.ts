import { deepEqual, equal, ok } from "node:assert/strict";
import type { Frame, Hello, Limits } from "@rap/protocol";
import type { Bench, Case } from "./case";
import { call, codec, greet, KiB } from "./frames";
import { expectOutcome, type Outcome } from "./outcome";
import { RawPeer } from "./raw-peer";
import type { Subject } from "./subject";
import { until } from "./wait";

/** A case in which the suite is the client, and the server is under test. */
export interface ServerCase {
  readonly name: string;
  readonly limits?: Partial<Limits>;
  /** What the peer says of itself; false: it does not introduce itself. */
  readonly hello?: Partial<Hello> | false;
  /** Frames to send, or the whole play. */
  readonly play: readonly (Frame | Uint8Array)[] | ((scene: ServerScene) => Promise<void> | void);
  readonly gives: Outcome;
  /** What our own text for people contains. */
  readonly why?: string;
  /** The server serves TLS, and the peer speaks as if over plain TCP. */
  readonly secure?: true;
  /** The server may not take more than 64 MiB for it. */
  readonly cheap?: true;
}

export interface ServerScene {
  readonly peer: RawPeer;
  readonly subject: Subject;
  /** The server's number. */
  readonly server: number;
}

/** The rows of a table as cases. */
export function serverCases(section: string, rows: readonly ServerCase[]): Case[] {
  return rows.map((row) => ({
    section,
    name: row.name,
    gives: row.gives,
    ...(row.cheap && { alone: true }),
    run: (bench) => playToServer(bench, row),
  }));
}

async function playToServer(bench: Bench, it: ServerCase): Promise<void> {
  const { subject } = bench;
  const { server: identity, ca } = await bench.certificates();
  const secure = it.secure === true;
  const { id: server, address } = await subject.ask({
    op: "serve",
    link: secure ? "tls" : "tcp",
    limits: it.limits ?? {},
    ...(secure && { tls: identity }),
  });
  const healthy = await RawPeer.dial(address!, secure ? ca : undefined);
  const peer = await RawPeer.dial(address!.replace("tls:", "tcp:"));
  try {
    greet(healthy);
    await healthy.waitFor("hello");
    const before = it.cheap && (await subject.stats(server)).bytes;
    if (it.hello !== false) {
      greet(peer, it.hello);
      await peer.waitFor("hello");
    }
    if (typeof it.play === "function") await it.play({ peer, subject, server });
    else peer.send(...it.play);
    await expectOutcome(peer, it.gives, bench.texts ? it.why : undefined);
    if (it.gives === "silence") deepEqual(peer.frames, []);
    if (before !== undefined) {
      const taken = (await subject.stats(server)).bytes! - before;
      ok(taken < 64 * 1024 * KiB, `the server took ${taken} bytes`);
    }
    await expectHarmless(healthy);
    peer.socket.destroy();
    await subject.ask({ op: "release", of: server });
    await expectNothingLeft(subject, server, 1);
  } finally {
    peer.socket.destroy();
    healthy.socket.destroy();
    await subject.ask({ op: "stop", of: server });
  }
}

/** A client on another connection is answered. */
async function expectHarmless(healthy: RawPeer): Promise<void> {
  healthy.send(call(1, "echo", { args: ["unharmed"] }));
  await healthy.waitFor("data");
  const [answer] = healthy.of("data");
  ok(answer !== undefined, "another client was not answered");
  equal(codec.decode(answer.body, 0, answer.body.length, true), "unharmed");
}

/** Waits until the server has so many connections and nothing else. */
export async function expectNothingLeft(subject: Subject, server: number, connections: number): Promise<void> {
  await until(async () => {
    const stats = await subject.stats(server);
    const { inFlight = 0, left = 0 } = stats;
    return (stats.connections ?? connections) === connections && inFlight === 0 && left === 0;
  });
}
