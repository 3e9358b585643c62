import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import { type Channel, Metadata, msgpack, RapError } from "@rap/protocol";
import { ManualClock } from "@rap/testing";
import { type ChannelParts, type Port, StreamChannel } from "../src/channel";

const codec = msgpack();

/** The stream below a channel: notes what is done to it, and has room for so many messages. */
class FakePort implements Port {
  readonly id = 7;
  localDone = false;
  readonly log: unknown[] = [];
  readonly metadata: (Metadata | undefined)[] = [];
  consumedCost = 0;

  constructor(public room = Number.POSITIVE_INFINITY) {}

  send(body: Uint8Array, _end: boolean, metadata?: Metadata): boolean {
    this.log.push(codec.decode(body, 0, body.length, false));
    this.metadata.push(metadata);
    return --this.room > 0;
  }

  end(trailers?: Metadata): void {
    this.localDone = true;
    this.log.push(trailers === undefined ? "END" : `END ${JSON.stringify(trailers)}`);
  }

  fail(error: RapError): void {
    this.localDone = true;
    this.log.push(`FAIL ${error.code} ${error.message}`);
  }

  finish(): void {
    this.localDone = true;
    this.log.push("FINISH");
  }

  reset(error: RapError): void {
    this.log.push(`RESET ${error.code}`);
  }

  consumed(cost: number): void {
    this.consumedCost += cost;
  }
}

function open(room?: number, parts: ChannelParts = {}) {
  const port = new FakePort(room);
  const clock = new ManualClock();
  const channel = new StreamChannel<any, any>(port, codec, clock, parts);
  const receive = (...bodies: unknown[]) => {
    for (const body of bodies) channel.receive(body, undefined, 10);
  };
  const grant = (messages: number) => {
    port.room = messages;
    channel.writable();
  };
  return { channel, port, clock, receive, grant };
}

const lost = new RapError("UNAVAILABLE", "the link was cut");
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false;
  void promise.then(
    () => (done = true),
    () => (done = true),
  );
  await sleep(0);
  return done;
};

describe("read", () => {
  test("gives messages in order with their metadata and number, and lets the peer send as much again", async () => {
    const { channel, port, receive } = open();
    const metadata = new Metadata({ "x-n": "1" });
    receive("a");
    channel.receive("b", metadata, 30);
    expect(await channel.read()).toMatchObject({ body: "a", metadata: new Metadata(), seq: 0 });
    expect(port.consumedCost).toBe(10);
    expect(await channel.read()).toMatchObject({ body: "b", metadata, seq: 1 });
    const waiting = channel.readBody();
    receive("c");
    expect(await waiting).toBe("c");
    expect(port.consumedCost).toBe(50);
  });

  test("rejects with OUT_OF_RANGE once the peer has ended and all was read", async () => {
    const { channel, receive } = open();
    receive("a");
    channel.receiveEnd();
    expect(await channel.readBody()).toBe("a");
    await expect(channel.read()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
    await expect(channel.readBody()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
  });

  test("rejects with the error that ended the channel, after what came before it, however often it is asked", async () => {
    const { channel, receive } = open();
    receive("a");
    channel.fail(lost);
    expect(await channel.readBody()).toBe("a");
    await expect(channel.read()).rejects.toBe(lost);
    await expect(channel.readBody()).rejects.toBe(lost);
  });

  test("gives up after its timeout, and what comes then is for the next reader; no timer is left", async () => {
    const { channel, clock, receive } = open();
    const first = channel.read({ timeout: 50 });
    const second = channel.readBody({ timeout: 80 });
    clock.advance(50);
    await expect(first).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", message: "nothing came within 50 ms" });
    receive("a");
    expect(await second).toBe("a");
    expect(clock.timers).toBe(0);
    expect(channel.closed).toBe(false);
  });

  test("gives up when its signal fires, or has fired", async () => {
    const { channel, clock } = open();
    const reader = new AbortController();
    const reading = channel.read({ signal: reader.signal, timeout: 100 });
    reader.abort();
    await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(channel.read({ signal: reader.signal })).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(channel.read({ signal: AbortSignal.timeout(1) })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(clock.timers).toBe(0);
  });

  test.each([
    [null, "the options of read() are a record, not null"],
    [{ timeOut: 5 }, 'read() has no option "timeOut": did you mean "timeout"?'],
    [{ timeout: "5" }, "timeout of read() is a number of milliseconds, not a string"],
    [{ timeout: NaN }, "not NaN"],
    [{ signal: new AbortController() }, "signal of read() is an AbortSignal, not an object"],
  ])("refuses %p, and what comes is for the next reader", async (options, message) => {
    const { channel, receive } = open();
    const refused = expect.objectContaining({ code: "ERR_RAP_OPTION", message: expect.stringContaining(message) });
    await expect(channel.read(options as never)).rejects.toEqual(refused);
    const reading = channel.readBody();
    receive("a");
    expect(await reading).toBe("a");
  });

  test("several at once are served in turn", async () => {
    const { channel, receive } = open();
    const reads = [channel.readBody(), channel.readBody(), channel.readBody()];
    receive(1, 2);
    channel.receiveEnd();
    expect(await Promise.allSettled(reads)).toMatchObject([
      { value: 1 },
      { value: 2 },
      { reason: { code: "OUT_OF_RANGE" } },
    ]);
  });
});

describe("iter, iterBody and for await", () => {
  test("give what comes until the peer ends", async () => {
    for (const how of ["iter", "iterBody", "for await"] as const) {
      const { channel, receive } = open();
      receive(1, 2, 3);
      channel.receiveEnd();
      const got: unknown[] = [];
      if (how === "iter") for await (const { body, seq } of channel.iter()) got.push([seq, body]);
      else if (how === "iterBody") for await (const body of channel.iterBody()) got.push(body);
      else for await (const body of channel) got.push(body);
      expect(got).toEqual(how === "iter" ? [0, 1, 2].map((seq) => [seq, seq + 1]) : [1, 2, 3]);
    }
  });

  test("throw the error that ends the channel, after what came before it", async () => {
    const { channel, receive } = open();
    receive(1);
    channel.fail(lost);
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const body of channel) got.push(body);
    })();
    await expect(reading).rejects.toBe(lost);
    expect(got).toEqual([1]);
  });

  test("can be left and taken up again: the channel stays open", async () => {
    const { channel, receive } = open();
    receive(1, 2, 3);
    for await (const _ of channel) break;
    expect(await channel.readBody()).toBe(2);
    for await (const body of channel.iterBody()) {
      expect(body).toBe(3);
      break;
    }
    expect(channel.closed).toBe(false);
  });
});

describe("write", () => {
  test.each([
    [null, "the options of write() are a record, not null"],
    [{ timeout: 5 }, 'write() has no option "timeout": it has metadata, signal'],
    [{ signal: {} }, "signal of write() is an AbortSignal, not an object"],
    [{ metadata: "a" }, "metadata is a record of texts, or a Metadata"],
    [{ metadata: [["a", "1"]] }, "metadata is a record of texts, or a Metadata"],
  ])("refuses %p, and sends nothing", async (options, message) => {
    const { channel, port } = open();
    await expect(channel.write("a", options as never)).rejects.toThrow(message);
    expect(port.log).toEqual([]);
    expect(channel.closed).toBe(false);
  });

  test("sends body and metadata", async () => {
    const { channel, port } = open();
    await channel.write({ a: 1 });
    await channel.write("b", { metadata: { "x-n": "2" } });
    expect(port.log).toEqual([{ a: 1 }, "b"]);
    expect(port.metadata.map((each) => each?.get("x-n"))).toEqual([undefined, "2"]);
  });

  test("resolves when there is room for another message", async () => {
    const { channel, port, grant } = open(2);
    await channel.write(1);
    const second = channel.write(2);
    expect(await settled(second)).toBe(false);
    expect(port.log).toEqual([1, 2]);
    grant(5);
    await second;
  });

  test("keeps the order of calls that nobody awaits, and sends no more than there is room for", async () => {
    const { channel, port, grant } = open(3);
    const writes = Array.from({ length: 10 }, (_, n) => channel.write(n));
    await sleep(0);
    expect(port.log).toEqual([0, 1, 2]);
    grant(2);
    await sleep(0);
    expect(port.log).toEqual([0, 1, 2, 3, 4]);
    grant(100);
    await Promise.all(writes);
    expect(port.log).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("that waits for room gives up when its signal fires; the others go on", async () => {
    const { channel, port, grant } = open(1);
    const writer = new AbortController();
    const sent = channel.write(1);
    const given = channel.write(2, { signal: writer.signal });
    const next = channel.write(3);
    writer.abort();
    await expect(given).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(channel.write(4, { signal: writer.signal })).rejects.toMatchObject({
      code: "CANCELLED",
      maybeExecuted: false,
    });
    grant(10);
    await Promise.all([sent, next]);
    expect(port.log).toEqual([1, 3]);
  });

  test("refuses what cannot be sent, and the channel goes on", async () => {
    const { channel, port } = open();
    await expect(channel.write({ f: () => 1 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("message.f"),
    });
    await expect(channel.write(1, { metadata: { "no good": "x" } })).rejects.toMatchObject({
      code: "ERR_RAP_METADATA",
    });
    await channel.write("fine");
    expect(port.log).toEqual(["fine"]);
  });

  test("rejects once this side has ended, the channel was closed, or it failed", async () => {
    const ended = open();
    await ended.channel.end();
    await expect(ended.channel.write(1)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: "this side of the channel has ended",
    });
    const closed = open();
    await closed.channel.close();
    await expect(closed.channel.write(1)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: "the channel is closed",
    });
    const failed = open(1);
    const waiting = failed.channel.write(1);
    failed.channel.fail(lost);
    await expect(waiting).rejects.toBe(lost);
    await expect(failed.channel.write(2)).rejects.toBe(lost);
  });

  test("that nobody awaits is no unhandled rejection when the peer leaves", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    for (const leave of ["fail", "receiveClose"] as const) {
      const { channel } = open(1);
      for (let n = 0; n < 3; n++) void channel.write(n);
      if (leave === "fail") channel.fail(lost);
      else channel.receiveClose();
      void channel.write(4);
      void channel.write(5, { metadata: {} });
    }
    await sleep(5);
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  test("takes messages through the processors in order; one that fails ends the channel on both sides", async () => {
    const { channel, port } = open(undefined, {
      outbound: async (body, metadata) => {
        if (body === "bad") throw new RapError("PERMISSION_DENIED", "not that");
        await sleep((body as number) % 3);
        return { body: `<${body}>`, metadata: metadata ?? new Metadata(), method: "m", group: "g", session: undefined };
      },
    });
    const writes = [3, 2, 1, 0].map((n) => channel.write(n));
    await Promise.all(writes);
    expect(port.log).toEqual(["<3>", "<2>", "<1>", "<0>"]);
    await expect(channel.write("bad")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    expect(port.log.at(-1)).toBe("FAIL PERMISSION_DENIED not that");
    expect(channel.closed).toBe(true);
  });

  test("sends what goes before the first message just once, also if there is none", async () => {
    let times = 0;
    const parts = { beforeFirst: () => void times++ };
    const { channel } = open(undefined, parts);
    await channel.write(1);
    await channel.write(2);
    await channel.close();
    expect(times).toBe(1);
    await open(undefined, parts).channel.close();
    const ended = open(undefined, parts).channel;
    await ended.end();
    await ended.close();
    expect(times).toBe(3);
  });
});

describe("loop", () => {
  test("goes on while the flag is true and the channel open", async () => {
    const { channel, receive } = open();
    let n = 0;
    while (await channel.loop(n < 3)) {
      receive(n++);
      await channel.readBody();
    }
    expect(n).toBe(3);
    expect(await channel.loop()).toBe(true);
    await channel.close();
    expect(await channel.loop()).toBe(false);
  });

  test("ends when the peer has, but not before what it sent was read", async () => {
    for (const end of ["receiveEnd", "receiveClose"] as const) {
      const { channel, receive } = open();
      receive(1, 2);
      channel[end]();
      const got: unknown[] = [];
      while (await channel.loop()) got.push(await channel.readBody());
      expect(got).toEqual([1, 2]);
    }
  });

  test("ends when the channel is over, be it that what was sent is never read", async () => {
    for (const end of ["receiveClose", "fail"] as const) {
      const { channel, receive } = open();
      receive(1, 2);
      setImmediate(() => (end === "fail" ? channel.fail(lost) : channel.receiveClose()));
      let rounds = 0;
      while (await channel.loop()) {
        rounds++;
        await sleep(0);
      }
      expect(rounds).toBeGreaterThan(0);
    }
  });

  test("ends when the channel fails, and the channel says why", async () => {
    const { channel } = open();
    setImmediate(() => setImmediate(() => channel.fail(lost)));
    let rounds = 0;
    // Without a turn of the event loop in each round this would never end.
    while (await channel.loop()) rounds++;
    expect(rounds).toBeGreaterThan(0);
    expect(channel.error).toBe(lost);
  });
});

describe("end", () => {
  test("closes one direction; reading goes on, and the channel is over when the peer ends too", async () => {
    const { channel, port, receive } = open();
    await channel.write(1);
    await channel.end();
    await channel.end();
    expect(port.log).toEqual([1, "END"]);
    receive("late");
    expect(await channel.readBody()).toBe("late");
    expect([channel.closed, channel.signal.aborted]).toEqual([false, false]);
    channel.receiveEnd();
    expect([channel.closed, channel.signal.aborted, channel.error]).toEqual([true, true, undefined]);
    await channel.waitClose();
  });

  test("comes after all that was written before it, and carries the trailers", async () => {
    const { channel, port, grant } = open(1, { trailers: () => new Metadata({ "x-sum": "6" }) });
    const writes = [1, 2, 3].map((n) => channel.write(n));
    const ended = channel.end();
    await expect(channel.write(4)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    grant(10);
    await Promise.all([...writes, ended]);
    expect(port.log).toEqual([1, 2, 3, 'END {"x-sum":"6"}']);
  });
});

describe("close", () => {
  test("ends both directions after what was written; reads end, what was not read is forgotten", async () => {
    const { channel, port, receive, grant } = open(1);
    receive("unread");
    const writes = [1, 2].map((n) => channel.write(n));
    const closed = channel.close();
    expect(await settled(channel.read())).toBe(true);
    // A peer that is not read from any more must not be held up.
    receive("more");
    expect(port.consumedCost).toBe(20);
    grant(10);
    await Promise.all([...writes, closed, channel.close()]);
    expect(port.log).toEqual([1, 2, "FINISH"]);
    expect([channel.closed, channel.signal.aborted, channel.error]).toEqual([true, true, undefined]);
    await channel.waitClose();
  });

  test("after an end still says that nothing is read any more, with the trailers just once", async () => {
    const { channel, port } = open(undefined, { trailers: () => new Metadata({ "x-n": "1" }) });
    await channel.end();
    await channel.close();
    expect(port.log).toEqual(['END {"x-n":"1"}', "FINISH"]);
  });

  test("with a reason fails the peer, at once: a RapError as it is, anything else as CANCELLED", async () => {
    for (const [reason, wanted] of [
      [new RapError("ABORTED", "enough"), "FAIL ABORTED enough"],
      ["enough", "FAIL CANCELLED enough"],
    ] as const) {
      const { channel, port, receive } = open(1);
      receive("unread");
      const waiting = [channel.write(1), channel.write(2), channel.read(), channel.read()];
      await channel.close(reason);
      expect(port.log).toEqual([1, wanted]);
      const results = await Promise.allSettled(waiting);
      expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled", "rejected"]);
      // It is this side's own doing.
      expect([channel.closed, channel.error, channel.untold]).toEqual([true, undefined, undefined]);
    }
  });

  test("ends with an await using block", async () => {
    const { channel, port } = open();
    {
      await using scoped = channel;
      await scoped.write(1);
    }
    expect(port.log).toEqual([1, "FINISH"]);
    await channel[Symbol.asyncDispose]();
    expect(port.log).toHaveLength(2);
  });

  test("by the peer ends everything, but what it sent before can be read", async () => {
    const { channel, receive } = open();
    receive("last");
    channel.receiveClose();
    expect(channel.closed).toBe(true);
    expect(await channel.readBody()).toBe("last");
    await expect(channel.read()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
    channel.fail(lost);
    expect(channel.error).toBeUndefined();
  });

  test("an error is told once, to whoever comes across it", async () => {
    const { channel } = open();
    channel.fail(lost);
    expect([channel.error, channel.untold]).toEqual([lost, lost]);
    await expect(channel.read()).rejects.toBe(lost);
    expect([channel.error, channel.untold]).toEqual([lost, undefined]);
  });
});

describe("Web Streams", () => {
  test("read what comes, one message at a time, until the peer ends", async () => {
    const { channel, port, receive } = open();
    const { readable } = channel.toWeb();
    receive(1, 2, 3);
    await sleep(0);
    expect(port.consumedCost).toBe(0);
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 1 });
    expect(port.consumedCost).toBe(10);
    channel.receiveEnd();
    expect([(await reader.read()).value, (await reader.read()).value]).toEqual([2, 3]);
    expect(await reader.read()).toEqual({ done: true, value: undefined });
  });

  test("write with back-pressure, and end with a close", async () => {
    const { channel, port, grant } = open(1);
    const writer = channel.toWeb().writable.getWriter();
    const writes = [writer.write("a"), writer.write("b")];
    await sleep(0);
    expect(port.log).toEqual(["a"]);
    grant(10);
    await Promise.all(writes);
    await writer.close();
    expect(port.log).toEqual(["a", "b", "END"]);
  });

  test("close the channel with the reason when they are cancelled or aborted", async () => {
    for (const [give, wanted] of [
      [(each: Channel) => each.toWeb().readable.cancel("no interest"), "FAIL CANCELLED no interest"],
      [(each: Channel) => each.toWeb().readable.cancel(), "FAIL CANCELLED the reader lost interest"],
      [(each: Channel) => each.toWeb().writable.abort("no more"), "FAIL CANCELLED no more"],
    ] as const) {
      const { channel, port } = open();
      await give(channel);
      expect(port.log).toEqual([wanted]);
    }
  });

  test("fail with the channel, also while nothing is read or written", async () => {
    const { channel } = open();
    const { readable, writable } = channel.toWeb();
    const idle = writable.getWriter();
    channel.fail(lost);
    await expect(readable.getReader().read()).rejects.toBe(lost);
    await expect(idle.closed).rejects.toBe(lost);
    await expect(idle.write(1)).rejects.toBe(lost);
  });
});
