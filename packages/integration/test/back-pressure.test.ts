import { Socket } from "node:net";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { type Channel, Client } from "@rap/client";
import { Server } from "@rap/server";
import { createTestPair, type TestPairOptions } from "@rap/testing";
import { tcp } from "@rap/transport";
import { LINKS, type Pair, SILENT, until, untilQuiet } from "./links";

jest.setTimeout(20_000);

const KiB = 1024;
const MiB = 1024 * KiB;
/** `streamWindowMessages`, and a few that are between producer and wire. */
const MOST = 256 + 4;

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

let produced = 0;
let finished = 0;
afterEach(() => {
  produced = 0;
  finished = 0;
});

async function* endless(bytes: number): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const item = new Uint8Array(bytes);
      new DataView(item.buffer).setUint32(0, produced++);
      yield item;
    }
  } finally {
    finished++;
  }
}

const number = (item: Uint8Array): number => new DataView(item.buffer, item.byteOffset).getUint32(0);

let readOn = () => {};
const asked = () =>
  new Promise<void>((resolve) => {
    readOn = resolve;
  });

const functions = {
  echo: (value: unknown) => value,
  endless,
  async *items(count: number, bytes: number) {
    for (let i = 0; i < count; i++) yield new Uint8Array(bytes);
  },
  result: (bytes: number) => new Uint8Array(bytes),
  /** Reads nothing until it is asked to, then as many as it was told. */
  async sleepy(items: AsyncIterable<Uint8Array>, count: number) {
    await asked();
    const seen: number[] = [];
    for await (const item of items) if (seen.push(number(item)) === count) break;
    return seen;
  },
  /** Waits for its cue and leaves, without a look at the items. */
  async careless(_items: AsyncIterable<Uint8Array>) {
    await asked();
    return "done";
  },
  async total(items: AsyncIterable<Uint8Array>) {
    let sum = 0;
    for await (const { length } of items) sum += length;
    return sum;
  },
};
const STREAMS = { endless: "stream", items: "stream" } as const;

function register(server: Server): void {
  server.register(functions);
  server.registerChannel(async function flood(channel: Channel<never, Uint8Array>) {
    for await (const item of endless(KiB)) await channel.write(item);
  });
  server.registerChannel(async function echoes(channel: Channel<Uint8Array, Uint8Array>) {
    for await (const item of channel) await channel.write(item);
  });
  server.registerChannel(async function silent(channel: Channel<Uint8Array, string>) {
    await asked();
    await channel.write("enough");
  });
}

const service = ({ client }: Pick<Pair, "client">) => client.service<typeof functions>("default", STREAMS);

/** Other calls are answered meanwhile, one after the other. */
async function othersAreAnswered(pair: Pick<Pair, "client">, count = 100): Promise<void> {
  for (let i = 0; i < count; i++) expect(await service(pair).echo(i)).toBe(i);
}

/** A pair in memory. */
async function inMemory(options?: TestPairOptions) {
  const server = new Server({ logger: SILENT });
  register(server);
  return createTestPair(server, options);
}

describe.each(LINKS)("over $name", (link) => {
  test("an endless stream whose reader sleeps stops within the window, and other calls are answered", async () => {
    await using pair = await link.open(register);
    const stream = service(pair).endless(KiB);
    const { value } = await stream.next();
    expect(number(value!)).toBe(0);
    await othersAreAnswered(pair);
    const before = produced;
    expect(before).toBeLessThanOrEqual(MOST);
    const memory = process.memoryUsage().arrayBuffers;
    await othersAreAnswered(pair);
    expect(produced).toBe(before);
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(4 * MiB);
    for (let i = 1; i < 1_000; i++) expect(number((await stream.next()).value!)).toBe(i);
    await stream.return?.();
    await until(() => finished === 1);
    await untilQuiet(pair);
  });

  test("an endless source whose function sleeps stops within the window, and other calls are answered", async () => {
    await using pair = await link.open(register);
    const result = service(pair).sleepy(endless(KiB), 1_000);
    await othersAreAnswered(pair);
    const before = produced;
    expect(before).toBeLessThanOrEqual(MOST);
    await othersAreAnswered(pair);
    expect(produced).toBe(before);
    readOn();
    expect(await result).toEqual(times(1_000, (i) => i));
    await until(() => finished === 1);
    await untilQuiet(pair);
  });

  test("a channel's writer waits for its reader, both ways, and other calls are answered", async () => {
    await using pair = await link.open(register);
    const flood = await pair.client.registerChannel<(c: Channel<never, Uint8Array>) => Promise<void>>("flood").open();
    await othersAreAnswered(pair);
    const before = produced;
    expect(before).toBeLessThanOrEqual(MOST);
    await othersAreAnswered(pair);
    expect(produced).toBe(before);
    for (let i = 0; i < 1_000; i++) expect(number(await flood.readBody())).toBe(i);
    await flood.close();

    type Silent = (channel: Channel<Uint8Array, string>) => Promise<void>;
    const silent = await pair.client.registerChannel<Silent>("silent").open();
    let written = 0;
    const writing = (async () => {
      for (; !silent.closed; written++) await silent.write(new Uint8Array(KiB));
    })();
    await othersAreAnswered(pair);
    const stopped = written;
    expect(stopped).toBeLessThanOrEqual(MOST);
    await othersAreAnswered(pair);
    expect(written).toBe(stopped);
    readOn();
    expect(await silent.readBody()).toBe("enough");
    await silent.waitClose();
    await writing.catch(() => undefined);
    await untilQuiet(pair);
  });

  test("a result of 64 MiB lets small calls pass", async () => {
    const limits = { maxMessageBytes: 80 * MiB };
    await using pair = await link.open(register, { server: { limits }, client: { limits } });
    const order: string[] = [];
    const large = service(pair)
      .result(64 * MiB)
      .then(({ length }) => order.push(`large ${length}`));
    for (let i = 0; i < 5; i++) {
      await service(pair).echo(i);
      order.push("small");
    }
    await large;
    expect(order).toEqual([...times(5, () => "small"), `large ${64 * MiB}`]);
  });
});

describe("credit", () => {
  test("messages larger than the window get through, in every direction", async () => {
    await using pair = await inMemory();
    const remote = service(pair);
    const size = 3 * MiB;
    expect(await remote.total(times(4, () => new Uint8Array(size)).values())).toBe(4 * size);
    const got: number[] = [];
    for await (const { length } of remote.items(4, size)) got.push(length);
    expect(got).toEqual(times(4, () => size));
    type Echoes = (channel: Channel<Uint8Array, Uint8Array>) => Promise<void>;
    await pair.client.registerChannel<Echoes>("echoes")(async (channel) => {
      for (let i = 0; i < 4; i++) {
        await channel.write(new Uint8Array(size));
        expect(await channel.readBody()).toHaveLength(size);
      }
    });
    await untilQuiet(pair);
  });

  test("of a stream that was left after its end had come is given back to the connection", async () => {
    await using pair = await inMemory();
    for (let round = 0; round < 40; round++) {
      for await (const _ of service(pair).items(200, KiB)) {
        await untilQuiet(pair);
        break;
      }
    }
    for await (const { length } of service(pair).items(300, KiB)) expect(length).toBe(KiB);
  });

  test("of a stream that nobody read to its end is given back to the connection", async () => {
    await using pair = await inMemory();
    for (let round = 0; round < 40; round++) {
      const stream = service(pair).items(200, KiB);
      await stream.next();
      await untilQuiet(pair);
    }
    for await (const { length } of service(pair).items(300, KiB)) expect(length).toBe(KiB);
  });

  test("of items that a function did not read is given back to the connection", async () => {
    await using pair = await inMemory();
    for (let round = 0; round < 40; round++) {
      const result = service(pair).careless(times(200, () => new Uint8Array(KiB)).values());
      await othersAreAnswered(pair, 10);
      readOn();
      expect(await result).toBe("done");
    }
    expect(await service(pair).total(times(300, () => new Uint8Array(KiB)).values())).toBe(300 * KiB);
    await untilQuiet(pair);
  });

  test("of the whole connection is shared: when sleeping readers hold all of it, calls are answered and readers wake", async () => {
    await using pair = await inMemory({ client: { limits: { connectionWindowBytes: 512 * KiB } } });
    const sleepers = times(8, () => service(pair).endless(KiB));
    await othersAreAnswered(pair);
    expect(produced).toBeLessThanOrEqual(512 + sleepers.length * 2);
    const read = async (stream: AsyncIterable<Uint8Array>) => {
      let count = 0;
      for await (const _ of stream) if (++count === 1_000) break;
      return count;
    };
    expect(await Promise.all(sleepers.map(read))).toEqual(times(8, () => 1_000));
    await untilQuiet(pair);
  });
});

describe("a long stream", () => {
  test("of small items goes out in many writes, as its reader takes them, and not in a few", async () => {
    const server = new Server({ logger: SILENT }).register({
      async *numbers(count: number) {
        for (let i = 0; i < count; i++) yield i;
      },
    });
    const { port } = (await server.listen({ port: 0 })) as { port: number };
    const client = await new Client({ target: server.address! }).start();
    const write = jest.spyOn(Socket.prototype, "write");
    try {
      let next = 0;
      const numbers = client.registerGen<(count: number) => AsyncIterable<number>>("numbers");
      for await (const item of numbers(100_000)) if (item !== next++) throw new Error(`${item} came as ${next - 1}`);
      expect(next).toBe(100_000);
      const ofServer = write.mock.contexts.filter((socket) => (socket as Socket).localPort === port);
      // One for each window, if not more: with no back-pressure it could be two.
      expect(ofServer.length).toBeGreaterThanOrEqual(170);
    } finally {
      write.mockRestore();
      await client.stop();
      await server.shutdown();
    }
  });
});

describe("a peer that is behind", () => {
  test("does not keep a connection from being read for good once it has caught up", async () => {
    // More replies than `maxUnsentReplies` wait for the slow link, which is far from full.
    await using pair = await inMemory({ latency: 20, chunk: 64 });
    const refused = times(400, (i) => pair.client.invokeByName(`nothing${i}`).catch((error) => error.code));
    expect(new Set(await Promise.all(refused))).toEqual(new Set(["NOT_FOUND"]));
    await othersAreAnswered(pair, 1);
  });

  test("is read on by a client that gives it much credit, as it may not be read from by its server", async () => {
    const limits = {
      writeQueueSoftBytes: 4_000,
      streamWindowMessages: 2,
      maxUnsentReplies: 2,
      writeStallTimeout: 1_000,
    };
    const server = new Server({ logger: SILENT, limits }).register({
      async *echo(items: AsyncIterable<Uint8Array>) {
        for await (const item of items) yield item;
      },
    });
    await using pair = await createTestPair(server, { highWaterMark: 1_000, latency: 1, client: { limits } });
    const echo = pair.client.registerGen<(items: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>>("echo");
    const items = times(50, () => new Uint8Array(2_000));
    const read = async () => {
      let count = 0;
      for await (const _ of echo(items.values() as never)) count++;
      return count;
    };
    expect(await Promise.all(times(20, read))).toEqual(times(20, () => 50));
  });

  test("has its large messages go on whatever the socket's high-water mark", async () => {
    const server = new Server({ logger: SILENT });
    register(server);
    const wide = tcp({ highWaterMark: 4 * MiB });
    await server.listen({ transport: wide, address: "tcp://127.0.0.1:0" });
    const client = await new Client({ target: server.address!, transports: [wide] }).start();
    const remote = service({ client });
    const results = await Promise.all(times(20, () => remote.result(3 * MiB)));
    expect(results.every(({ length }) => length === 3 * MiB)).toBe(true);
    await client.stop();
    await server.shutdown();
  });
});
