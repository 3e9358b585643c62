import { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type Channel, Client, type RapError, type RemoteChannel } from "@rap/client";
import { context } from "@rap/core";
import { LIMITS, RapError as Thrown } from "@rap/protocol";
import { channel as asChannel, Server } from "@rap/server";
import { createTestPair } from "@rap/testing";
import { memory } from "@rap/transport";
import { LINKS, type Pair, SILENT, until, untilQuiet } from "./links";

type Fn<In = any, Out = any> = (channel: Channel<In, Out>) => Promise<void>;
/** A channel of the server as its caller sees it. */
const remote = (client: Client, name: string, group?: string): RemoteChannel<any, any> =>
  client.registerChannel<Fn>(name, group === undefined ? {} : { group }) as RemoteChannel<any, any>;

const turn = () => new Promise((resolve) => setImmediate(resolve));
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

function deferred<T = void>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((yes) => {
    resolve = yes;
  });
  return { promise, resolve };
}

/** What the functions of the test at hand have seen. */
let seen: unknown[] = [];
afterEach(() => {
  seen = [];
});

const note = (what: unknown) => void seen.push(what);
const errorOf = (thrown: unknown) => {
  const { code, message } = thrown as RapError;
  return `${code}: ${message}`;
};

const functions: Record<string, Fn> = {
  async echo(channel) {
    for await (const body of channel) await channel.write(body);
  },
  async echoRead(channel) {
    while (await channel.loop()) await channel.write(await channel.readBody());
  },
  async echoIter(channel) {
    for await (const { body, metadata, seq } of channel.iter()) {
      const n = metadata.get("x-n");
      await channel.write([seq, body], { metadata: { "x-n": `${String(n)}!` } });
    }
  },
  async opening(channel) {
    const { metadata, responseHeaders, responseTrailers, group, kind, session } = context();
    responseHeaders.set("x-answer", "yes");
    responseTrailers.set("x-sum", "3");
    await channel.write([kind, group, metadata.get("x-who"), channel.metadata.get("x-who"), typeof session?.id]);
  },
  async count(channel) {
    for (let n = 0; await channel.loop(n < 3); n++) await channel.write(n);
  },
  /** Writes until it is left, and says how that was. */
  async pour(channel) {
    const { signal } = context();
    try {
      for (let n = 0; ; n++) await channel.write(n);
    } catch (error) {
      note(errorOf(error));
      note([signal.aborted, channel.closed, channel.signal.aborted, (signal.reason as RapError).origin]);
      throw error;
    }
  },
  /** Reads until there is nothing more, and says how that was. */
  async drain(channel) {
    try {
      for await (const body of channel) note(body);
      note("end");
      await channel.write("thanks").catch((error: unknown) => note(errorOf(error)));
    } catch (error) {
      note(errorOf(error));
      throw error;
    }
  },
  async half(channel) {
    await channel.end();
    await channel.write("late").catch((error: unknown) => note(errorOf(error)));
    for await (const body of channel) note(body);
  },
  async closes(channel) {
    await channel.write("last");
    await channel.close();
    await channel.write("later").catch((error: unknown) => note(errorOf(error)));
  },
  async closesWith(channel) {
    await channel.write("last");
    await channel.close(new Thrown("ABORTED", "enough", { data: { n: 1 } }));
  },
  async fails(channel) {
    await channel.write(1);
    throw new Thrown("DATA_LOSS", "gone", { reason: "GONE", data: { n: 1 }, details: [2] });
  },
  async failsAfterEnd(channel) {
    await channel.write(1);
    await channel.end();
    await turn();
    throw new Thrown("DATA_LOSS", "gone");
  },
  async breaks() {
    throw new TypeError("secret");
  },
  async unsendable(channel) {
    await channel.write(() => 1);
  },
  async floating(channel) {
    for (const n of upTo(1_000)) void channel.write(n);
  },
  async web(channel) {
    const { readable, writable } = channel.toWeb();
    const double = new TransformStream<number, number>({ transform: (n, out) => out.enqueue(2 * n) });
    await readable.pipeThrough(double).pipeTo(writable);
  },
};

const register = (server: Server): void => {
  server.register(Object.fromEntries(Object.entries(functions).map(([name, fn]) => [name, asChannel(fn)])));
  server.registerChannel(functions.echo as Fn, { name: "echo", group: "other" });
};

const links = LINKS.filter(({ name }) => name === "TCP" || name === "memory");

describe.each(links)("over $name, a channel", ({ open }) => {
  async function run(act: (pair: Pair) => Promise<void>): Promise<void> {
    await using pair = await open(register);
    await act(pair);
    await untilQuiet(pair);
  }
  /** A test after which nothing is alive: no call, no stream, no timer, on either side. */
  const quietly = (name: string, act: (pair: Pair) => Promise<void>) => test(name, () => run(act));

  quietly("writes and reads, in every way, on both sides", async ({ client }) => {
    await remote(
      client,
      "echo",
    )(async (channel) => {
      await channel.write("a");
      expect(await channel.readBody()).toBe("a");
      await channel.write({ b: new Date(1), c: [1n, new Map([["k", new Uint8Array([1])]])] });
      expect((await channel.read()).body).toEqual({ b: new Date(1), c: [1n, new Map([["k", new Uint8Array([1])]])] });
      let cnt = 0;
      while (await channel.loop(cnt < 3)) {
        await channel.write(cnt++);
        expect(await channel.readBody()).toBe(cnt - 1);
      }
      for (const n of upTo(5)) await channel.write(n);
      const got: unknown[] = [];
      for await (const body of channel) if (got.push(body) === 2) break;
      for await (const body of channel.iterBody()) if (got.push(body) === 4) break;
      for await (const { body } of channel.iter()) if (got.push(body) === 5) break;
      expect(got).toEqual(upTo(5));
    });
    await remote(
      client,
      "echoRead",
    )(async (channel) => {
      await channel.write(1);
      expect(await channel.readBody()).toBe(1);
    });
  });

  quietly(
    "carries metadata at its opening and with each message, and answers with headers and trailers",
    async ({ client }) => {
      await remote(
        client,
        "echoIter",
      )(async (channel) => {
        await channel.write("a", { metadata: { "x-n": "1" } });
        await channel.write("b", { metadata: { "x-n": "2" } });
        const got = [await channel.read(), await channel.read()];
        expect(got.map(({ body, seq, metadata }) => [body, seq, metadata.get("x-n")])).toEqual([
          [[0, "a"], 0, "1!"],
          [[1, "b"], 1, "2!"],
        ]);
      });
      const heard: unknown[] = [];
      const channel = await remote(client, "opening").open({
        metadata: { "x-who": "me" },
        onHeaders: (metadata) => heard.push(metadata.get("x-answer")),
        onTrailers: (metadata) => heard.push(metadata.get("x-sum")),
      });
      expect(await channel.readBody()).toEqual(["channel", "default", "me", "me", "string"]);
      expect(channel.metadata.get("x-answer")).toBe("yes");
      await channel.waitClose();
      expect(heard).toEqual(["yes", "3"]);
    },
  );

  quietly("belongs to a group as any function does", async ({ client }) => {
    for (const group of ["default", "other"]) {
      await remote(
        client,
        "echo",
        group,
      )(async (channel) => {
        await channel.write(group);
        expect(await channel.readBody()).toBe(group);
      });
    }
    const bound = client.service<{ echo: Fn }>("other", { echo: "channel" } as never);
    await (bound.echo as unknown as RemoteChannel<number, number>)(async (channel) => {
      await channel.write(7);
      expect(await channel.readBody()).toBe(7);
    });
    const missing = await remote(client, "echo", "nowhere").open();
    await expect(missing.read()).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  quietly(
    "ends its reader when the writer has ended, after all that was written, one direction at a time",
    async ({ client }) => {
      await remote(
        client,
        "count",
      )(async (channel) => {
        const got: unknown[] = [];
        while (await channel.loop()) got.push(await channel.readBody().catch(errorOf));
        expect(got.slice(0, 3)).toEqual([0, 1, 2]);
      });
      const channel = await remote(client, "half").open();
      await expect(channel.read()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
      for (const n of upTo(3)) await channel.write(n);
      expect(channel.closed).toBe(false);
      await channel.end();
      await channel.waitClose();
      await until(() => seen.length === 4);
      expect(seen).toEqual(["FAILED_PRECONDITION: this side of the channel has ended", 0, 1, 2]);
      await expect(channel.write(4)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    },
  );

  quietly(
    "is closed by the server: what it wrote can be read, then there is an end, or the reason",
    async ({ client }) => {
      const channel = await remote(client, "closes").open();
      await channel.waitClose();
      expect([channel.closed, channel.signal.aborted, channel.error]).toEqual([true, true, undefined]);
      const got: unknown[] = [];
      for await (const body of channel) got.push(body);
      expect([...got, ...seen]).toEqual(["last", "FAILED_PRECONDITION: the channel is closed"]);

      const other = await remote(client, "closesWith").open();
      expect(await other.readBody()).toBe("last");
      await expect(other.read()).rejects.toMatchObject({ code: "ABORTED", message: "enough", data: { n: 1 } });
      expect(other.error).toMatchObject({ code: "ABORTED" });
      await expect(other.write(1)).rejects.toMatchObject({ code: "ABORTED" });
    },
  );

  quietly("is closed by the caller: the function reads what was written before and is told", async ({ client }) => {
    const channel = await remote(client, "drain").open();
    for (const n of upTo(3)) await channel.write(n);
    await channel.close();
    expect([channel.closed, await channel.loop()]).toEqual([true, false]);
    await until(() => seen.length === 5);
    expect(seen).toEqual([0, 1, 2, "end", "FAILED_PRECONDITION: the channel is closed"]);
    for (const [reason, wanted] of [
      ["no more", "CANCELLED: no more"],
      [new Thrown("ABORTED", "stop it"), "ABORTED: stop it"],
    ] as const) {
      seen = [];
      const left = await remote(client, "drain").open();
      await left.write(1);
      await until(() => seen.length === 1);
      await left.close(reason);
      await until(() => seen.length === 2);
      expect(seen).toEqual([1, wanted]);
    }
  });

  quietly("takes the error of its function to the caller, whatever the caller does", async ({ client }) => {
    const fails = remote(client, "fails");
    const wanted = {
      code: "DATA_LOSS",
      message: "gone",
      reason: "GONE",
      data: { n: 1 },
      details: [2],
      origin: "remote",
    };
    await expect(
      fails(async (channel) => {
        for await (const body of channel) note(body);
      }),
    ).rejects.toMatchObject(wanted);
    expect(seen).toEqual([1]);
    // One that only waits or loops is no end either.
    await expect(fails(async (channel) => channel.waitClose())).rejects.toMatchObject(wanted);
    await expect(
      fails(async (channel) => {
        while (await channel.loop()) await turn();
      }),
    ).rejects.toMatchObject(wanted);
    // A handler that came across it has it in its own hands.
    await fails(async (channel) => {
      await channel.readBody();
      await expect(channel.read()).rejects.toMatchObject(wanted);
    });
    const late = remote(client, "failsAfterEnd");
    await expect(late(async (channel) => channel.waitClose())).rejects.toMatchObject({ code: "DATA_LOSS" });
    const broken = await remote(client, "breaks").open();
    await expect(broken.read()).rejects.toMatchObject({
      code: "UNKNOWN",
      message: expect.not.stringContaining("secret"),
    });
    const unsendable = await remote(client, "unsendable").open();
    await expect(unsendable.read()).rejects.toMatchObject({ code: "INTERNAL" });
  });

  quietly(
    "takes the error of the caller's handler to the function, and lets it through to the caller",
    async ({ client }) => {
      const drain = remote(client, "drain");
      const mistake = new TypeError("a mistake");
      for (const [thrown, wanted] of [
        [mistake, "CANCELLED: the caller's side of the channel failed"],
        [new Thrown("PERMISSION_DENIED", "not this one"), "PERMISSION_DENIED: not this one"],
      ] as const) {
        seen = [];
        const call = drain(async (channel) => {
          await channel.write(1);
          await until(() => seen.length === 1);
          throw thrown;
        });
        await expect(call).rejects.toBe(thrown);
        await until(() => seen.length === 2);
        expect(seen).toEqual([1, wanted]);
      }
    },
  );

  quietly("that is left early cancels its function, by whichever way", async ({ client, server }) => {
    const pour = remote(client, "pour");
    const ways: [string, () => Promise<unknown>][] = [
      ["a return", () => pour(async (channel) => void (await channel.readBody()))],
      [
        "await using",
        async () => {
          await using channel = await pour.open();
          await channel.readBody();
        },
      ],
      [
        "a signal",
        async () => {
          const caller = new AbortController();
          const channel = await pour.open({ signal: caller.signal });
          await channel.readBody();
          caller.abort();
          await expect(channel.write(1)).rejects.toMatchObject({ code: "CANCELLED" });
        },
      ],
      [
        "a timeout",
        async () => {
          const channel = await pour.open({ timeout: 30 });
          await channel.waitClose();
          expect(channel.error).toMatchObject({ code: "DEADLINE_EXCEEDED" });
        },
      ],
      [
        "a reader that is cancelled",
        async () => {
          const reader = (await pour.open()).toWeb().readable.getReader();
          await reader.read();
          await reader.cancel();
        },
      ],
    ];
    for (const [, leave] of ways) {
      seen = [];
      await leave();
      await until(() => seen.length === 2);
      expect(seen[0]).toMatch(/^(CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): /);
      expect(seen[1]).toEqual([true, true, true, expect.anything()]);
      await until(() => server.stats().inFlight === 0);
    }
  });

  quietly("gives up a read after its timeout, and goes on", async ({ client }) => {
    const channel = await remote(client, "echo").open();
    await expect(channel.read({ timeout: 10 })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await expect(channel.readBody({ signal: AbortSignal.timeout(10) })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    await channel.write("still here");
    expect(await channel.readBody({ timeout: 5_000 })).toBe("still here");
    await channel.close();
  });

  quietly("is a pair of Web Streams on either side, and a Duplex of Node", async ({ client }) => {
    const channel = await remote(client, "web").open();
    const { readable, writable } = channel.toWeb();
    const source = new ReadableStream<number>({
      start(out) {
        for (const n of upTo(300)) out.enqueue(n);
        out.close();
      },
    });
    const piped = source.pipeTo(writable);
    const got: number[] = [];
    for await (const n of readable as unknown as AsyncIterable<number>) got.push(n);
    await piped;
    expect(got).toEqual(upTo(300).map((n) => 2 * n));
    await channel.waitClose();

    const duplex = Duplex.fromWeb((await remote(client, "echo").open()).toWeb() as never, { objectMode: true });
    duplex.write("a");
    duplex.end("b");
    const echoed: unknown[] = [];
    for await (const each of duplex) echoed.push(each);
    expect(echoed).toEqual(["a", "b"]);
  });

  quietly("keeps order and loses nothing, also of writes that nobody awaits before the end", async ({ client }) => {
    const count = 2_000;
    await remote(
      client,
      "echo",
    )(async (channel) => {
      for (const n of upTo(count)) void channel.write(n);
      void channel.end();
      const got: unknown[] = [];
      for await (const body of channel) got.push(body);
      expect(got).toEqual(upTo(count));
    });
    const got: unknown[] = [];
    await remote(
      client,
      "floating",
    )(async (channel) => {
      for await (const body of channel) got.push(body);
    });
    expect(got).toEqual(upTo(1_000));
  });

  quietly(
    "stops its writer within the window, in both directions, while the other direction flows",
    async ({ client, server }) => {
      let wrote = 0;
      const stop = deferred();
      server.registerChannel(
        async function both(channel: Channel<string, string>) {
          const writing = (async () => {
            for (; wrote < 100_000; wrote++) await channel.write("x".repeat(2_048));
          })().catch(() => undefined);
          await stop.promise;
          let read = 0;
          for await (const _ of channel) read++;
          note(read);
          await writing;
        },
        { name: "both" },
      );
      const channel = await remote(client, "both").open();
      let sent = 0;
      let open = true;
      const sending = (async () => {
        for (; open; sent++) await channel.write("y".repeat(2_048));
      })().catch(() => undefined);
      // Neither side reads: both writers come to rest.
      let before = -1;
      while (before !== wrote + sent) {
        before = wrote + sent;
        for (const _ of upTo(50)) await turn();
      }
      const window = LIMITS.streamWindowBytes / 2_048;
      for (const count of [wrote, sent]) {
        expect(count).toBeGreaterThan(window / 2);
        expect(count).toBeLessThanOrEqual(window + 2);
      }
      // The caller reads, the function does not: only the function's writer goes on.
      const stood = sent;
      for (const _ of upTo(500)) await channel.read();
      expect([sent, wrote > 500]).toEqual([stood, true]);
      open = false;
      stop.resolve();
      await sending;
      await channel.end();
      await channel.close();
      await until(() => seen.length === 1);
      expect(seen[0]).toBe(sent);
    },
  );

  quietly("ends on both sides when the connection is gone", async ({ client, server }) => {
    const channel = await remote(client, "drain").open();
    await channel.write(1);
    await until(() => seen.length === 1);
    for (const connection of server.connections()) await connection.close("out of order");
    await expect(channel.read()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("out of order"),
    });
    await until(() => seen.length === 2);
    expect(seen[1]).toMatch(/^UNAVAILABLE: /);
    await until(() => client.stats().connections === 1);
  });

  quietly("is refused as what it is not, and by its own limit", async ({ client, server }) => {
    server.register({ plain: () => 1 });
    const wrong = await remote(client, "plain").open();
    await expect(wrong.read()).rejects.toMatchObject({
      code: "UNIMPLEMENTED",
      message: expect.stringContaining("not a channel"),
    });
    await expect(client.invokeByName("echo")).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
    const channels = await Promise.all(upTo(LIMITS.maxChannels).map(() => remote(client, "echo").open()));
    // The client knows the server's limit, and waits.
    const waiting = remote(client, "echo").open();
    expect(client.stats().waiting).toBe(1);
    await channels[0]!.close();
    await (await waiting).close();
    await Promise.all(channels.map((channel) => channel.close()));
  });
});

test("an endless conversation in both directions takes no more and more memory, and no timers", async () => {
  const server = new Server({ logger: SILENT });
  register(server);
  await using pair = await createTestPair(server);
  await remote(
    pair.client,
    "echo",
  )(async (channel) => {
    const rounds = async (count: number) => {
      for (const n of upTo(count)) {
        await channel.write(n);
        await channel.readBody();
      }
    };
    await rounds(2_000);
    const before = process.memoryUsage().heapUsed;
    const timers = pair.client.stats().timers;
    await rounds(20_000);
    // 20 000 messages kept would be several times as much.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(60 * 1024 * 1024);
    expect(pair.client.stats().timers).toBe(timers);
  });
});

test("10 000 channels are open over 100 connections, each talks, and nothing is left of them", async () => {
  const limits = { maxChannels: 100, maxInFlight: 200, maxServerInFlight: 20_000 };
  const server = new Server({ logger: SILENT, limits });
  register(server);
  const clients = 100;
  const each = 100;
  const transport = memory();
  await server.listen({ transport, address: "memory://many" });
  const pairs = await Promise.all(
    upTo(clients).map(() => new Client({ target: "memory://many", transports: [transport], limits }).start()),
  );
  const channels = await Promise.all(pairs.flatMap((client) => upTo(each).map(() => remote(client, "echo").open())));
  await Promise.all(channels.map((channel, n) => channel.write(n)));
  const got = await Promise.all(channels.map((channel) => channel.readBody()));
  expect(got).toEqual(upTo(clients * each));
  expect(server.stats()).toMatchObject({ connections: clients, inFlight: clients * each });
  for (const client of pairs) expect(client.stats().inFlight).toBe(each);
  await Promise.all(channels.map(async (channel, n) => (n % 2 === 0 ? channel.close() : channel.end())));
  await Promise.all(channels.map((channel) => channel.waitClose()));
  await until(() => server.stats().inFlight === 0 && pairs.every((client) => client.stats().inFlight === 0));
  expect(server.stats().timers).toBe(clients);
  for (const client of pairs) expect(client.stats().timers).toBe(1);
  await Promise.all(pairs.map((client) => client.stop()));
  await server.shutdown();
  expect(server.stats()).toMatchObject({ connections: 0, inFlight: 0, timers: 0 });
}, 20_000);

test("a channel is left while both sides wait for credit: what was sent before arrives, and the function ends", async () => {
  // The function gives credit after four messages, and writes one for each: it waits for its caller to read.
  const server = new Server({ logger: SILENT, limits: { streamWindowMessages: 8 } });
  register(server);
  await using pair = await createTestPair(server, { client: { limits: { streamWindowMessages: 1 } } });
  const channel = await remote(pair.client, "echo").open();
  const writes = upTo(9).map((n) => channel.write(n));
  await Promise.all(writes.slice(0, 8));
  for (let i = 0; i < 20; i++) await turn();
  await channel.close();
  await writes[8];
  await untilQuiet(pair);
});
