import { describe, expect, test } from "@jest/globals";
import { type Channel, Client, type RapError } from "@rap/client";
import { encodeFrame, type Frame, Metadata, Shape } from "@rap/protocol";
import { Server } from "@rap/server";
import { memory, type Peer } from "@rap/transport";
import { call, channel, greet } from "../../rapspec/src/frames";
import { RawPeer } from "../../transport/test/link";
import { ends } from "./ends";
import { LINKS, SILENT, until } from "./links";

function register(server: Server): void {
  const hidden = { private: true };
  server.register({ open: () => "open" });
  server.register({ secret: () => "secret" }, hidden);
  server.register({ secret: () => "secret" }, { ...hidden, group: "admin" });
  server.register(
    {
      async *stream() {
        yield "secret";
      },
    },
    hidden,
  );
  server.registerChannel(async function talker(channel: Channel<never, string>) {
    await channel.write("secret");
  }, hidden);
}

/** A server in memory whose peers are as `peer` says. */
async function serve(peer: Partial<Peer>) {
  const transport = memory({ peer });
  const server = new Server({ logger: SILENT, reflection: true });
  register(server);
  await server.listen({ transport, address: "memory://here" });
  ends.push(() => server.shutdown({ graceMs: 0 }));
  return transport;
}

const REMOTE: Partial<Peer> = { local: false, address: "203.0.113.7", port: 4711 };

describe("a private function", () => {
  test.each(LINKS)("is there for a peer on this machine, over $name", async (link) => {
    await using pair = await link.open(register);
    expect(await pair.client.invokeByName("secret")).toBe("secret");
    expect(await pair.client.invokeByName("secret", [], { group: "admin" })).toBe("secret");
    const stream = pair.client.registerGen<() => AsyncIterable<string>>("stream")();
    expect((await stream.next()).value).toBe("secret");
    await pair.client.registerChannel<(c: Channel<never, string>) => Promise<void>>("talker")(async (channel) => {
      expect(await channel.readBody()).toBe("secret");
    });
  });

  // Each with a name of the same length that nobody registered.
  const CALLS: readonly (readonly [string, (name: string) => Frame, real: string, unknown: string])[] = [
    ["a plain call", (name) => call(1, name, { args: [] }), "secret", "nobody"],
    ["a call in its group", (name) => call(1, name, { args: [] }), "admin/secret", "admin/nobody"],
    ["a call with arguments that nobody takes", (name) => call(1, name, { args: 7 }), "secret", "nobody"],
    ["a call without arguments", (name) => call(1, name, { body: new Uint8Array(0) }), "secret", "nobody"],
    ["a call in the shape of a stream", (name) => call(1, name, { shape: Shape.SERVER_STREAM }), "stream", "nobody"],
    ["a stream called as a function", (name) => call(1, name), "stream", "nobody"],
    ["a client stream", (name) => call(1, name, { shape: Shape.CLIENT_STREAM, args: [null] }), "secret", "nobody"],
    ["a channel", (name) => channel(1, name), "talker", "nobody"],
    ["a channel called as a function", (name) => call(1, name), "talker", "nobody"],
    ["a function opened as a channel", (name) => channel(1, name), "secret", "nobody"],
    [
      "a call in a session that does not exist",
      (name) => call(1, name, { metadata: new Metadata({ "rap-session": "x" }) }),
      "secret",
      "nobody",
    ],
  ];

  test.each(CALLS)(
    "is to a peer elsewhere what nobody registered, byte for byte: %s",
    async (_, open, real, unknown) => {
      const transport = await serve(REMOTE);
      const answers: Buffer[] = [];
      for (const name of [real, unknown]) {
        const peer = new RawPeer(await transport.dial("memory://here"));
        greet(peer);
        await until(() => peer.of("hello").length === 1);
        peer.send(open(name));
        await until(() => peer.of("reset").length === 1);
        expect(peer.of("reset")[0]!.code).toBe(5);
        const rest = peer.frames.filter(({ kind }) => kind !== "hello") as Frame[];
        const bytes = Buffer.concat(rest.map(encodeFrame));
        answers.push(Buffer.from(bytes.toString("latin1").replaceAll(name, unknown), "latin1"));
        peer.socket.destroy();
      }
      expect(answers[0]!.toString("latin1")).toBe(answers[1]!.toString("latin1"));
    },
  );

  test("is in no list that a peer elsewhere gets, and in those of a peer here", async () => {
    for (const [peer, sees] of [
      [REMOTE, false],
      [{}, true],
    ] as const) {
      const transport = await serve(peer);
      const client = await new Client({ target: "memory://here", transports: [transport] }).start();
      ends.push(() => client.stop({ graceMs: 0 }));
      const ask = (name: string, ...args: string[]) =>
        client.invokeByName(name, args, { group: "rap.reflection.v1" }).catch(({ code }: RapError) => code);
      const answers = [await ask("ListServices"), await ask("Describe", "default"), await ask("Describe", "admin")];
      const text = JSON.stringify(answers);
      expect(text).toContain("open");
      for (const name of ["secret", "talker", "stream", '"admin"']) expect(text.includes(name)).toBe(sees);
      if (!sees) expect(answers[2]).toBe("NOT_FOUND");
    }
  });
});
