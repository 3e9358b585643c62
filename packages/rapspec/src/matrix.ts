import { deepEqual, equal } from "node:assert/strict";
import type { Bench, Case } from "./case";
import { times } from "./frames";
import { LINKS, type Link, type Secrets, type ShapeName } from "./instruction";
import type { SubjectCall } from "./subject";
import { tag } from "./tagged";

// Client and server under test with each other, over every link and in every shape.

const KEY = "0123456789abcdef";
const parts = times(5, (i) => tag(new Uint8Array(10_000 * i).fill(i)));

const TALKS: Readonly<Record<Exclude<ShapeName, "bidi stream">, (call: CallOf) => Promise<void>>> = {
  async unary(call) {
    const made = call("unary", "exchange", [tag(new Uint8Array(200_000)), 3]);
    equal((await made.outcome()).text, JSON.stringify({ got: 200_000, back: { $bytes: "000000" } }));
  },
  async stream(call) {
    const made = call("stream", "items", [1_000]);
    equal((await made.outcome()).text, `${JSON.stringify(times(1_000, (i) => i))} and the end`);
  },
  async channel(call) {
    const made = call("channel", "talk");
    for (const part of parts) await made.send(part);
    await made.tell("end");
    await made.outcome();
    deepEqual(made.items.map(tag), parts);
  },
  async "client stream"(call) {
    const made = call("client stream", "sum", [null]);
    for (const part of parts) await made.send(part);
    await made.tell("end");
    equal((await made.outcome()).text, "100000");
  },
};

type CallOf = (shape: ShapeName, name: string, args?: Parameters<typeof tag>[0][]) => SubjectCall;

async function talkOver(bench: Bench, link: Link, talk: (call: CallOf) => Promise<void>): Promise<void> {
  const { subject } = bench;
  const { server: serving, client: calling } = await secretsOf(bench, link);
  const { id: server, address } = await subject.ask({ op: "serve", link, ...serving });
  try {
    const { id: client, error } = await subject.ask({ op: "connect", link, address: address!, ...calling });
    equal(error, undefined);
    try {
      await talk((shape, name, args = []) =>
        subject.call({ op: "call", of: client, shape, function: `default/${name}`, args: args as [] }),
      );
    } finally {
      await subject.ask({ op: "stop", of: client });
    }
  } finally {
    await subject.ask({ op: "stop", of: server });
  }
}

async function secretsOf(bench: Bench, link: Link): Promise<{ server: Secrets; client: Secrets }> {
  const { ca, server, client } = await bench.certificates();
  const key = link.startsWith("crypto") ? { key: KEY } : {};
  if (!link.includes("tls")) return { server: key, client: key };
  const mutual = link === "mutual tls";
  return {
    server: { ...key, tls: mutual ? { ...server, ca } : server },
    client: { ...key, tls: mutual ? { ...client, ca } : { ca } },
  };
}

/** Each link with each shape. */
export const matrix: readonly Case[] = LINKS.flatMap((link) =>
  Object.entries(TALKS).map(([shape, talk]) => ({
    section: `a client and a server talk over ${link}`,
    name: shape,
    gives: "what was sent",
    run: (bench: Bench) => talkOver(bench, link, talk),
  })),
);
