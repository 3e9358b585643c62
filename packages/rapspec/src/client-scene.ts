import { equal, match } from "node:assert/strict";
import type { Frame, Hello, Limits } from "@rap/protocol";
import type { Bench, Case } from "./case";
import { data, greet } from "./frames";
import type { ShapeName, Stats } from "./instruction";
import { expectOutcome, type Outcome } from "./outcome";
import { RawListener, type RawPeer } from "./raw-peer";
import type { Subject, SubjectCall } from "./subject";
import type { Tagged } from "./tagged";
import { until } from "./wait";

/** A case in which the suite is the server, and the client is under test. */
export interface ClientCase {
  readonly name: string;
  readonly limits?: Partial<Limits>;
  readonly hello?: Partial<Hello>;
  /** Returns the call whose end is looked at, if there is one. */
  play(scene: ClientScene): Promise<SubjectCall | undefined>;
  readonly gives: Outcome;
  /** What our own text for people contains. */
  readonly why?: string;
  /** What the caller gets: the items and the code of the error, or the result, as JSON. */
  readonly caller?: string;
  /** The message of the error, where it is the server's; and what our own message is, where it is the client's. */
  readonly message?: string;
  readonly text?: RegExp;
}

export interface ClientScene {
  readonly subject: Subject;
  /** The client's number. */
  readonly client: number;
  /** The connection that the client made first. */
  readonly peer: RawPeer;
  /** Lets the client make a call of `default/f` and waits for it to arrive. */
  begin(shape: ShapeName, options?: BeginOptions): Promise<Begun>;
}

export interface BeginOptions {
  args?: readonly Tagged[];
  timeout?: number;
  read?: false;
}

export interface Begun {
  /** The stream. */
  readonly id: number;
  readonly open: Frame & { kind: "open" };
  readonly call: SubjectCall;
}

/** A client that is told this dials once, and then no more. */
const ONCE: Partial<Limits> = { reconnectInitialBackoff: 600_000, reconnectMaxBackoff: 600_000 };

/** The rows of a table as cases. */
export function clientCases(section: string, rows: readonly ClientCase[]): Case[] {
  return rows.map((row) => ({
    section,
    name: row.name,
    gives: row.caller === undefined ? row.gives : `${row.gives}; its caller gets ${row.caller}`,
    run: (bench) => playToClient(bench, row),
  }));
}

async function playToClient(bench: Bench, it: ClientCase): Promise<void> {
  const { subject } = bench;
  await using listener = await RawListener.open((peer) => greet(peer, it.hello));
  const { id: client, error } = await subject.ask({
    op: "connect",
    address: listener.address,
    limits: { ...ONCE, ...it.limits },
  });
  equal(error, undefined);
  const peer = listener.peers[0]!;
  let stopped: Stats | undefined;
  try {
    const begin = async (shape: ShapeName, options: BeginOptions = {}): Promise<Begun> => {
      const before = peer.of("open").length;
      const call = subject.call({ op: "call", of: client, shape, function: "default/f", ...options });
      await until(() => call.over || peer.of("open").length > before);
      const open = peer.of("open").at(-1);
      if (open === undefined) throw new Error(`there was no call, but ${(await call.outcome()).text}`);
      return { id: open.id, open, call };
    };
    const call = await it.play({ subject, client, peer, begin });
    await expectOutcome(peer, it.gives, bench.texts ? it.why : undefined);
    if (it.caller !== undefined) await expectCaller(bench, it, call!);
    await expectHarmless(subject);
    stopped = await subject.ask({ op: "stop", of: client });
  } finally {
    if (stopped === undefined) await subject.ask({ op: "stop", of: client });
  }
  expectNothing(stopped);
}

async function expectCaller(bench: Bench, it: ClientCase, call: SubjectCall): Promise<void> {
  const { text, message } = await call.outcome();
  equal(text, it.caller);
  if (it.message !== undefined) equal(message, it.message);
  if (bench.texts && it.text !== undefined) match(message, it.text);
}

/** A client to another server is answered. */
export async function expectHarmless(subject: Subject): Promise<void> {
  await using listener = await RawListener.open(answerAll);
  const { id } = await subject.ask({ op: "connect", address: listener.address });
  try {
    const call = subject.call({ op: "call", of: id, shape: "unary", function: "default/echo", args: [] });
    equal((await call.outcome()).text, '"unharmed"');
  } finally {
    await subject.ask({ op: "stop", of: id });
  }
}

/** Answers each call as it comes. */
function answerAll(peer: RawPeer): void {
  greet(peer);
  peer.onFrame = (frame) => {
    if (frame.kind === "open") peer.send(data(frame.id, "unharmed", { end: true }));
  };
}

/** A client that was stopped has nothing. */
export function expectNothing({ connections = 0, inFlight = 0, left = 0 }: Stats): void {
  equal(`${connections} connections, ${inFlight} calls, ${left} more`, "0 connections, 0 calls, 0 more");
}

/** A row of one call, and the server's answer to it. */
export function answers(
  name: string,
  answer: (id: number) => readonly (Frame | Uint8Array)[],
  caller: string,
  gives: Outcome = "nothing",
  rest: Partial<ClientCase> & { shape?: ShapeName } = {},
): ClientCase {
  const { shape = "unary", ...more } = rest;
  return {
    name,
    gives,
    caller,
    async play({ peer, begin }) {
      const { id, call } = await begin(shape);
      peer.send(...answer(id));
      return call;
    },
    ...more,
  };
}
