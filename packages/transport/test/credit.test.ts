import { describe, expect, test } from "@jest/globals";
import { RapError, Shape } from "@rap/protocol";
import fc from "fast-check";
import { charge, ReceiveWindow, SendWindow } from "../src/credit";
import type { Stream } from "../src/stream";
import { Ledger } from "./ledger";
import { open, pattern, RecordingHost, RecordingSink, World } from "./link";

const seed = Number(process.env.SEED ?? 20_261_130);

describe("what a frame costs", () => {
  test("is 256 at least for the last part of a message, and its bytes for the parts before", () => {
    expect([charge(0, true, 256), charge(255, true, 256), charge(256, true, 256), charge(257, true, 256)]).toEqual([
      256, 256, 256, 257,
    ]);
    expect([charge(0, false, 256), charge(100, false, 256)]).toEqual([0, 100]);
  });
});

describe("a receiving window", () => {
  test("takes what was granted and not one byte or message more", () => {
    expect(new ReceiveWindow(1_000, 2).receive(1_000, 2)).toBe(true);
    expect(new ReceiveWindow(1_000, 2).receive(1_001, 1)).toBe(false);
    expect(new ReceiveWindow(1_000, 2).receive(1, 3)).toBe(false);
    const window = new ReceiveWindow(1_000, 2);
    expect([window.receive(600, 1), window.receive(401, 1)]).toEqual([true, false]);
  });

  test("asks for a grant when half of the bytes or of the messages were taken", () => {
    const bytes = new ReceiveWindow(1_000, 100);
    bytes.receive(1_000, 3);
    expect([bytes.release(499, 1), bytes.release(1, 1)]).toEqual([false, true]);
    expect(bytes.grant()).toEqual({ bytes: 500, messages: 2 });
    expect([bytes.grant(), bytes.release(499, 0)]).toEqual([{ bytes: 0, messages: 0 }, false]);
    const messages = new ReceiveWindow(1_000_000, 4);
    expect([messages.release(1, 1), messages.release(1, 1)]).toEqual([false, true]);
    expect(messages.grant()).toEqual({ bytes: 2, messages: 2 });
  });

  test("that many share asks for a grant as soon as that doubles what may be sent", () => {
    const window = new ReceiveWindow(1_000, Infinity, 50);
    window.receive(900, 0);
    expect([window.release(49, 0), window.release(50, 0), window.release(1, 0)]).toEqual([false, false, true]);
    expect(window.grant()).toEqual({ bytes: 100, messages: 0 });
    // While nobody sleeps that is half of the window, as it is for one reader.
    const awake = new ReceiveWindow(1_000, Infinity, 50);
    awake.receive(499, 0);
    expect(awake.release(499, 0)).toBe(false);
    awake.receive(1, 0);
    expect(awake.release(1, 0)).toBe(true);
  });

  test("takes as much again as it granted", () => {
    const window = new ReceiveWindow(1_000, 2);
    window.receive(1_000, 2);
    window.release(600, 1);
    window.grant();
    expect([window.receive(600, 1), window.receive(1, 0)]).toEqual([true, false]);
  });
});

describe("a sending window", () => {
  test("takes grants up to 2^31 - 1 in sum, of bytes and of messages", () => {
    const window = new SendWindow(5, 5);
    expect([window.add(2 ** 31 - 6, 0), window.bytes]).toEqual([true, 2 ** 31 - 1]);
    expect(window.add(1, 0)).toBe(false);
    expect(new SendWindow(0, 1).add(0, 2 ** 31 - 1)).toBe(false);
    expect(new SendWindow(0, 0).add(2 ** 32 - 1, 0)).toBe(false);
  });
});

interface Step {
  what: "send" | "read" | "settle" | "end" | "reset";
  stream: number;
  from: "client" | "server";
  size: number;
}

/** The calls that are open while the steps are taken. */
const calls = fc.array(
  fc.record({
    shape: fc.constantFrom<Shape>(Shape.SERVER_STREAM, Shape.CLIENT_STREAM, Shape.BIDI_STREAM, Shape.CHANNEL),
    bytes: fc.constantFrom(1, 300, 20_000),
  }),
  { minLength: 1, maxLength: 4 },
);

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    { arbitrary: fc.constant<Step["what"]>("send"), weight: 8 },
    { arbitrary: fc.constantFrom<Step["what"]>("read", "settle"), weight: 4 },
    { arbitrary: fc.constantFrom<Step["what"]>("end", "reset"), weight: 1 },
  ),
  stream: fc.nat(3),
  from: fc.constantFrom<Step["from"]>("client", "server"),
  size: fc.oneof(fc.nat(300), fc.nat(3_000), fc.constantFrom(0, 255, 256, 257, 511, 512, 513)),
});

const windows = fc.record({
  streamWindowBytes: fc.constantFrom(256, 300, 511, 512, 1_000, 5_000),
  streamWindowMessages: fc.constantFrom(1, 2, 3, 7),
  connectionWindowBytes: fc.constantFrom(256, 700, 2_000, 20_000),
  fragmentBytes: fc.constantFrom(256, 300, 1_000, 65_536),
});

/** One direction of one stream, as the test knows it. */
interface Direction {
  stream: Stream;
  sink: RecordingSink;
  sent: number[];
  open: boolean;
}

describe("flow control", () => {
  test(`never oversends, loses no credit and comes to no standstill, whatever is sent, read and left (seed ${seed})`, async () => {
    let blocked = 0;
    await fc.assert(
      fc.asyncProperty(
        windows,
        windows,
        calls,
        fc.array(step, { minLength: 20, maxLength: 80, size: "max" }),
        async (near, far, opened, steps) => {
          const world = new World();
          const [dialled, accepted] = await world.sockets();
          const ledger = new Ledger(dialled);
          const serverHost = new RecordingHost();
          const clientHost = new RecordingHost();
          serverHost.reading = false;
          const server = world.connection(accepted, "server", serverHost, { limits: far });
          const client = world.connection(ledger, "client", clientHost, { limits: near });
          await world.settle();
          ledger.begin();
          const checkBooks = () => {
            expect(ledger.faults).toEqual([]);
            expect([clientHost.events, serverHost.events]).toEqual([["ready"], ["ready"]]);
          };

          // Of each stream, by who sends.
          const streams: { client?: Direction; server?: Direction; over: boolean }[] = [];
          for (const { shape, bytes } of opened) {
            const sink = new RecordingSink(false);
            const stream = open(client, sink, { shape, bytes, end: shape === Shape.SERVER_STREAM });
            await world.settle();
            const remote = serverHost.sinks.at(-1)!;
            // The arguments are no message of the flow.
            remote.costs.length = 0;
            remote.messages.length = 0;
            const up: Direction = { stream, sink: remote, sent: [], open: shape !== Shape.SERVER_STREAM };
            const down: Direction = { stream: remote.stream, sink, sent: [], open: shape !== Shape.CLIENT_STREAM };
            streams.push({ ...(up.open && { client: up }), ...(down.open && { server: down }), over: false });
          }
          for (const { what, stream: index, from, size } of steps) {
            const at = streams[index % streams.length]!;
            const way = at[from];
            if (what === "send" && way?.open) {
              if (!way.stream.send(pattern(size), false)) blocked++;
              way.sent.push(size);
            } else if (what === "read") way?.sink.read();
            else if (what === "settle") await world.settle();
            else if (what === "end" && way?.open) {
              way.open = false;
              way.stream.end();
            } else if (what === "reset" && !at.over && index === 0) {
              at.over = true;
              const { stream } = (at.client ?? at.server)!;
              const side = from === "client" ? client : server;
              for (const each of side.openStreams()) {
                if (each.id === stream.id) each.reset(new RapError("CANCELLED", "enough"));
              }
              for (const each of [at.client, at.server]) if (each !== undefined) each.open = false;
            }
            checkBooks();
          }

          // While both sides read, all that was sent arrives.
          const ways = streams
            .flatMap(({ over, ...each }) => [each.client, each.server].map((way) => way && { ...way, over }))
            .filter((way) => way !== undefined);
          const arrived = () => ways.every(({ sink, sent, over }) => over || sink.messages.length === sent.length);
          for (let round = 0; round < 200 && !arrived(); round++) {
            for (const { sink } of ways) sink.read();
            await world.settle();
            checkBooks();
          }
          for (const { sink, sent, over } of ways) {
            // Of what was cancelled, what arrived is the beginning.
            const due = over ? sent.slice(0, sink.messages.length) : sent;
            expect(sink.messages.map(({ length }) => length)).toEqual(due);
            sink.messages.forEach((message, index) => {
              expect(Buffer.compare(message, pattern(sent[index]!))).toBe(0);
            });
            sink.read();
          }
          await world.settle();
          checkBooks();
          expect([client.stats().waitingForCredit, server.stats().waitingForCredit]).toEqual([0, 0]);
          // What was read is granted again: at most half a window may be kept back.
          expect(ledger.connection.client * 2).toBeGreaterThan(far.connectionWindowBytes);
          expect(ledger.connection.server * 2).toBeGreaterThan(near.connectionWindowBytes);
          client.close(0, "done");
          await world.settle();
        },
      ),
      { seed, numRuns: 50 },
    );
    expect(blocked).toBeGreaterThan(100);
  });
});
