import { describe, expect, test } from "@jest/globals";
import {
  HEAD_BYTES,
  Kind,
  Metadata,
  msgpack,
  RECORD_BYTES,
  type RecordCipher,
  readU32,
  type SecureLayer,
} from "@rap/protocol";
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
      client.load([near], true);
      server.load([far], true);
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
  type Ciphers = Record<"client" | "server", RecordCipher>;
  type Change = (bytes: Uint8Array) => Uint8Array;

  async function ciphers(changeOffer: Change = same, changeAnswer: Change = same): Promise<Ciphers> {
    const [near, far] = [setup.client().secure as SecureLayer, setup.server().secure as SecureLayer];
    const offer = near.offer(undefined);
    const answer = await far.answer(changeOffer(offer.bytes), undefined);
    return { client: offer.finish(changeAnswer(answer.bytes)), server: answer.cipher };
  }

  const payload = Uint8Array.from({ length: 40 }, (_, index) => index);

  test("both ends make connections secure", () => {
    expect([setup.client().secure, setup.server().secure]).not.toContain(undefined);
  });

  test("carries records both ways, never twice in the same bytes", async () => {
    const { client, server } = await ciphers();
    const seen = new Set<string>();
    for (let round = 0; round < 5; round++) {
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        const record = from.seal(payload);
        expect(record.length).toBe(HEAD_BYTES + payload.length + from.overhead);
        expect(readU32(record, 0)).toBe(record.length - HEAD_BYTES);
        expect([record[4], readU32(record, 6)]).toEqual([Kind.SEALED, 0]);
        expect(Buffer.compare(to.open(record), payload)).toBe(0);
        seen.add(Buffer.from(record).toString("hex"));
      }
    }
    expect(seen.size).toBe(10);
  });

  test("carries the largest record", async () => {
    const { client, server } = await ciphers();
    const largest = new Uint8Array(RECORD_BYTES).fill(7);
    expect(Buffer.compare(server.open(client.seal(largest)), largest)).toBe(0);
  });

  test("opens no record that was altered, repeated, left out, cut, reflected or meant for another connection", async () => {
    const length = HEAD_BYTES + payload.length + (await ciphers()).client.overhead;
    for (let at = 0; at < length; at += 3) {
      const { client, server } = await ciphers();
      const record = client.seal(payload);
      record[at]! ^= 1;
      expect(() => server.open(record)).toThrow();
    }
    const { client, server } = await ciphers();
    const first = client.seal(payload);
    server.open(Uint8Array.from(first));
    expect(() => server.open(first)).toThrow();
    const gap = await ciphers();
    gap.client.seal(payload);
    const second = gap.client.seal(payload);
    expect(() => gap.server.open(second)).toThrow();
    const cut = await ciphers();
    const whole = cut.client.seal(payload);
    expect(() => cut.server.open(whole.subarray(0, -1))).toThrow();
    const mirror = await ciphers();
    const own = mirror.client.seal(payload);
    expect(() => mirror.client.open(own)).toThrow();
    const foreign = (await ciphers()).client.seal(payload);
    const here = await ciphers();
    expect(() => here.server.open(foreign)).toThrow();
  });

  test("comes to no cipher that opens anything if the exchange was altered on its way", async () => {
    const flip = (at: number): Change => {
      return (given) => {
        const altered = Uint8Array.from(given);
        altered[at % given.length]! ^= 1;
        return altered;
      };
    };
    const meets = async (...changes: [Change, Change?]) => {
      const { client, server } = await ciphers(...changes);
      return server.open(client.seal(payload));
    };
    await meets(same);
    for (let at = 0; at < 150; at++) {
      await expect(meets(flip(at))).rejects.toThrow();
      await expect(meets(same, flip(at))).rejects.toThrow();
    }
  });

  test("seals and opens nothing after its end", async () => {
    const { client, server } = await ciphers();
    const record = client.seal(payload);
    client.close();
    server.close();
    expect(() => client.seal(payload)).toThrow();
    expect(() => server.open(record)).toThrow();
  });
}

const same = (bytes: Uint8Array): Uint8Array => bytes;

function envelope(body: unknown): Envelope {
  const metadata = new Metadata({ "x-tag": "tag" });
  return { body, metadata, method: "method", group: "group", session: "session" };
}
