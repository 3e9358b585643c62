import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import {
  type Frame,
  HEAD_BYTES,
  Kind,
  type Limits,
  type Metadata,
  msgpack,
  PREAMBLE,
  Shape,
  writeHead,
} from "@rap/protocol";
import { Server } from "@rap/server";
import { ManualClock } from "@rap/testing";
import { type MemoryOptions, memory } from "@rap/transport";
import { helloOf, RawPeer } from "../../transport/test/link";
import { SILENT } from "./links";

/** One below a limit, at it, and one over it. */
export const AROUND = [-1, 0, 1] as const;

/** Lets everything that is on its way arrive. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A server on a clock of its own, and a peer that sends it whatever the test wants. */
export interface Scene extends AsyncDisposable {
  readonly server: Server;
  readonly clock: ManualClock;
  readonly peer: RawPeer;
  /** Ends the call of `hang` that has waited longest. */
  readonly release: () => void;
  /** Another peer, which has not said anything. */
  dial(): Promise<RawPeer>;
}

/**
 * The server has `hang`, which ends when the test says so, `drip`, the same as a generator, `talk`, a channel that reads
 * nothing, `echo`, `bytes`, which gives so many, and `fail`. The peer has said hello unless `greets` is false.
 */
export async function scene(
  limits: Partial<Limits>,
  { greets = true, ...link }: MemoryOptions & { greets?: boolean } = {},
): Promise<Scene> {
  const clock = new ManualClock(1);
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  const server = new Server({ limits, container, logger: SILENT });
  const waiting: (() => void)[] = [];
  const hang = () => new Promise<void>((resolve) => void waiting.push(resolve));
  server.register({
    hang,
    async *drip() {
      await hang();
      yield 1;
    },
    echo: (value: unknown) => value,
    bytes: (count: number) => new Uint8Array(count),
    fail: () => {
      throw new Error("no");
    },
  });
  server.registerChannel(() => hang(), { name: "talk" });
  const world = memory(link);
  await server.listen({ transport: world, address: "memory://scene" });
  const dial = async () => new RawPeer(await world.dial("memory://scene"));
  const peer = await dial();
  if (greets) greet(peer);
  await settle();
  return {
    server,
    clock,
    peer,
    release: () => waiting.shift()!(),
    dial,
    async [Symbol.asyncDispose]() {
      const stopped = server.shutdown({ graceMs: 0 });
      world.cut();
      await settle();
      clock.advance(10_000);
      await stopped;
    },
  };
}

/** The handshake of a peer that takes whatever it is sent. */
export function greet(peer: RawPeer): void {
  const much = 2 ** 31 - 1;
  peer.write(PREAMBLE);
  peer.send({
    kind: "hello",
    hello: helloOf({ connectionWindowBytes: much, streamWindowBytes: much, streamWindowMessages: much }),
  });
}

/** The frame that opens a call with these arguments. */
export function call(id: number, name: string, args: readonly unknown[] = [], metadata?: Metadata): Frame {
  const shape = name === "talk" ? Shape.CHANNEL : name === "drip" ? Shape.SERVER_STREAM : Shape.UNARY;
  const isChannel = shape === Shape.CHANNEL;
  const body = isChannel ? new Uint8Array(0) : new Uint8Array(msgpack().encode(args));
  const open = { kind: "open", id, shape, target: name.includes("/") ? name : `default/${name}`, body } as const;
  return { ...open, end: !isChannel, ...(metadata !== undefined && { metadata }) };
}

/** The same, of so many calls. */
export const calls = (count: number, name: string): Frame[] =>
  Array.from({ length: count }, (_, index) => call(2 * index + 1, name));

/** A message on a stream, of exactly so many bytes (260 or more) when it is encoded. */
export const message = (id: number, bytes: number): Frame => ({
  kind: "data",
  id,
  body: new Uint8Array(msgpack().encode(new Uint8Array(bytes - 3))),
});

export const cancel = (id: number): Frame => ({ kind: "reset", id, code: 1, flags: 0, body: new Uint8Array(0) });
export const ping: Frame = { kind: "ping", data: new Uint8Array(8) };
/** A frame that is legal and means nothing: a grant of no credit. */
export const odd: Frame = { kind: "credit", id: 0, bytes: 0, messages: 0 };

/** The head of a frame with so many bytes of payload, and none of them. */
export function head(kind: number, length: number): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  writeHead(bytes, 0, length, kind, 0, kind === Kind.HELLO ? 0 : 1);
  return bytes;
}

/** Metadata that is at each of its limits, or so many over it. */
export const METADATA: Record<string, (more: number) => [string, string][]> = {
  metadataEntries: (more) => Array.from({ length: 64 + more }, (_, n) => [`k${n}`, "v"]),
  metadataKeyBytes: (more) => [["k".repeat(128 + more), "v"]],
  metadataValueBytes: (more) => [["k", "v".repeat(4_096 + more)]],
  metadataBytes: (more) => [
    ["k", "v".repeat(4_095)],
    ["l", "v".repeat(4_095 + more)],
  ],
};

/** The same for a frame. No Metadata holds that much, but what is written of one is its pairs. */
export function metadataAround(limit: string, more: number): Metadata {
  const list = METADATA[limit]!(more);
  return Object.assign(list.values(), { size: list.length }) as unknown as Metadata;
}
