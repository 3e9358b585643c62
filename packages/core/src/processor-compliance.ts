import { describe, expect, test } from "@jest/globals";
import { type FrameCipher, Metadata, msgpack, type SecureLayer } from "@rap/protocol";
import { type Envelope, type Processor, ProcessorChain } from "./processor";
import { testHost } from "./stand-in";

type Step = "onRequest" | "onResponse";

/** The two ends of a processor; one that is the same on both sides gives it twice. */
export interface ProcessorSetup {
  client(): Processor;
  server(): Processor;
}

/**
 * The laws of a pair of {@link Processor}s as a Jest suite: one of the client and one of the server that belong together.
 *
 * ```ts
 * import { processorCompliance } from "@rap/core/compliance";
 * processorCompliance("mine", { client: () => new Mine(), server: () => new Mine() });
 * ```
 */
export function processorCompliance(name: string, setup: ProcessorSetup): void {
  describe(`the processor ${name}`, () => {
    async function ends(): Promise<{ client: ProcessorChain; server: ProcessorChain }> {
      const [client, server] = [new ProcessorChain(), new ProcessorChain()];
      const [near, far] = [setup.client(), setup.server()];
      await near.onStart?.();
      await far.onStart?.(testHost());
      client.load(near);
      server.load(far);
      return { client, server };
    }

    const codec = msgpack();
    /** A message as it comes out at the other end. */
    async function carry(from: ProcessorChain, to: ProcessorChain, step: Step, message: Envelope): Promise<Envelope> {
      const sent = await from.outbound(step, message);
      const bytes = codec.encode(sent.body).slice();
      return to.inbound(step, { ...sent, body: codec.decode(bytes, 0, bytes.length, true) });
    }

    test("starts and stops, twice", async () => {
      const host = testHost();
      const [client, server] = [setup.client(), setup.server()];
      for (let round = 0; round < 2; round++) {
        await client.onStart?.();
        await server.onStart?.(host);
        await server.onStop?.(host);
        await client.onStop?.();
      }
    });

    test.each<[string, unknown]>([
      ["arguments", [1, "two", { three: [3] }]],
      ["nothing", null],
      ["bytes", Uint8Array.of(0, 1, 255)],
      ["a long text", "é€😀".repeat(5_000)],
    ])("gives the far end %s as they were, there and back", async (_, body) => {
      const { client, server } = await ends();
      const request = await carry(client, server, "onRequest", envelope(body));
      expect(request).toMatchObject({ body, method: "method", group: "group", session: "session" });
      expect(request.metadata.get("x-tag")).toBe("tag");
      expect(await carry(server, client, "onResponse", envelope(body))).toMatchObject({ body });
    });

    test("keeps messages apart that are on their way at the same time", async () => {
      const { client, server } = await ends();
      const bodies = Array.from({ length: 50 }, (_, index) => ({ index }));
      const sent: Envelope[] = [];
      for (const body of bodies) sent.push(await client.outbound("onRequest", envelope(body)));
      const received = await Promise.all(sent.map((message) => server.inbound("onRequest", message)));
      expect(received.map(({ body }) => body)).toEqual(bodies);
    });

    test("is told of calls that begin and end, well or not", async () => {
      const { client, server } = await ends();
      for (const chain of [client, server]) {
        const call = { method: "method", group: "group", kind: "unary", metadata: new Metadata() } as const;
        const exits = [chain.enter(call), chain.enter(call)];
        exits[1]!(new Error("of the call"));
        exits[0]!();
      }
    });

    const near = setup.client().secure;
    const far = setup.server().secure;
    if (near !== undefined || far !== undefined) secureLaws(setup);
  });
}

function secureLaws(setup: ProcessorSetup): void {
  type End = "client" | "server";

  function ciphers(alter: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes): Record<End, FrameCipher> {
    const [near, far] = [setup.client().secure as SecureLayer, setup.server().secure as SecureLayer];
    const offer = near.offer();
    const answer = far.answer(alter(offer.bytes));
    const hello = (exchange: { bytes: Uint8Array }) => Uint8Array.of(1, 2, 3, ...exchange.bytes);
    const [clientHello, serverHello] = [hello(offer), hello(answer)];
    return {
      client: offer.finish(answer.bytes, clientHello, serverHello),
      server: answer.finish(alter(offer.bytes), alter(clientHello), serverHello),
    };
  }

  /** A frame's head, as it goes with a payload of that many bytes. */
  const headFor = (bytes: number): Uint8Array => Uint8Array.of(0, 0, bytes >> 8, bytes & 255, 1, 0, 0, 0, 0, 1);
  const payload = Uint8Array.from({ length: 40 }, (_, index) => index);
  const seal = (cipher: FrameCipher, bytes = payload) => {
    const head = headFor(bytes.length + cipher.overhead);
    return { head, sealed: cipher.seal(head, bytes) };
  };

  test("both ends make connections secure, by an extension that no peer may overlook", () => {
    const [near, far] = [setup.client().secure, setup.server().secure];
    expect(near?.extension).toBeGreaterThanOrEqual(0x8000);
    expect(far?.extension).toBe(near?.extension);
  });

  test("carries frames both ways, never twice in the same bytes", () => {
    const { client, server } = ciphers();
    const seen = new Set<string>();
    for (let round = 0; round < 5; round++) {
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        for (const bytes of [payload, new Uint8Array()]) {
          const { head, sealed } = seal(from, bytes);
          expect(sealed.length).toBe(bytes.length + from.overhead);
          expect(Buffer.compare(to.open(head, sealed), bytes)).toBe(0);
          seen.add(Buffer.from(sealed).toString("hex"));
        }
      }
    }
    expect(seen.size).toBe(20);
  });

  test("opens no frame that was altered, repeated, left out, reflected or meant for another connection", () => {
    for (let at = 0; at < payload.length + ciphers().client.overhead; at += 5) {
      const { client, server } = ciphers();
      const { head, sealed } = seal(client);
      sealed[at]! ^= 1;
      expect(() => server.open(head, sealed)).toThrow();
    }
    for (let at = 0; at < 10; at++) {
      const { client, server } = ciphers();
      const { head, sealed } = seal(client);
      head[at]! ^= 1;
      expect(() => server.open(head, sealed)).toThrow();
    }
    const { client, server } = ciphers();
    const first = seal(client);
    server.open(first.head.slice(), first.sealed.slice());
    expect(() => server.open(first.head, first.sealed)).toThrow();
    const gap = ciphers();
    seal(gap.client);
    const second = seal(gap.client);
    expect(() => gap.server.open(second.head, second.sealed)).toThrow();
    const mirror = ciphers();
    const own = seal(mirror.client);
    expect(() => mirror.client.open(own.head, own.sealed)).toThrow();
    const foreign = seal(ciphers().client);
    expect(() => ciphers().server.open(foreign.head, foreign.sealed)).toThrow();
  });

  test("comes to no cipher that opens anything if the offer was altered on its way", () => {
    const { bytes } = (setup.client().secure as SecureLayer).offer();
    for (let at = 0; at < bytes.length; at += 3) {
      const flip = (given: Uint8Array) => {
        const altered = given.slice();
        altered[altered.length - bytes.length + at]! ^= 1;
        return altered;
      };
      expect(() => {
        const { client, server } = ciphers(flip);
        const { head, sealed } = seal(client);
        server.open(head, sealed);
      }).toThrow();
    }
  });
}

function envelope(body: unknown): Envelope {
  const metadata = new Metadata({ "x-tag": "tag" });
  return { body, metadata, method: "method", group: "group", session: "session" };
}
