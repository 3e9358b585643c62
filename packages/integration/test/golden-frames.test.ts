import { expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { decodeError, type Frame, goawayName, msgpack, PREAMBLE } from "@rap/protocol";
import { Server } from "@rap/server";
import { type Listener, type MemoryTransport, memory, type Socket } from "@rap/transport";
import { type MalformedVector, readFrameVectors } from "../../protocol/test/vectors";
import { helloOf, RawPeer } from "../../transport/test/link";
import { ends } from "./ends";

// The malformed half of vectors/frames.json, played to a real server and a real client by a peer that knows no better.

const { malformed } = readFrameVectors();
const ADDRESS = "memory://golden";
/** A server with `default/echo` and the channel `default/chat`. */
async function serve(transport: MemoryTransport): Promise<Server> {
  const server = new Server();
  server.register({ echo: (value: unknown) => value });
  server.registerChannel(async function chat(channel) {
    await channel.waitClose();
  });
  await server.listen({ transport, address: ADDRESS });
  ends.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

/** A raw peer of a server. */
async function peerOfServer(transport: MemoryTransport): Promise<RawPeer> {
  return new RawPeer(await transport.dial(ADDRESS));
}

/** A raw peer that a client has come to, with a call on its way unless the handshake is what the test is about. */
async function peerOfClient(transport: MemoryTransport, phase: MalformedVector["phase"]): Promise<RawPeer> {
  let peer: RawPeer | undefined;
  const listener: Listener = await transport.listen(ADDRESS, (socket: Socket) => {
    peer ??= new RawPeer(socket);
    if (phase === undefined) greet(peer);
  });
  const client = new Client({ target: ADDRESS, transports: [transport], reconnect: { initial: 60_000, max: 60_000 } });
  ends.push(
    () => client.stop({ graceMs: 0 }),
    () => listener.close(),
  );
  const starting = client.start();
  if (phase === undefined) {
    await starting;
    client.invokeByName("f").catch(() => undefined);
  } else starting.catch(() => undefined);
  await until(() => peer !== undefined);
  return peer!;
}

/** What a raw peer says first. */
function greet(peer: RawPeer): void {
  peer.write(PREAMBLE);
  peer.send({ kind: "hello", hello: helloOf() });
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const PING: Frame = { kind: "ping", data: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) };
const isAnswer = (frame: { kind: string; data?: Uint8Array }): boolean =>
  frame.kind === "pong" && frame.data?.[0] === 9;

test.each(malformed.map((it) => [`${it.to}: ${it.name}: ${it.then}`, it] as const))("%s", async (_, vector) => {
  const { to, phase, before, bytes, then, why = "" } = vector;
  const transport = memory();
  if (to === "server") await serve(transport);
  const peer: RawPeer = await (to === "server" ? peerOfServer(transport) : peerOfClient(transport, phase));
  ends.push(async () => peer.socket.destroy());
  if (phase === "handshake") peer.write(PREAMBLE);
  else if (phase === undefined && to === "server") greet(peer);
  if (phase === undefined) {
    await until(() => peer.of(to === "server" ? "hello" : "open").length > 0);
    for (const each of before) peer.write(each);
  }
  peer.write(bytes);

  const [what, code] = then.split(" ");
  if (what === "silence" || what === "GOAWAY") {
    await until(() => peer.closed);
    const goaways = peer.of("goaway").map(({ code, reason }) => ({ code: goawayName(code), reason }));
    expect(goaways).toEqual(what === "silence" ? [] : [{ code, reason: expect.stringContaining(why) }]);
    if (what === "silence" && to === "server") expect(peer.frames).toEqual([]);
    return;
  }
  // The connection lives on.
  peer.send(PING);
  await until(() => peer.frames.some(isAnswer));
  const errors = peer.of("reset").map(({ code, flags, body }) => {
    const payload = Uint8Array.of(code, flags, ...body);
    const error = decodeError(payload, 0, payload.length, msgpack());
    return { code: error.code, message: error.message };
  });
  expect(errors).toEqual(what === "RESET" ? [{ code, message: expect.stringContaining(why) }] : []);
  expect(peer.of("goaway")).toEqual([]);
  expect(peer.closed).toBe(false);
});
