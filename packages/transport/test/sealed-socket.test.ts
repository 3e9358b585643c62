import { describe, expect, test } from "@jest/globals";
import { HEAD_BYTES, Kind, PREAMBLE, RECORD_BYTES, writeHead } from "@rap/protocol";
import type { Socket } from "../src/transport";
import { open, pattern, RecordingHost, RecordingSink, World } from "./link";
import { OVERHEAD, ToyCipher, toy } from "./toy-layer";

const exchange = (text: string, kind: number = Kind.EXCHANGE): Buffer => {
  const head = new Uint8Array(HEAD_BYTES);
  writeHead(head, 0, text.length, kind, 0, 0);
  return Buffer.concat([head, Buffer.from(text)]);
};
const HELLO = exchange("hello", Kind.HELLO);

/** What a socket receives, as text where it is sent. */
function listen(socket: Socket): { bytes(): Buffer; closed: boolean } {
  const pieces: Uint8Array[] = [];
  const end = { bytes: () => Buffer.concat(pieces), closed: false };
  socket.start({
    onData: (bytes) => void pieces.push(bytes),
    onDrain: () => {},
    onClose: () => {
      end.closed = true;
    },
  });
  return end;
}

describe("two sides with a secure layer", () => {
  test("meet, and all that they say after the exchange is sealed, in records of 64 KiB at most", async () => {
    const world = new World();
    const { layer, ciphers } = toy();
    const link = await world.link({ secure: layer });
    const sink = new RecordingSink();
    open(link.client, sink, { bytes: 200_000 });
    await world.settle();
    expect(link.serverHost.sinks[0]!.messages[0]!.equals(pattern(200_000))).toBe(true);
    const { stream } = link.serverHost.sinks[0]!;
    stream.send(pattern(300_000, 3), false);
    await world.settle();
    expect(sink.messages[0]!.equals(pattern(300_000, 3))).toBe(true);
    const [server, client] = ciphers as [ToyCipher, ToyCipher];
    expect([server.opened, client.opened]).toEqual([client.sealed, server.sealed]);
    expect(Math.max(server.largest, client.largest)).toBe(RECORD_BYTES);
    // What counts as written is what the socket was given, so that a peer that takes nothing is seen.
    expect(link.client.progress().written).toBe(
      link.client.stats().bytesSent + client.sealed * (HEAD_BYTES + OVERHEAD),
    );
    link.client.abort(0, "over");
    await world.settle();
    expect([server.closed, client.closed]).toEqual([true, true]);
  });

  test("meet in any cutting of the stream, and with an answer that takes its time", async () => {
    const world = new World({ chunk: 1 });
    let answer = (): void => {};
    const { layer } = toy(() => new Promise((resolve) => (answer = resolve)));
    const link = await world.link({ secure: layer });
    expect([link.client.ready, link.server.ready]).toEqual([false, false]);
    answer();
    await world.settle();
    expect([link.client.ready, link.server.ready]).toEqual([true, true]);
    open(link.client, new RecordingSink(), { bytes: 500 });
    await world.settle();
    expect(link.serverHost.sinks[0]!.messages[0]).toEqual(Buffer.from(pattern(500)));
  });

  test("give up in time when the answer does not come, and close a cipher that comes too late", async () => {
    const world = new World();
    let answer = (): void => {};
    const { layer, ciphers } = toy(() => new Promise((resolve) => (answer = resolve)));
    const link = await world.link({ secure: layer });
    await world.pass(5_100);
    expect(link.serverHost.error).toMatchObject({ code: "UNAVAILABLE" });
    expect(link.clientHost.error).toMatchObject({ code: "UNAVAILABLE" });
    answer();
    await world.settle();
    expect(ciphers.map(({ closed }) => closed)).toEqual([true]);
  });

  test("end when a cipher seals no more", async () => {
    const world = new World();
    const { layer, ciphers } = toy();
    const link = await world.link({ secure: layer });
    ciphers[1]!.last = ciphers[1]!.sealed;
    open(link.client, new RecordingSink());
    await world.settle();
    expect(link.clientHost.error?.message).toContain("the key is used up");
    expect(link.serverHost.sinks).toEqual([]);
  });
});

describe("a server with a secure layer", () => {
  test.each([
    ["a HELLO", Buffer.concat([PREAMBLE, HELLO])],
    ["a record without an exchange", Buffer.concat([PREAMBLE, exchange("what", Kind.SEALED)])],
    ["a GOAWAY", Buffer.concat([PREAMBLE, exchange("\0\0\0\0\0why", Kind.GOAWAY)])],
    ["a bad offer", Buffer.concat([PREAMBLE, exchange("nonsense")])],
    ["two offers", Buffer.concat([PREAMBLE, exchange("offer"), exchange("offer")])],
    ["an offer and more", Buffer.concat([PREAMBLE, exchange("offer"), HELLO])],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["an offer that is too large", Buffer.concat([PREAMBLE, exchange("x".repeat(16 * 1024 + 1))])],
  ])("refuses a peer that begins with %s, and says nothing", async (_what, bytes) => {
    const world = new World();
    const [dialled, accepted] = await world.sockets();
    const host = new RecordingHost();
    world.connection(accepted, "server", host, { secure: toy().layer });
    const heard = listen(dialled);
    dialled.write(bytes);
    await world.settle();
    expect(heard.closed).toBe(true);
    expect(heard.bytes()).toHaveLength(0);
    expect(host.error).toMatchObject({ code: "UNAVAILABLE" });
    expect(host.sinks).toEqual([]);
  });

  test("refuses a peer that stops encrypting, in the middle of what came with it", async () => {
    const { world, host, peer, cipher } = await server();
    peer.write(Buffer.concat([cipher.seal(PREAMBLE), exchange("\0\0\0\0\0why", Kind.GOAWAY)]));
    await world.settle();
    expect(host.error?.message).toContain("the peer stopped encrypting");
    expect(peer.closed).toBe(true);
  });

  test.each([
    ["out of its place", (record: Uint8Array) => record.fill(9, HEAD_BYTES, HEAD_BYTES + 1)],
    ["that is empty", (record: Uint8Array) => record.subarray(0, HEAD_BYTES + OVERHEAD)],
    ["on a stream", (record: Uint8Array) => record.fill(1, HEAD_BYTES - 1, HEAD_BYTES)],
  ])("refuses a record %s", async (_what, change) => {
    const { world, host, peer, cipher } = await server();
    const record = change(cipher.seal(PREAMBLE));
    record[3] = record.length - HEAD_BYTES;
    peer.write(record);
    await world.settle();
    expect(host.error).toMatchObject({ code: "UNAVAILABLE" });
    expect(peer.closed).toBe(true);
    expect(peer.frames).toHaveLength(1);
  });

  test("refuses a record over 64 KiB as soon as its head is there", async () => {
    const { world, host, peer } = await server();
    const head = new Uint8Array(HEAD_BYTES);
    writeHead(head, 0, RECORD_BYTES + OVERHEAD + 1, Kind.SEALED, 0, 0);
    peer.write(head);
    await world.settle();
    expect(host.error?.message).toContain("over the limit");
  });

  test("does not wait longer for the rest of a record than for that of a frame", async () => {
    const world = new World();
    const [dialled, accepted] = await world.sockets();
    const host = new RecordingHost();
    const { layer, ciphers } = toy();
    world.connection(accepted, "server", host, { secure: layer, limits: { frameTimeout: 1_000 } });
    const client = world.connection(dialled, "client", new RecordingHost(), { secure: layer });
    await world.settle();
    expect(client.ready).toBe(true);
    const record = ciphers[1]!.seal(pattern(100));
    dialled.write(record.subarray(0, 50));
    await world.pass(500);
    dialled.write(record.subarray(50, 51));
    await world.pass(900);
    expect(host.error?.message).toContain("SLOW_FRAME");
  });
});

describe("a client with a secure layer", () => {
  const WORDS = /the server ended the key exchange: it does not encrypt, or does not accept this client/;

  test("and a server without one do not meet, and both say why", async () => {
    const world = new World();
    const link = await world.link({ secure: toy().layer }, {});
    expect(link.clientHost.error?.message).toMatch(WORDS);
    expect(link.serverHost.error?.message).toContain("the peer encrypts, this side does not");
  });

  test("hears the same words whatever the server did not like", async () => {
    for (const bad of [toy(() => Promise.reject(new Error("who is that?"))), toy(() => undefined, "nonsense")]) {
      const world = new World();
      const link = await world.link({ secure: toy().layer }, { secure: bad.layer });
      expect(link.clientHost.events).toHaveLength(1);
      expect(link.clientHost.error).toMatchObject({ code: "UNAVAILABLE" });
    }
  });

  test("says nothing of itself before the server has proved itself", async () => {
    const world = new World();
    const { peer } = await world.raw("client", { secure: toy().layer });
    const before = peer.chunks.reduce((sum, size) => sum + size, 0);
    expect(before).toBe(PREAMBLE.length + HEAD_BYTES + "offer".length);
    peer.write(Buffer.concat([PREAMBLE, exchange("nonsense")]));
    await world.settle();
    expect(peer.chunks.reduce((sum, size) => sum + size, 0)).toBe(before);
    expect(peer.closed).toBe(true);
  });

  test.each([
    ["HELLO", HELLO],
    ["GOAWAY", exchange("\0\0\0\0\0why", Kind.GOAWAY)],
  ])("refuses a server that answers with a plain %s", async (_what, bytes) => {
    const world = new World();
    const { host, peer } = await world.raw("client", { secure: toy().layer });
    peer.write(Buffer.concat([PREAMBLE, bytes]));
    await world.settle();
    expect(host.error?.message).toContain("the peer does not encrypt");
    expect(peer.closed).toBe(true);
  });

  test("takes a cut within a record for an error", async () => {
    const world = new World();
    const { host, peer } = await world.raw("client", { secure: toy().layer });
    peer.write(Buffer.concat([PREAMBLE, exchange("answer"), new ToyCipher().seal(pattern(100)).subarray(0, 60)]));
    peer.socket.end();
    await world.settle();
    expect(host.error?.message).toContain("cut off within a record");
  });
});

/** A server's connection after the exchange, and a peer with a cipher that says what the test wants. */
async function server() {
  const world = new World();
  const { connection, host, peer } = await world.raw("server", { secure: toy().layer });
  peer.write(Buffer.concat([PREAMBLE, exchange("offer")]));
  await world.settle();
  expect(peer.frames).toHaveLength(1);
  return { world, connection, host, peer, cipher: new ToyCipher() };
}
