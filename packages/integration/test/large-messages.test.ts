import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import type { Channel } from "@rap/protocol";
import { channel, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";

const MiB = 1024 * 1024;
const limits = {
  maxMessageBytes: 16 * MiB,
  streamWindowBytes: 16 * MiB,
  connectionWindowBytes: 32 * MiB,
  processReceiveBytes: 30 * MiB,
};

function bytesOf(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = (at * 7 + (at >> 12)) & 0xff;
  return bytes;
}

function same(a: unknown, b: Uint8Array): boolean {
  return a instanceof Uint8Array && Buffer.compare(a, b) === 0;
}

describe("messages that are put together over several turns", () => {
  let server: Server;
  let client: Client;
  const received: number[] = [];

  const functions = {
    echo: (...args: unknown[]) => args.at(-1),
    size: (bytes: Uint8Array) => bytes.length,
    add: (a: number, b: number) => a + b,
    async concat(parts: AsyncIterable<Uint8Array>) {
      const all: Uint8Array[] = [];
      for await (const part of parts) all.push(part);
      return Buffer.concat(all);
    },
    async *pairs(count: number) {
      for (let i = 0; i < count; i++) {
        yield bytesOf(3 * MiB);
        yield bytesOf(1_000);
      }
    },
    async total(parts: AsyncIterable<Uint8Array>) {
      let bytes = 0;
      for await (const part of parts) bytes += part.length;
      return bytes;
    },
    async *large(count: number) {
      for (let i = 0; i < count; i++) yield i % 2 === 0 ? bytesOf(3 * MiB + i) : new Uint8Array(i);
    },
    lengths: channel(async (ch: Channel<Uint8Array, number>) => {
      for await (const message of ch) {
        received.push(message.length);
        await ch.write(message.length);
      }
    }),
  };

  beforeEach(async () => {
    received.length = 0;
    server = new Server({ limits }).register(functions);
    ({ client } = await createTestPair(server, { client: { limits } }));
  });

  afterEach(async () => {
    await client.stop();
    await server.shutdown();
  });

  test.each([32_768, 70_000, MiB, 2 * MiB, 5 * MiB + 1])("%d bytes come back as they were sent", async (size) => {
    const bytes = bytesOf(size);
    expect(same(await client.invokeByName("echo", [bytes]), bytes)).toBe(true);
    expect(same(await client.invokeByName("echo", ["x", { y: 1 }, bytes]), bytes)).toBe(true);
    const inside = (await client.invokeByName("echo", [{ bytes, after: [1] }])) as { bytes: Uint8Array };
    expect(inside).toEqual({ bytes: expect.any(Uint8Array), after: [1] });
    expect(same(inside.bytes, bytes)).toBe(true);
  });

  test("arguments before a large one may be long themselves", async () => {
    const bytes = bytesOf(3 * MiB);
    expect(same(await client.invokeByName("echo", ["x".repeat(1_000), bytes]), bytes)).toBe(true);
  });

  test("shared memory is copied", async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(100_000)).fill(3);
    const answer = client.invokeByName("echo", [shared]);
    shared.fill(4);
    expect(same(await answer, new Uint8Array(100_000).fill(3))).toBe(true);
  });

  test("a small call does not wait for a large result", async () => {
    const order: string[] = [];
    const large = client.invokeByName("echo", [bytesOf(12 * MiB)]).then(() => order.push("large"));
    const small = (async () => {
      for (let i = 0; i < 5; i++) order.push(`small ${await client.invokeByName("add", [i, 0])}`);
    })();
    await Promise.all([large, small]);
    expect(order).toEqual(["small 0", "small 1", "small 2", "small 3", "small 4", "large"]);
  });

  test("items, and messages of a channel, keep their order, and the end comes last", async () => {
    const sizes: number[] = [];
    const items = client.registerGen<typeof functions.large>("large");
    for await (const item of items(5)) sizes.push(item.length);
    expect(sizes).toEqual([3 * MiB, 1, 3 * MiB + 2, 3, 3 * MiB + 4]);

    const sent = [3 * MiB, 10, 4 * MiB, 2 * MiB + 5, 0];
    const answers: number[] = [];
    await client.registerChannel<typeof functions.lengths>("lengths")(async (ch) => {
      for (const size of sent) await ch.write(new Uint8Array(size));
      await ch.end();
      for await (const length of ch) answers.push(length);
    });
    expect(received).toEqual(sent);
    expect(answers).toEqual(sent);
  });

  test("a stream of arguments is answered with a large result", async () => {
    const concat = client.register<typeof functions.concat>("concat");
    const parts = [bytesOf(3 * MiB), bytesOf(10), bytesOf(2 * MiB + 1)];
    expect(same(await concat(parts), Buffer.concat(parts))).toBe(true);
  });

  test("a call that is given up in the middle leaves nothing, and others go on", async () => {
    for (let turns = 0; turns < 40; turns += 3) {
      const abort = new AbortController();
      const call = client.invokeByName("echo", [bytesOf(5 * MiB)], { signal: abort.signal });
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      abort.abort();
      await call.then(
        (answer) => expect(answer).toHaveLength(5 * MiB),
        (error: unknown) => expect(error).toMatchObject({ code: "CANCELLED" }),
      );
      expect(await client.invokeByName("add", [turns, 1])).toBe(turns + 1);
    }
  });

  test("a small message after a large one is a copy of what was read with it", async () => {
    const { port } = await server.listen({ port: 0 });
    await using remote = new Client({ limits }).addConn("127.0.0.1", port);
    await remote.start();
    const seen: Uint8Array[] = [];
    const items = remote.registerGen<typeof functions.pairs>("pairs");
    for await (const item of items(4)) seen.push(item);
    expect(seen.map(({ length }) => length)).toEqual([3 * MiB, 1_000, 3 * MiB, 1_000, 3 * MiB, 1_000, 3 * MiB, 1_000]);
    for (const { length, buffer } of seen) expect(buffer.byteLength - length).toBeLessThan(100);
  });

  test("memory of messages that were put together is given back, also on a call that nobody ends", async () => {
    const sum = client.register<typeof functions.total>("total");
    async function* parts() {
      for (let i = 0; i < 12; i++) yield bytesOf(3 * MiB);
    }
    expect(await sum(parts())).toBe(36 * MiB);
    // Nothing more is read, and still nothing counts as unfinished: 12 results would be over processReceiveBytes.
    for (let i = 0; i < 12; i++) await client.invokeByName("echo", [bytesOf(3 * MiB)]);
    expect(server.stats().ended).toEqual({});
    expect(client.stats().ended ?? {}).toEqual({});
  });

  test("bytes that are transferred away before they are sent fail their call, and the next are answered", async () => {
    const bytes = bytesOf(8 * MiB);
    const call = client.invokeByName("size", [bytes]);
    const other = client.invokeByName("echo", ["other"]);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    await expect(call).rejects.toMatchObject({ message: expect.stringContaining("transferred") });
    await other.catch((error: unknown) => expect(error).toMatchObject({ code: "UNAVAILABLE" }));
    expect(await client.invokeByName("add", [1, 1])).toBe(2);
  });
});
