import { describe, expect, test } from "@jest/globals";
import type { Client } from "@rap/client";
import { type CallLimit, type Channel, type Frame, LIMITS, type Limits, msgpack } from "@rap/protocol";
import { Server, type ServerStats } from "@rap/server";
import { createTestPair } from "@rap/testing";
import { AROUND, call, calls, greet, METADATA, message, metadataAround, scene, settle } from "./limit-scene";
import { SILENT } from "./links";

/** The limits that have refused something. */
const counted = ({ refused }: Pick<ServerStats, "refused">) =>
  Object.fromEntries(Object.entries(refused).filter(([, count]) => count > 0));

describe("up to the limit calls run, and beyond it each is refused and counted:", () => {
  test.each<[CallLimit, string]>([
    ["maxInFlight", "hang"],
    ["maxServerInFlight", "hang"],
    ["maxStreams", "drip"],
    ["maxChannels", "talk"],
  ])("%s", async (limit, name) => {
    for (const count of [2, 3, 4, 5]) {
      await using stage = await scene({ [limit]: 3 });
      stage.peer.send(...calls(count, name));
      await settle();
      expect(stage.server.stats()).toMatchObject({ inFlight: Math.min(3, count), connections: 1 });
      expect(counted(stage.server.stats())).toEqual(count > 3 ? { [limit]: count - 3 } : {});
      expect(stage.peer.of("reset").map(({ id }) => id)).toEqual([7, 9].slice(0, Math.max(0, count - 3)));
    }
  });

  test("maxInFlightPerIp, of all connections of an address, also of those that are gone", async () => {
    const far = { peer: { address: "192.0.2.7", local: false } };
    for (const more of AROUND) {
      await using stage = await scene({ maxInFlightPerIp: 3 }, far);
      const gone = await stage.dial();
      greet(gone);
      gone.send(call(1, "hang"));
      await settle();
      gone.socket.destroy();
      await settle();
      stage.peer.send(...calls(2 + more, "hang"));
      await settle();
      const over = more === 1 ? 1 : 0;
      expect(stage.server.stats()).toMatchObject({ inFlight: 3 + more - over, connections: 1 });
      expect(counted(stage.server.stats())).toEqual(over === 1 ? { maxInFlightPerIp: 1 } : {});
      stage.release();
      await settle();
      stage.peer.send(call(9, "echo", [1]));
      await settle();
      expect(stage.peer.of("data").map(({ id }) => id)).toContain(9);
    }
  });

  test("maxInFlight has the place again of a call that is given up before its arguments have come", async () => {
    for (const code of [0, 1, 4]) {
      await using stage = await scene({ maxInFlight: 1 });
      stage.peer.send({ ...call(1, "echo"), body: new Uint8Array(300), end: false, more: true } as Frame);
      await settle();
      expect([code, stage.server.stats().inFlight]).toEqual([code, 1]);
      stage.peer.send({ kind: "reset", id: 1, code, flags: 0, body: new Uint8Array(0) });
      await settle();
      expect([code, stage.server.stats().inFlight]).toEqual([code, 0]);
    }
  });

  test("maxSessions", async () => {
    await using pair = await createTestPair(new Server({ limits: { maxSessions: 2 }, logger: SILENT }));
    const sessions = [await pair.client.openSession(), await pair.client.openSession()];
    expect(counted(pair.server.stats())).toEqual({});
    await expect(pair.client.openSession()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(counted(pair.server.stats())).toEqual({ maxSessions: 1 });
    await sessions[0]!.close();
    await (await pair.client.openSession()).close();
    expect(counted(pair.server.stats())).toEqual({ maxSessions: 1 });
  });

  test("maxQueuedCalls, in the client", async () => {
    const server = new Server({ limits: { maxInFlight: 1 }, logger: SILENT });
    const waiting: (() => void)[] = [];
    server.register({ hang: () => new Promise<void>((resolve) => void waiting.push(resolve)) });
    await using pair = await createTestPair(server, { client: { limits: { maxQueuedCalls: 2 } } });
    const running = [pair.client.invokeByName("hang")];
    for (const waits of [1, 2]) {
      running.push(pair.client.invokeByName("hang"));
      expect(pair.client.stats().waiting).toBe(waits);
    }
    expect(pair.client.stats().refused).toBeUndefined();
    await expect(pair.client.invokeByName("hang")).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(pair.client.stats().refused).toEqual({ maxQueuedCalls: 1 });
    for (let ended = 0; ended < 3; ended++) {
      while (waiting.length === 0) await settle();
      waiting.shift()!();
    }
    await Promise.all(running);
  });
});

test("connections that servers end are counted by a client, too", async () => {
  await using pair = await createTestPair(new Server({ logger: SILENT }));
  expect(pair.client.stats().ended).toBeUndefined();
  for (const conn of pair.server.connections()) await conn.close("enough");
  await settle();
  expect(pair.client.stats().ended).toEqual({ REFUSED: 1 });
});

/** Memory that `codec.decode` reckons with for a value, as it is the least with which it accepts it. */
function cost(value: unknown): number {
  const bytes = new Uint8Array(msgpack().encode(value));
  const fits = (maxCost: number) => {
    try {
      return msgpack({ maxCost }).decode(bytes, 0, bytes.length, false) !== undefined;
    } catch {
      return false;
    }
  };
  let [no, yes] = [1, 1 << 20];
  while (yes - no > 1) {
    const middle = (no + yes) >> 1;
    if (fits(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}

const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, n]));
/** Text that takes so many bytes when it is encoded. */
const text = (bytes: number) => "x".repeat(bytes - 3);
const items = { list: Array.from({ length: 100 }, (_, n) => ({ n, text: `item ${n}` })) };

type Invoke = (client: Client, more: number) => Promise<unknown>;
type Refuses = "client" | "server";

const echo =
  (value: (more: number) => unknown): Invoke =>
  (client, more) =>
    client.invokeByName("echo", [value(more)]);
/** The client makes it on the server. */
const made =
  (name: string, size: number): Invoke =>
  (client, more) =>
    client.invokeByName(name, [size + more]);

describe("up to its limit a value passes, and one over it the call fails alone and is counted:", () => {
  const small = { maxMessageBytes: 10_000, maxDepth: 10, maxMapEntries: 100 };

  // Arguments are an array around the value: a byte, and a level.
  test.each<[string, CallLimit, Refuses, LimitsOf, Invoke]>([
    ["arguments, where they are sent", "maxMessageBytes", "client", { server: small }, echo((n) => text(9_999 + n))],
    ["a result, where it is sent", "maxMessageBytes", "server", { client: small }, made("text", 10_000)],
    ["an item of a stream", "maxMessageBytes", "server", { client: small }, itemOf(10_000)],
    ["a message of a channel", "maxMessageBytes", "client", { server: small }, written((n) => text(10_000 + n))],
    ["arguments, where they are sent", "maxDepth", "client", { client: small }, echo((n) => nested(9 + n))],
    ["arguments, where they come", "maxDepth", "server", { server: small }, echo((n) => nested(9 + n))],
    ["a result, where it is sent", "maxDepth", "server", { server: small }, made("nested", 10)],
    ["a result, where it comes", "maxDepth", "client", { client: small }, made("nested", 10)],
    ["a message of a channel", "maxDepth", "client", { client: small }, written((n) => nested(10 + n))],
    ["arguments, where they are sent", "maxMapEntries", "client", { client: small }, echo((n) => entries(100 + n))],
    ["arguments, where they come", "maxMapEntries", "server", { server: small }, echo((n) => entries(100 + n))],
    ["a Map, where it comes", "maxMapEntries", "server", { server: small }, echo((n) => map(100 + n))],
    ["a result, where it is sent", "maxMapEntries", "server", { server: small }, made("entries", 100)],
    ["a result, where it comes", "maxMapEntries", "client", { client: small }, made("entries", 100)],
  ])("%s (%s, counted by the %s)", async (_what, limit, by, limits, invoke) => {
    await using pair = await createTestPair(valueServer(limits.server), { client: { limits: limits.client ?? {} } });
    await invoke(pair.client, -1);
    await invoke(pair.client, 0);
    expect([counted(pair.server.stats()), pair.client.stats().refused]).toEqual([{}, undefined]);
    await expect(invoke(pair.client, 1)).rejects.toMatchObject({
      code: expect.stringMatching(/^(RESOURCE_EXHAUSTED|INVALID_ARGUMENT|INTERNAL)$/),
    });
    expect(counted(pair.server.stats())).toEqual(by === "server" ? { [limit]: 1 } : {});
    expect(pair.client.stats().refused).toEqual(by === "client" ? { [limit]: 1 } : undefined);
    expect(await pair.client.invokeByName("echo", ["abc"])).toBe("abc");
    expect([pair.server.stats().connections, pair.server.stats().ended]).toEqual([1, {}]);
  });

  test.each<Refuses>(["server", "client"])("memory for a value (maxDecodeBytes, counted by the %s)", async (by) => {
    const least = cost(by === "server" ? [items] : items);
    for (const more of AROUND) {
      const limits = { [by]: { maxDecodeBytes: least - more } } as LimitsOf;
      await using pair = await createTestPair(valueServer(limits.server), { client: { limits: limits.client ?? {} } });
      const result = pair.client.invokeByName("echo", [items]);
      if (more < 1) expect(await result).toEqual(items);
      else await expect(result).rejects.toMatchObject({ message: expect.stringContaining("more memory than") });
      const over = more < 1 ? {} : { maxDecodeBytes: 1 };
      expect(by === "server" ? counted(pair.server.stats()) : (pair.client.stats().refused ?? {})).toEqual(over);
    }
  });

  test("a message that ignores what the server said it takes (maxMessageBytes)", async () => {
    for (const more of AROUND) {
      await using stage = await scene({ maxMessageBytes: 1_000 });
      stage.peer.send(call(1, "echo", [text(999 + more)]), call(3, "talk"), message(3, 1_000 + more));
      await settle();
      expect(counted(stage.server.stats())).toEqual(more === 1 ? { maxMessageBytes: 2 } : {});
      expect(stage.peer.of("reset").map(({ id }) => id)).toEqual(more === 1 ? [1, 3] : []);
      expect(stage.server.stats().ended).toEqual({});
    }
  });
});

interface LimitsOf {
  readonly server?: Partial<Limits>;
  readonly client?: Partial<Limits>;
}

function map(count: number): Map<number, number> {
  return new Map(Array.from({ length: count }, (_, n) => [n, n]));
}

/** Reads one item of a stream, which takes so many bytes. */
function itemOf(size: number): Invoke {
  return async (client, more) => {
    await client
      .registerGen<(size: number) => AsyncGenerator<string>>("items")(size + more)
      .next();
  };
}

/** Writes one message to a channel. */
function written(value: (more: number) => unknown): Invoke {
  return async (client, more) => {
    await using sink = await client.registerChannel<(channel: Channel<unknown, never>) => Promise<void>>("sink").open();
    await sink.write(value(more));
  };
}

function valueServer(limits: Partial<Limits> = {}): Server {
  return new Server({ limits, logger: SILENT })
    .register({
      echo: (value: unknown) => value,
      text,
      nested,
      entries,
      async *items(size: number) {
        yield text(size);
      },
    })
    .registerChannel(
      async (channel) => {
        for await (const _ of channel.iterBody());
      },
      { name: "sink" },
    );
}

describe("up to its limit metadata passes, and one over it the call fails alone and is counted:", () => {
  test.each(Object.keys(METADATA))("%s, in the client", async (limit) => {
    await using pair = await createTestPair(valueServer());
    for (const more of AROUND) {
      const metadata = Object.fromEntries(METADATA[limit]!(more));
      const called = pair.client.invokeByName("echo", [1], { metadata });
      if (more < 1) expect(await called).toBe(1);
      else await expect(called).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(pair.client.stats().refused).toEqual(more === 1 ? { [limit]: 1 } : undefined);
    }
  });

  test.each(Object.keys(METADATA))("%s, in the server, with a call and with a message", async (limit) => {
    for (const more of AROUND) {
      await using stage = await scene({});
      const body = new Uint8Array(msgpack().encode(1));
      const beside: Frame = { kind: "data", id: 3, body, metadata: metadataAround(limit, more) };
      stage.peer.send(call(1, "echo", [1], metadataAround(limit, more)), call(3, "talk"), beside);
      await settle();
      expect(counted(stage.server.stats())).toEqual(more === 1 ? { [limit]: 2 } : {});
      expect(stage.peer.of("reset").map(({ id, code }) => [id, code])).toEqual(
        more === 1
          ? [
              [1, 3],
              [3, 3],
            ]
          : [],
      );
      expect(stage.server.stats().ended).toEqual({});
    }
  });
});

describe("maxNameBytes", () => {
  const name = (more: number) => "n".repeat(LIMITS.maxNameBytes + more);

  test("up to it a name and a group can be registered and called, and one over it neither", async () => {
    const server = new Server({ logger: SILENT });
    for (const more of [-1, 0]) server.register({ [name(more)]: () => more }, { group: name(more) });
    const refused = expect.objectContaining({ code: "ERR_RAP_REGISTER" });
    expect(() => server.register({ [name(1)]: () => 1 })).toThrow(refused);
    expect(() => server.register({ f: () => 1 }, { group: name(1) })).toThrow(refused);
    await using pair = await createTestPair(server);
    for (const more of [-1, 0]) {
      expect(await pair.client.invokeByName(name(more), [], { group: name(more) })).toBe(more);
    }
    await expect(pair.client.invokeByName(name(1), [], { group: name(0) })).rejects.toEqual(refused);
  });

  test("one over it is called in vain as any other name, and is counted", async () => {
    for (const more of AROUND) {
      await using stage = await scene({});
      stage.peer.send(call(1, `default/${name(more)}`), call(3, `${name(more)}/f`), call(5, `default/a/${name(0)}`));
      await settle();
      // NOT_FOUND. Names may have slashes, groups have none.
      expect(stage.peer.of("reset").map(({ code }) => code)).toEqual([5, 5, 5]);
      expect(counted(stage.server.stats())).toEqual({ maxNameBytes: more === 1 ? 3 : 1 });
    }
  });
});

test("fragmentBytes: a message of so many bytes travels in one part, and of one more in two", async () => {
  for (const more of AROUND) {
    await using stage = await scene({ fragmentBytes: 20_000 });
    stage.peer.send(call(1, "bytes", [20_000 - 3 + more]));
    await settle();
    expect(stage.peer.of("data").map(({ body }) => body.length)).toEqual(more === 1 ? [20_000, 1] : [20_000 + more]);
  }
});
