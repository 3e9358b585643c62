import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { type Channel, Metadata, RapError, safe } from "@rap/client";
import { context, type Server } from "@rap/server";
import { LINKS, type Pair, untilQuiet } from "./links";

jest.setTimeout(120_000);

// gRPC's interop cases (doc/interop-test-descriptions.md), those that its authors still have on their list, and the
// behaviour of cancelling and of deadlines, each over every transport.

const LARGE_REQUEST = 271_828;
const LARGE_REPLY = 314_159;
const UP = [27_182, 8, 1_828, 45_904];
const DOWN = [31_415, 9, 2_653, 58_979];
const MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

/** What the handlers saw, by the name of the test that made the call. */
const seen = new Map<string, string>();

const functions = {
  empty: () => undefined,
  echo: (value: unknown) => value,
  large(request: Uint8Array, size: number, tag: number) {
    const reply = new Uint8Array(size);
    new DataView(reply.buffer).setUint32(0, request.length);
    new DataView(reply.buffer).setUint32(4, tag);
    return reply;
  },
  async sum(parts: AsyncIterable<Uint8Array>) {
    let sum = 0;
    for await (const part of parts) sum += part.length;
    return sum;
  },
  async *sizes(sizes: number[]) {
    for (const size of sizes) yield new Uint8Array(size);
  },
  async *answers(sizes: AsyncIterable<number>) {
    for await (const size of sizes) yield new Uint8Array(size);
  },
  fail(code: "UNKNOWN", message: string): never {
    throw new RapError(code, message);
  },
  // biome-ignore lint/correctness/useYield: it fails instead
  async *failing(code: "UNKNOWN", message: string): AsyncGenerator<never> {
    throw new RapError(code, message);
  },
  metadata() {
    reflect();
    return "unary";
  },
  async *metadataStream() {
    reflect();
    yield "stream";
  },
  hang: (name: string) => untilCancelled(name),
  async hangAfter(items: AsyncIterable<number>, name: string) {
    let count = 0;
    for await (const _ of items) count++;
    seen.set(name, `read ${count}`);
    await untilCancelled(name);
  },
  async *hangAfterFirst(name: string) {
    try {
      yield 1;
      await untilCancelled(name);
    } finally {
      seen.set(name, `${seen.get(name)}, left`);
    }
  },
};

/** Sends the caller's metadata back, before the reply and after it. */
function reflect(): void {
  const { metadata, responseHeaders, responseTrailers } = context();
  for (const [key, value] of metadata) {
    responseHeaders.append(key, value);
    responseTrailers.append(key, value);
  }
}

async function untilCancelled(name: string): Promise<void> {
  const { signal } = context();
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  seen.set(name, `${seen.get(name) ?? ""}${(signal.reason as RapError).code}`);
}

const STREAMS = {
  sizes: "stream",
  answers: "stream",
  failing: "stream",
  metadataStream: "stream",
  hangAfterFirst: "stream",
} as const;

function register(server: Server): void {
  server.register(functions);
  server.registerChannel(async function pingPong(channel: Channel<number, Uint8Array>) {
    for await (const size of channel) await channel.write(new Uint8Array(size));
  });
}

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const lengths = async (stream: AsyncIterable<Uint8Array>) => {
  const list: number[] = [];
  for await (const each of stream) list.push(each.length);
  return list;
};

describe.each(LINKS)("over $name", (link) => {
  let pair: Pair;
  let remote: ReturnType<typeof remoteOf>;
  const remoteOf = () => pair.client.service<typeof functions>("default", STREAMS);
  beforeAll(async () => {
    pair = await link.open(register);
    remote = remoteOf();
  });
  afterAll(async () => pair[Symbol.asyncDispose]());

  /** A name under which a handler tells what it saw. */
  const named = (what: string) => `${link.name}: ${what}`;

  test("empty_unary: nothing goes there and nothing comes back", async () => {
    expect(await remote.empty()).toBeUndefined();
    expect(await remote.echo(new Uint8Array(0))).toEqual(new Uint8Array(0));
  });

  test("large_unary: a request and a reply larger than any window for fragments", async () => {
    const reply = await remote.large(new Uint8Array(LARGE_REQUEST), LARGE_REPLY, 7);
    expect(reply).toHaveLength(LARGE_REPLY);
    expect(new DataView(reply.buffer, reply.byteOffset).getUint32(0)).toBe(LARGE_REQUEST);
  });

  test("client_streaming: four requests, one sum", async () => {
    async function* parts() {
      for (const size of UP) yield new Uint8Array(size);
    }
    expect(await remote.sum(parts())).toBe(74_922);
  });

  test("server_streaming: exactly four replies of the sizes asked for, in order", async () => {
    expect(await lengths(remote.sizes(DOWN))).toEqual(DOWN);
  });

  test("ping_pong: each reply comes before the next request is sent, as a stream and as a channel", async () => {
    let answered!: () => void;
    async function* requests() {
      for (const size of DOWN) {
        const answer = new Promise<void>((resolve) => {
          answered = resolve;
        });
        yield size;
        await answer;
      }
    }
    const got: number[] = [];
    for await (const { length } of remote.answers(requests())) {
      got.push(length);
      answered();
    }
    expect(got).toEqual(DOWN);

    type PingPong = (channel: Channel<number, Uint8Array>) => Promise<void>;
    await pair.client.registerChannel<PingPong>("pingPong")(async (channel) => {
      for (const size of DOWN) {
        await channel.write(size);
        expect(await channel.readBody()).toHaveLength(size);
      }
      await channel.end();
    });
  });

  test("empty_stream: a half-close at once gives no message and a clean end", async () => {
    async function* none(): AsyncGenerator<never> {}
    expect(await lengths(remote.answers(none()))).toEqual([]);
    expect(await remote.sum(none())).toBe(0);
  });

  test("timeout_on_sleeping_server: a deadline of 1 ms is DEADLINE_EXCEEDED, unary and streaming", async () => {
    const late = { code: "DEADLINE_EXCEEDED" };
    await expect(remote.hang.with({ timeout: 1 })("late")).rejects.toMatchObject(late);
    await expect(lengths(remote.sizes.with({ timeout: 1 })(times(100_000, () => 1)))).rejects.toMatchObject(late);
    await untilQuiet(pair);
  });

  test("a call that is done before its deadline keeps its result", async () => {
    expect(await remote.echo.with({ timeout: 20_000 })("in time")).toBe("in time");
    await untilQuiet(pair);
  });

  test("cancel before the start: CANCELLED, and nothing was sent", async () => {
    const before = pair.client.stats();
    const { error } = (await safe(remote.hang.with({ signal: AbortSignal.abort() })("never"))) as { error: RapError };
    expect(error).toMatchObject({ code: "CANCELLED", maybeExecuted: false });
    expect(pair.client.stats()).toEqual(before);
  });

  test("cancel_after_begin: both sides see it", async () => {
    const name = named("cancel after begin");
    const caller = new AbortController();
    async function* silent(): AsyncGenerator<number> {
      seen.set(name, "");
      await new Promise((resolve) => caller.signal.addEventListener("abort", resolve));
    }
    const result = remote.hangAfter.with({ signal: caller.signal })(silent(), name);
    const hung = remote.hang.with({ signal: caller.signal })(name);
    await remote.echo("both have begun");
    caller.abort();
    await expect(result).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(hung).rejects.toMatchObject({ code: "CANCELLED" });
    await untilQuiet(pair);
    expect(seen.get(name)).toBe("CANCELLED");
  });

  test("cancel_after_first_response: both sides see it, and the generator runs its finally once", async () => {
    const name = named("cancel after the first item");
    seen.set(name, "");
    const caller = new AbortController();
    const stream = remote.hangAfterFirst.with({ signal: caller.signal })(name);
    expect(await stream.next()).toEqual({ done: false, value: 1 });
    const second = stream.next();
    await remote.echo("the generator waits");
    caller.abort();
    await expect(second).rejects.toMatchObject({ code: "CANCELLED" });
    await untilQuiet(pair);
    expect(seen.get(name)).toBe("CANCELLED, left");
  });

  test("cancel after the half-close: both sides see it", async () => {
    const name = named("cancel after half-close");
    const caller = new AbortController();
    const result = remote.hangAfter.with({ signal: caller.signal })([1, 2, 3].values(), name);
    while (seen.get(name) === undefined) await remote.echo("has it read all?");
    caller.abort();
    await expect(result).rejects.toMatchObject({ code: "CANCELLED" });
    await untilQuiet(pair);
    expect(seen.get(name)).toBe("read 3CANCELLED");
  });

  test("custom_metadata: text and bytes come back before and after the reply, unary and streaming", async () => {
    const metadata = { "x-initial": "test_initial_metadata_value", "x-many": ["a", "b"], "x-trailing-bin": bytes };
    const expected = [...new Metadata(metadata)];
    const unary: Record<string, unknown> = {};
    const options = {
      metadata,
      onHeaders: (got: Metadata) => Object.assign(unary, { headers: [...got] }),
      onTrailers: (got: Metadata) => Object.assign(unary, { trailers: [...got] }),
    };
    expect(await remote.metadata.with(options)()).toBe("unary");
    expect(unary).toEqual({ headers: expected, trailers: expected });

    const stream = remote.metadataStream.with({ metadata })();
    expect([...(await stream.headers)]).toEqual(expected);
    expect(await stream.next()).toEqual({ done: false, value: "stream" });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect([...(await stream.trailers)]).toEqual(expected);
  });
  const bytes = Uint8Array.of(0xab, 0xab, 0x00, 0xff);

  test("status_code_and_message and special_status_message: both arrive as they were, unary and streaming", async () => {
    for (const message of ["test status message", MESSAGE]) {
      await expect(remote.fail("UNKNOWN", message)).rejects.toMatchObject({ code: "UNKNOWN", message });
      const stream = remote.failing("UNKNOWN", message);
      await expect(stream.next()).rejects.toMatchObject({ code: "UNKNOWN", message });
    }
  });

  test("unimplemented: an unknown function and a wrong shape are refused, and the connection goes on", async () => {
    const never = { maybeExecuted: false };
    await expect(pair.client.invokeByName("nothing")).rejects.toMatchObject({ code: "NOT_FOUND", ...never });
    await expect(pair.client.invokeByName("x", [], { group: "none" })).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(pair.client.invokeByName("pingPong")).rejects.toMatchObject({ code: "UNIMPLEMENTED", ...never });
    await expect(pair.client.invokeByName("sizes", [[1]])).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
    expect(await remote.echo("still here")).toBe("still here");
  });

  test("max_streams: ten calls at once on a connection for one wait for each other and all succeed", async () => {
    await using narrow = await link.open(register, { server: { limits: { maxInFlight: 1 } } });
    const one = narrow.client.service<typeof functions>("default", STREAMS);
    expect(await Promise.all(times(10, (i) => one.echo(i)))).toEqual(times(10, (i) => i));
    const streams = times(10, () => lengths(one.sizes([1, 2])));
    expect(await Promise.all(streams)).toEqual(times(10, () => [1, 2]));
  });

  test("1 000 calls at once with 272 KB up and 314 KB down each get their own reply", async () => {
    const request = new Uint8Array(LARGE_REQUEST);
    // How long half a gigabyte takes is not the question.
    const large = remote.large.with({ timeout: Infinity });
    const replies = times(1_000, async (tag) => {
      const reply = await large(request, LARGE_REPLY, tag);
      const view = new DataView(reply.buffer, reply.byteOffset);
      return reply.length === LARGE_REPLY && view.getUint32(0) === LARGE_REQUEST && view.getUint32(4) === tag;
    });
    expect((await Promise.all(replies)).every(Boolean)).toBe(true);
    await untilQuiet(pair);
  });

  test("large and small calls begun in turns all get their own reply, whoever waits for whom", async () => {
    const request = new Uint8Array(LARGE_REQUEST);
    const calls = times(200, (i) => [remote.large(request, 8, i), remote.echo(i)] as const);
    for (const [i, [large, small]] of calls.entries()) {
      expect(await small).toBe(i);
      expect([...(await large)]).toEqual([0, 4, 37, 212, 0, 0, 0, i]);
    }
    const late = times(200, () => safe(remote.large.with({ timeout: 5 })(request, 8, 0)));
    for (const outcome of await Promise.all(late)) {
      if (!outcome.ok) expect(outcome.error.code).toBe("DEADLINE_EXCEEDED");
    }
    await untilQuiet(pair);
  });

  test("5 000 calls at once each get their own reply", async () => {
    expect(await Promise.all(times(5_000, (i) => remote.echo(i)))).toEqual(times(5_000, (i) => i));
    await untilQuiet(pair);
  });

  test("5 000 calls with a deadline of 50 ms at once all fail with DEADLINE_EXCEEDED, and nothing is left", async () => {
    const name = named("many deadlines");
    const outcomes = await Promise.all(times(5_000, () => safe(remote.hang.with({ timeout: 50 })(name))));
    const codes = new Set(outcomes.map((outcome) => (outcome.ok ? "OK" : outcome.error.code)));
    expect([...codes]).toEqual(["DEADLINE_EXCEEDED"]);
    await untilQuiet(pair);
    expect(await remote.echo("and on it goes")).toBe("and on it goes");
  });
});
