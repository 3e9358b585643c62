import { describe, expect, test } from "@jest/globals";
import {
  type Codec,
  decodeHello,
  encodeHello,
  GoawayCode,
  goawayName,
  LIMITS,
  limits,
  Metadata,
  MINOR_VERSION,
  msgpack,
  PayloadError,
} from "@rap/protocol";
import { Handshake, type HandshakeOptions } from "../src/handshake";
import { Violation } from "../src/violation";
import { helloOf, World } from "./link";

const codecNamed = (name: string): Codec => ({ ...msgpack(), name });
const [A, B, C] = ["a", "b", "c"].map(codecNamed) as [Codec, Codec, Codec];

function newHandshake(role: HandshakeOptions["role"], changes: Partial<HandshakeOptions> = {}): Handshake {
  return new Handshake({ role, limits: LIMITS, codecs: [A], info: "test", ...changes });
}

function hear(handshake: Handshake, changes: Parameters<typeof helloOf>[0]): unknown {
  const bytes = encodeHello(helloOf(changes));
  return handshake.read(bytes, 0, bytes.length);
}

function said(handshake: Handshake) {
  const bytes = handshake.hello();
  return decodeHello(bytes, 0, bytes.length);
}

describe("what a side says of itself", () => {
  test("is its limits, its codecs, who it is and its metadata", () => {
    const table = limits({ maxInFlight: 5, maxMessageBytes: 1_000, keepaliveInterval: 7 });
    const metadata = new Metadata({ tenant: "t1" });
    const hello = said(newHandshake("client", { limits: table, codecs: [A, B], info: "me/1", metadata }));
    expect(hello).toMatchObject({
      minor: MINOR_VERSION,
      codecs: ["a", "b"],
      maxInFlight: 5,
      maxMessageBytes: 1_000,
      keepaliveInterval: 7,
      streamWindowBytes: LIMITS.streamWindowBytes,
      streamWindowMessages: LIMITS.streamWindowMessages,
      connectionWindowBytes: LIMITS.connectionWindowBytes,
      maxStreams: LIMITS.maxStreams,
      maxChannels: LIMITS.maxChannels,
      info: "me/1",
    });
    expect([...hello.metadata!]).toEqual([["tenant", "t1"]]);
    expect(said(newHandshake("client")).metadata).toBeUndefined();
  });

  test("fits into what a peer reads before the handshake, with all the metadata that there may be", () => {
    const metadata = new Metadata({ a: "x".repeat(4_000), b: "x".repeat(4_000) });
    expect(newHandshake("client", { metadata }).hello().length).toBeLessThan(LIMITS.maxHandshakeBytes);
  });
});

describe("the codec", () => {
  test.each<[Codec[], Codec[], string]>([
    [[A], [A], "a"],
    [[A, B], [B, A], "a"],
    [[C, B], [A, B], "b"],
    [[A, B, C], [C], "c"],
  ])("is the client's first that the server knows: %#", (client, server, name) => {
    const near = newHandshake("client", { codecs: client });
    const far = newHandshake("server", { codecs: server });
    hear(far, { codecs: said(near).codecs });
    expect([far.codec?.name, said(far).codecs]).toEqual([name, [name]]);
    hear(near, { codecs: said(far).codecs });
    expect(near.codec).toBe(client.find((codec) => codec.name === name));
  });

  test.each<[HandshakeOptions["role"], string[], string]>([
    ["server", ["b", "c"], "no common codec: the client has b, c, the server a"],
    ["server", [], "no common codec: the client has , the server a"],
    ["client", ["b"], "no common codec: the client has a, the server b"],
    ["client", [], "no common codec"],
  ])("is missed with a reason: %s, %j", (role, codecs, message) => {
    const handshake = newHandshake(role);
    const refused = refusalOf(() => hear(handshake, { codecs }));
    expect([goawayName(refused.code), refused.message]).toEqual(["HANDSHAKE_FAILED", expect.stringContaining(message)]);
    expect(handshake.codec).toBeUndefined();
  });

  test("is not chosen from what a server lists behind its choice", () => {
    const near = newHandshake("client", { codecs: [A, B] });
    expect(refusalOf(() => hear(near, { codecs: ["c", "a"] })).code).toBe(GoawayCode.HANDSHAKE_FAILED);
  });
});

describe("an extension that is not known", () => {
  test("is ignored below 8000, and refused from there on", () => {
    const extensions = (type: number) => ({ codecs: ["a"], extensions: new Map([[type, Uint8Array.of(1)]]) });
    for (const type of [0, 1, 0x7fff]) expect(hear(newHandshake("server"), extensions(type))).toBeDefined();
    for (const type of [0x8000, 0xffff]) {
      const refused = refusalOf(() => hear(newHandshake("server"), extensions(type)));
      expect([goawayName(refused.code), refused.message]).toEqual([
        "HANDSHAKE_FAILED",
        `this side does not know the extension ${type} of HELLO`,
      ]);
    }
  });
});

test("a later minor version is heard out: the smaller one is spoken", () => {
  expect(hear(newHandshake("server"), { codecs: ["a"], minor: 200 })).toMatchObject({ minor: 200 });
  expect(said(newHandshake("server")).minor).toBe(0);
});

test("a HELLO that cannot be read is a PayloadError", () => {
  expect(() => newHandshake("server").read(Uint8Array.of(0), 0, 1)).toThrow(PayloadError);
});

test("the first codec of the client's that the server knows is used", async () => {
  const { client, server } = await new World().link(
    { codecs: [codecNamed("a"), codecNamed("b"), codecNamed("c")] },
    { codecs: [codecNamed("c"), codecNamed("b")] },
  );
  expect([client.codec.name, server.codec.name]).toEqual(["b", "b"]);
});

test("without a common codec both sides say which there are", async () => {
  const { clientHost, serverHost } = await new World().link(
    { codecs: [codecNamed("a"), codecNamed("b")] },
    { codecs: [codecNamed("c")] },
  );
  const reason = "(HANDSHAKE_FAILED): no common codec: the client has a, b, the server c";
  expect(serverHost.events).toEqual([`close: the connection was closed ${reason}`]);
  expect(clientHost.events).toContain(`close: the peer closed the connection ${reason}`);
});

function refusalOf(action: () => unknown): Violation {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(Violation);
    return error as Violation;
  }
  throw new Error("it was not refused");
}
