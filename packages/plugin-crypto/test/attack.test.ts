import { afterEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { encodeFrame, HEAD_BYTES, LIMITS, msgpack, PREAMBLE, RapError } from "@rap/protocol";
import { type Logger, Server } from "@rap/server";
import { ManualClock } from "@rap/testing";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "../src";
import { type Alter, type Link, ManInTheMiddle, type Way } from "./man-in-the-middle";

const KEY = "0123456789abcdef";
const ADDRESS = "memory://server";
const REFUSED = "the server ended the key exchange: it does not encrypt, or does not accept this client";

/** Time stands still unless a test moves it: nothing is late because the machine is busy. */
const clock = new ManualClock();
const timed = () => createContainer().register(CLOCK, { useValue: clock });

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

interface SceneOptions {
  processor?: ServerCryptoProcessor | null;
  bindings?: { client?: Uint8Array; server?: Uint8Array };
}

/** A server that notes what it executes, and a man between it and its clients. */
async function scene(options: SceneOptions = {}) {
  const man = new ManInTheMiddle(options.bindings);
  const executed: unknown[] = [];
  const logged: string[] = [];
  const note = (...args: unknown[]) => void logged.push(JSON.stringify(args));
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const server = new Server({ logger, container: timed() });
  server.register({
    run(what: unknown) {
      executed.push(what);
      return `ran ${String(what)}`;
    },
    async *count(n: number) {
      for (let i = 0; i < n; i++) yield i;
    },
  });
  const { processor = new ServerCryptoProcessor({ id: KEY }) } = options;
  if (processor !== null) server.loadProcessor([processor]);
  await server.listen({ transport: man, address: ADDRESS });
  stops.push(() => server.shutdown({ graceMs: 0 }));
  return { man, server, executed, logged };
}

function clientOf(man: ManInTheMiddle, processor: ClientCryptoProcessor | null = new ClientCryptoProcessor("id", KEY)) {
  const client = new Client({
    target: ADDRESS,
    transports: [man],
    container: timed(),
    limits: { reconnectInitialBackoff: 600_000, reconnectMaxBackoff: 600_000 },
  });
  if (processor !== null) client.loadProcessor([processor]);
  stops.push(() => client.stop({ graceMs: 0 }));
  return client;
}

const run = (client: Client, what: unknown) => client.invokeByName("run", [what]);

/** Moves time until something that waits for what never comes is over. */
async function lapse<T>(promise: Promise<T>): Promise<T> {
  let over = false;
  const end = () => {
    over = true;
  };
  promise.then(end, end);
  while (!over) {
    clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return promise;
}

/** The error of something that must fail. */
async function failure(promise: Promise<unknown>): Promise<RapError> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (thrown: unknown) => thrown,
  );
  if (!RapError.is(error)) throw error;
  return error;
}

const flip =
  (way: Way, index: number, at: number): Alter =>
  (frame, number, passing) => {
    if (passing === way && number === index) frame[at]! ^= 1 << (at & 7);
    return frame;
  };

describe("a byte that is altered on its way", () => {
  test("in the exchange leads to no connection, whichever it is", async () => {
    const { man, server, executed } = await scene();
    const reference = clientOf(man);
    await reference.start();
    const sizes = { up: man.links[0]!.frames.up[0]!.length, down: man.links[0]!.frames.down[0]!.length };
    expect(sizes).toEqual({
      up: PREAMBLE.length + HEAD_BYTES + 1 + 1 + 2 + 3 + 6 + 32 + 32 + 32,
      down: PREAMBLE.length + HEAD_BYTES + 1 + 1 + 6 + 32 + 32 + 32,
    });
    const tries: Promise<RapError>[] = [];
    for (const way of ["up", "down"] as const) {
      for (let at = 0; at < sizes[way]; at++) {
        man.alter = flip(way, 0, at);
        const client = clientOf(man);
        const started = failure(client.start());
        // The next one may be altered elsewhere only once this one has passed.
        if (way === "up")
          await until(() => man.links.at(-1)!.frames.up.length > 0 && man.links.length > tries.length + 1);
        else await until(() => man.links.at(-1)!.closed);
        tries.push(started);
      }
    }
    for (const error of await lapse(Promise.all(tries))) expect(error.code).toBe("UNAVAILABLE");
    await until(() => server.stats().connections === 1);
    expect(executed).toEqual([]);
  }, 30_000);

  test("in a call is not executed, and ends the connection", async () => {
    const { man, executed } = await scene();
    const size = await recordSize(man);
    for (let at = 0; at < size; at++) {
      man.alter = (frame) => frame;
      const client = clientOf(man);
      await client.start();
      const link = man.links.at(-1)!;
      man.alter = flip("up", link.frames.up.length, at);
      // A length that was made longer waits for what follows, which then does not fit.
      const failing = failure(run(client, "altered!!"));
      await until(() => link.frames.up.length > 2 || link.closed);
      if (at < 4) link.inject("up", Buffer.alloc(70_000));
      expect((await failing).code).toBe("UNAVAILABLE");
      expect(link.closed).toBe(true);
      // It would connect again, and be the last link when the next one looks for its own.
      await client.stop();
    }
    expect(executed).toEqual(["reference"]);
  }, 30_000);

  test("in an answer reaches nobody, and ends the connection", async () => {
    const { man, executed } = await scene();
    await recordSize(man);
    const size = man.links[0]!.frames.down.at(-1)!.length;
    for (let at = 0; at < size; at++) {
      man.alter = (frame) => frame;
      const client = clientOf(man);
      await client.start();
      const link = man.links.at(-1)!;
      man.alter = flip("down", link.frames.down.length, at);
      const what = String(at).padEnd("reference".length);
      const failing = failure(run(client, what));
      await until(() => executed.at(-1) === what);
      if (at < 4) {
        await until(() => link.frames.down.length > 2);
        link.inject("down", Buffer.alloc(70_000));
      }
      expect(await failing).toMatchObject({ code: "UNAVAILABLE", maybeExecuted: true });
      await client.stop();
    }
  }, 30_000);
});

describe("what was recorded", () => {
  test("is not executed when the whole session is sent again", async () => {
    const { man, executed } = await scene();
    await recordSize(man);
    const { up } = man.links[0]!.frames;
    const again = await man.connect(ADDRESS);
    again.socket.write(Buffer.concat(up));
    await again.closed;
    expect(again.heard).toEqual([]);
    expect(executed).toEqual(["reference"]);
  });

  test("is not executed when it is sent to another server with the same key, or to this one after a restart", async () => {
    const { man } = await scene();
    await recordSize(man);
    const { up } = man.links[0]!.frames;
    const other = await scene();
    const again = await other.man.connect(ADDRESS);
    again.socket.write(up[0]!);
    await until(() => again.heard.length > 0);
    // It answers, as it cannot know the offer, but with another random: what follows does not fit.
    again.socket.write(Buffer.concat(up.slice(1)));
    await again.closed;
    expect(other.executed).toEqual([]);
    expect(other.server.stats().inFlight).toBe(0);
  });

  test.each<[string, (frame: Buffer, earlier: Buffer[], link: Link) => Uint8Array | undefined]>([
    ["a record is sent twice", (frame) => Buffer.concat([frame, frame])],
    ["a record of before is sent again", (frame, earlier) => Buffer.concat([frame, earlier.at(-2)!])],
    ["a record is left out", leavesOutOne()],
    ["a record is cut short", (frame) => frame.subarray(0, -1)],
    ["a record of the server is sent back to it", (_frame, _earlier, link) => link.frames.down.at(-1)!],
    ["a record of another connection is sent", () => Buffer.alloc(60, 5)],
  ])("ends the connection when %s, and nothing is executed twice", async (_what, change) => {
    const { man, executed } = await scene();
    const client = clientOf(man);
    await client.start();
    const link = man.links[0]!;
    for (const what of [1, 2, 3]) await run(client, what);
    man.alter = (frame, index, way) => (way === "up" ? change(frame, link.frames.up.slice(0, index), link) : frame);
    await lapse(run(client, 4)).catch(() => undefined);
    // What waits for the rest of a record gets one.
    if (!link.closed) link.inject("up", Buffer.alloc(70_000));
    await until(() => link.closed);
    expect(executed).toEqual(executed.includes(4) ? [1, 2, 3, 4] : [1, 2, 3]);
  });

  test("ends the connection when records come in another order, and neither is executed", async () => {
    const { man, executed } = await scene();
    const client = clientOf(man);
    await client.start();
    const link = man.links[0]!;
    let first: Buffer | undefined;
    man.alter = (frame, _index, way) => {
      if (way === "down") return frame;
      if (first !== undefined) return Buffer.concat([frame, first]);
      first = frame;
      return undefined;
    };
    const failing = [failure(run(client, 1))];
    await until(() => first !== undefined);
    failing.push(failure(run(client, 2)));
    for (const error of await Promise.all(failing)) expect(error.code).toBe("UNAVAILABLE");
    expect(link.closed).toBe(true);
    expect(executed).toEqual([]);
  });

  test("cannot be moved from one stream to another: heads are sealed too", async () => {
    const { man } = await scene();
    const client = clientOf(man);
    await client.start();
    const [first, second] = await Promise.all([run(client, "a"), run(client, "b")]);
    expect([first, second]).toEqual(["ran a", "ran b"]);
    const { up, down } = man.links[0]!.frames;
    // Both calls of a turn are in one record, of which nothing but the length can be seen.
    for (const frame of [...up.slice(1), ...down.slice(1)]) {
      expect([frame[4], frame.readUInt32BE(6)]).toEqual([5, 0]);
      expect(frame.includes("run")).toBe(false);
      expect(frame.includes("ran")).toBe(false);
    }
  });

  test("an answer of the server to another client does not prove the server", async () => {
    const { man } = await scene();
    await recordSize(man);
    const recorded = man.links[0]!.frames.down[0]!;
    man.alter = (frame, index, way) => (way === "down" && index === 0 ? recorded : frame);
    expect((await failure(clientOf(man).start())).message).toContain("the server is not the one that it must be");
  });

  test("an offer sent back to its client does not prove a server", async () => {
    const { man } = await scene();
    man.alter = (frame, _index, way, link) => {
      if (way === "up") link.inject("down", frame);
      return undefined;
    };
    expect((await failure(clientOf(man).start())).message).toContain("the server is not the one that it must be");
  });
});

describe("a connection that is cut", () => {
  test("is an error for a stream that was not over, not its end", async () => {
    const { man } = await scene();
    const client = clientOf(man);
    await client.start();
    const link = man.links[0]!;
    man.alter = (frame, index, way) => {
      if (way === "down" && index > 3) {
        link.end();
        return undefined;
      }
      return frame;
    };
    const got: number[] = [];
    const error = await failure(
      (async () => {
        const count = client.registerGen<(n: number) => AsyncIterable<number>>("count");
        for await (const n of count(1_000_000)) got.push(n);
      })(),
    );
    expect(error.code).toBe("UNAVAILABLE");
    expect(got.length).toBeLessThan(1_000_000);
  });
});

describe("a downgrade", () => {
  test("of a server is refused: it answers nothing that is not encrypted, and decodes nothing", async () => {
    const { man, executed, server } = await scene();
    const hello = {
      ...LIMITS,
      minor: 0,
      codecs: ["msgpack"],
      info: "plain",
      metadata: undefined,
      extensions: new Map(),
    };
    const call = { kind: "open", id: 1, shape: 0, target: "default/run", end: true } as const;
    const frames = [encodeFrame({ kind: "hello", hello }), encodeFrame({ ...call, body: msgpack().encode(["plain"]) })];
    for (const bytes of [Buffer.concat([PREAMBLE, ...frames]), Buffer.concat([PREAMBLE, frames[1]!]), frames[0]!]) {
      const { socket, heard, closed } = await man.connect(ADDRESS);
      socket.write(bytes);
      await closed;
      expect(heard).toEqual([]);
    }
    const plain = await failure(clientOf(man, null).start());
    expect(plain.code).toBe("UNAVAILABLE");
    expect(executed).toEqual([]);
    expect(server.stats().connections).toBe(0);
  });

  test("of a client is refused: it says nothing to a server that does not encrypt", async () => {
    const { man, executed } = await scene({ processor: null });
    const error = await failure(clientOf(man).start());
    expect(error).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining(REFUSED) });
    expect(man.links[0]!.frames.up).toHaveLength(1);
    expect(executed).toEqual([]);
  });

  test("in the middle of a connection is refused, at both ends", async () => {
    for (const way of ["up", "down"] as const) {
      const { man } = await scene();
      const client = clientOf(man);
      await client.start();
      const link = man.links[0]!;
      link.inject(way, encodeFrame({ kind: "goaway", lastId: 0, code: 0, reason: "please do not encrypt" }));
      await until(() => link.closed);
    }
  });

  test("to a suite that one side does not allow is refused", async () => {
    const { man, logged } = await scene({
      processor: new ServerCryptoProcessor({ id: KEY }, { suites: ["chacha20-poly1305"] }),
    });
    expect((await failure(clientOf(man).start())).message).toContain(REFUSED);
    expect(logged.join()).toContain("it offers no suite that is allowed");
    const allowed = new ClientCryptoProcessor("id", KEY, { suites: ["aes-256-gcm", "chacha20-poly1305"] });
    const client = clientOf(man, allowed);
    await client.start();
    expect(await run(client, 1)).toBe("ran 1");
  });
});

describe("a client that is refused", () => {
  const NOW = 1_800_000_000_000;
  const cases: [string, () => ClientCryptoProcessor, string][] = [
    ["another key", () => new ClientCryptoProcessor("id", "fedcba9876543210", { now: () => NOW }), "not known"],
    ["an unknown key id", () => new ClientCryptoProcessor("stranger", KEY, { now: () => NOW }), "not known"],
    ["an expired key", () => new ClientCryptoProcessor("old", KEY, { now: () => NOW }), "not valid now"],
    ["a key of tomorrow", () => new ClientCryptoProcessor("new", KEY, { now: () => NOW }), "not valid now"],
    ["a removed key", () => new ClientCryptoProcessor("removed", KEY, { now: () => NOW }), "not known"],
    ["a clock that is late", () => new ClientCryptoProcessor("id", KEY, { now: () => NOW - 60_001 }), "60001 ms"],
    ["a clock that is early", () => new ClientCryptoProcessor("id", KEY, { now: () => NOW + 60_001 }), "60001 ms"],
  ];

  test("is told the same whatever the reason, which only the server's log knows", async () => {
    const processor = new ServerCryptoProcessor({ id: KEY, removed: KEY }, { now: () => NOW });
    processor.keyring.add("old", KEY, { notAfter: new Date(NOW - 1) }).add("new", KEY, { notBefore: NOW + 1 });
    expect(processor.keyring.remove("removed")).toBe(true);
    const { man, executed, logged, server } = await scene({ processor });
    const words = new Set<string>();
    for (const [, make, reason] of cases) {
      logged.length = 0;
      words.add((await failure(clientOf(man, make()).start())).message);
      expect(man.links.at(-1)!.frames.down).toEqual([]);
      await until(() => logged.some((line) => line.includes("a client was refused")));
      expect(logged.join()).toContain(reason);
    }
    // Nor is a repeated offer told apart from a bad one.
    const good = clientOf(man, new ClientCryptoProcessor("id", KEY, { now: () => NOW }));
    await good.start();
    const again = await man.connect(ADDRESS);
    again.socket.write(man.links.at(-1)!.frames.up[0]!);
    await again.closed;
    expect(again.heard).toEqual([]);
    expect(logged.join()).toContain("it was here before");
    expect([...words]).toHaveLength(1);
    expect([...words][0]).toContain(REFUSED);
    expect(executed).toEqual([]);
    await until(() => server.stats().connections === 1);
  });

  test("and one whose server's clock is wrong, does not connect", async () => {
    const wrong = new ServerCryptoProcessor({ id: KEY }, { timeout: 600_000, now: () => NOW + 90_000 });
    const { man } = await scene({ processor: wrong });
    const error = await failure(clientOf(man, new ClientCryptoProcessor("id", KEY, { now: () => NOW })).start());
    expect(error.message).toContain("the server is not the one that it must be");
    const patient = clientOf(man, new ClientCryptoProcessor("id", KEY, { now: () => NOW, timeout: 100_000 }));
    await patient.start();
    expect(await run(patient, 1)).toBe("ran 1");
  });

  test("because the nonces could not be remembered, is not let in", async () => {
    for (const add of [
      () => false,
      // What a Set gives, which has an `add` as well.
      () => new Set() as never,
      () => Promise.reject(new Error("the store is down")),
      () => {
        throw new Error("the store is broken");
      },
    ]) {
      const { man } = await scene({ processor: new ServerCryptoProcessor({ id: KEY }, { nonceStore: { add } }) });
      expect((await failure(clientOf(man).start())).message).toContain(REFUSED);
    }
    const full = await scene({ processor: new ServerCryptoProcessor({ id: KEY }, { maxNonces: 1 }) });
    await clientOf(full.man).start();
    expect((await failure(clientOf(full.man).start())).message).toContain(REFUSED);
  });

  test("because it is not on the TLS connection on which it began, is not let in", async () => {
    const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    for (const [bindings, bindTls, connects] of [
      [{ client: one, server: one }, true, true],
      [{ client: one, server: other }, true, false],
      [{ client: one }, true, false],
      // Something in between ends TLS, and the client was told so.
      [{ client: one, server: other }, false, true],
      [{ client: one }, false, true],
      [{ server: one }, true, true],
    ] as const) {
      const { man } = await scene({ bindings });
      const client = clientOf(man, new ClientCryptoProcessor("id", KEY, { bindTls }));
      if (connects) await client.start();
      else expect((await failure(client.start())).message).toContain(REFUSED);
    }
  });
});

/** Makes one call, and says how long its record is. */
async function recordSize(man: ManInTheMiddle): Promise<number> {
  const client = clientOf(man);
  await client.start();
  await run(client, "reference");
  return man.links[0]!.frames.up.at(-1)!.length;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Keeps the first frame and passes on the rest. */
function leavesOutOne(): (frame: Buffer) => Buffer | undefined {
  let kept = false;
  return (frame) => {
    if (kept) return frame;
    kept = true;
    return undefined;
  };
}
