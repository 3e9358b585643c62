import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { type Channel, type Client, type RapError, safe } from "@rap/client";
import { PREAMBLE, Shape } from "@rap/protocol";
import { context, Server } from "@rap/server";
import { tcp } from "@rap/transport";
import { call, channel, credit, greet } from "../../rapspec/src/frames";
import { RawPeer } from "../../transport/test/link";
import { dial, ends, serve } from "./ends";
import { LINKS, until } from "./links";
import { PlainSources } from "./plain-process";

jest.setTimeout(20_000);

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** Functions go on when they are told to. */
let proceed: (() => void)[] = [];
const told = () =>
  new Promise<void>((resolve) => {
    proceed.push(resolve);
  });
const tellAll = () => {
  for (const go of proceed.splice(0)) go();
};
afterEach(() => {
  proceed = [];
});

let executed = 0;
const functions = {
  echo: (value: unknown) => {
    executed++;
    return value;
  },
  async slow(value: unknown) {
    await told();
    return value;
  },
  async *slowly(count: number) {
    for (let i = 0; i < count; i++) {
      if (i === 1) await told();
      yield i;
    }
  },
  async gather(items: AsyncIterable<number>) {
    await told();
    let sum = 0;
    for await (const item of items) sum += item;
    return sum;
  },
  async reason() {
    const { signal } = context();
    await once(signal, "abort");
    reasons.push((signal.reason as RapError).code);
  },
  async *endless() {
    for (;;) yield Buffer.alloc(65_536);
  },
  /** Listens to nobody. */
  deaf: () => new Promise<never>(() => {}),
};
const reasons: string[] = [];
const STREAMS = { slowly: "stream", endless: "stream" } as const;

function register(server: Server): void {
  server.register(functions);
  server.registerChannel(async function talk(channel: Channel<unknown, unknown>) {
    for await (const message of channel) await channel.write(message);
  });
}

const NO_RECONNECT = { reconnect: { initial: 600_000, max: 600_000 } };

describe.each(LINKS)("a graceful stop over $name", (link) => {
  test("lets all that runs come to its end: plain calls, streams both ways, channels", async () => {
    await using pair = await link.open(register, { client: NO_RECONNECT });
    const { client, server } = pair;
    const remote = client.service<typeof functions>("default", STREAMS);
    const slow = times(10, (i) => remote.slow(i));
    const items: number[] = [];
    const streaming = (async () => {
      for await (const item of remote.slowly(5)) items.push(item);
    })();
    const gathering = remote.gather([1, 2, 3].values());
    const talk = await client.registerChannel<(c: Channel<number, number>) => Promise<void>>("talk").open();
    await talk.write(1);
    expect(await talk.readBody()).toBe(1);
    await until(() => server.stats().inFlight === 13 && proceed.length === 12);

    const stopping = server.shutdown();
    expect(server.state).toBe("draining");
    await once(new Goaways(client), "goaway");
    tellAll();
    expect(await Promise.all(slow)).toEqual(times(10, (i) => i));
    await streaming;
    expect(items).toEqual([0, 1, 2, 3, 4]);
    expect(await gathering).toBe(6);
    await talk.write(2);
    expect(await talk.readBody()).toBe(2);
    await talk.close();
    await stopping;
    expect(server.state).toBe("stopped");
    expect(server.stats()).toMatchObject({ connections: 0, inFlight: 0, timers: 0 });
  });
});

/** The client's goaways as an emitter that can be awaited. */
class Goaways extends EventTarget {
  constructor(client: Client) {
    super();
    client.on("goaway", () => this.dispatchEvent(new Event("goaway")));
  }
}

describe("a graceful stop", () => {
  test("under load loses no call: they go to another server", async () => {
    const servers = await Promise.all(times(2, () => serve(register)));
    const client = await dial(servers.map(({ address }) => address!));
    let running = true;
    let done = 0;
    const lane = async (_: unknown, i: number) => {
      while (running) {
        expect(await client.invokeByName("echo", [i])).toBe(i);
        done++;
      }
    };
    executed = 0;
    const lanes = Promise.all(times(100, (i) => lane(i, i)));
    await until(() => done > 500);
    await servers[0]!.shutdown();
    const before = done;
    await until(() => done > before + 500);
    running = false;
    await lanes;
    expect(executed).toBe(done);
  });

  test("of the only server lets new calls wait, or fail as never executed", async () => {
    const server = await serve(register);
    const client = await dial(server.address!, NO_RECONNECT);
    executed = 0;
    const slow = client.invokeByName("slow", ["kept"]);
    await until(() => proceed.length === 1);
    const stopping = server.shutdown();
    await once(new Goaways(client), "goaway");
    const patient = safe(client.invokeByName("echo", [1], { timeout: 30 }));
    const hurried = safe(client.invokeByName("echo", [1], { waitForReady: false }));
    expect(await patient).toMatchObject({ ok: false, error: { code: "DEADLINE_EXCEEDED", maybeExecuted: false } });
    expect(await hurried).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: false } });
    tellAll();
    expect(await slow).toBe("kept");
    await stopping;
    expect(executed).toBe(0);
  });

  test("refuses what an old client sends after the last goaway, as never executed, and looks at nothing of it", async () => {
    const server = await serve(register);
    const peer = new RawPeer(await tcp().dial(server.address!));
    greet(peer);
    peer.send(call(1, "slow", { args: ["kept"] }));
    await until(() => proceed.length === 1);
    const stopping = server.shutdown();
    await until(() => peer.of("ping").length === 1);
    expect(peer.of("goaway").map(({ lastId }) => lastId)).toEqual([0x7fffffff]);
    // On its way when the server said goodbye.
    executed = 0;
    peer.send(call(3, "echo", { args: ["still"] }));
    peer.send({ kind: "pong", data: peer.of("ping")[0]!.data });
    await until(() => peer.of("goaway").length === 2);
    expect(peer.of("goaway")[1]).toMatchObject({ lastId: 3, code: 0 });
    expect(peer.of("data").map(({ id }) => id)).toEqual([3]);
    peer.send(call(5, "echo", { args: ["too late"] }));
    await until(() => peer.of("reset").length === 1);
    expect(peer.of("reset")[0]).toMatchObject({ id: 5, code: 14, flags: 1 });
    expect(executed).toBe(1);
    tellAll();
    await until(() => peer.closed);
    await stopping;
    expect(peer.of("data").map(({ id }) => id)).toEqual([3, 1]);
  });

  test("resolves however often it is asked for, before, during and after", async () => {
    const idle = new Server();
    await Promise.all([idle.shutdown(), idle.shutdown()]);
    expect(idle.state).toBe("stopped");
    await expect(idle.listen({ port: 0 })).rejects.toMatchObject({ code: "ERR_RAP_STATE" });

    const server = await serve(register);
    const client = await dial(server.address!);
    const slow = client.invokeByName("slow", [1]);
    await until(() => proceed.length === 1);
    const all = [server.shutdown(), server.shutdown({ graceMs: 1 }), server[Symbol.asyncDispose]()];
    server.drain();
    tellAll();
    expect(await slow).toBe(1);
    await Promise.all(all);
    await server.shutdown();
    expect(server.state).toBe("stopped");
  });

  test("does not wait for who has nothing to wait for: idle peers, silent ones, and those in the middle of a greeting", async () => {
    const server = await serve(register, { limits: { goawayPause: 50 } });
    const client = await dial(server.address!);
    const transport = tcp();
    const peers = await Promise.all(times(3, async () => new RawPeer(await transport.dial(server.address!))));
    greet(peers[0]!);
    peers[1]!.write(PREAMBLE);
    await until(() => peers[0]!.of("hello").length === 1 && server.stats().connections === 4);
    await server.shutdown({ graceMs: 600_000 });
    await until(() => client.stats().connections === 0 && peers.every(({ closed }) => closed));
  });
});

describe("a stop whose grace is over", () => {
  test("tells callers UNAVAILABLE and functions by their signal, and waits no longer for those that do not listen", async () => {
    const server = await serve(register, { limits: { abortGrace: 100 } });
    const client = await dial(server.address!, NO_RECONNECT);
    reasons.length = 0;
    const calls = [client.invokeByName("reason"), client.invokeByName("deaf")].map((each) => safe(each));
    const stream = client.registerGen<(n: number) => AsyncIterable<number>>("slowly")(5);
    await stream.next();
    await until(() => server.stats().inFlight === 3);
    await server.shutdown({ graceMs: 10 });
    for (const outcome of await Promise.all(calls)) {
      expect(outcome).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: true } });
    }
    await expect(stream.next()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(reasons).toEqual(["UNAVAILABLE"]);
    expect(server.stats()).toMatchObject({ connections: 0 });
  });

  test("closes on a peer that holds on to its calls and reads nothing", async () => {
    const server = await serve(register, { limits: { abortGrace: 50, goawayPause: 50 } });
    const peer = new RawPeer(await tcp({ closeTimeout: 50 }).dial(server.address!));
    greet(peer);
    peer.send(channel(1, "talk"), call(3, "slowly", { shape: Shape.SERVER_STREAM, args: [5] }));
    await until(() => server.stats().inFlight === 2);
    peer.socket.pause();
    await server.shutdown({ graceMs: 10 });
    expect(server.stats()).toMatchObject({ connections: 0 });
    peer.socket.destroy();
  });

  test("leaves no socket behind that waits for a peer that reads nothing", async () => {
    const server = await serve(register, { limits: { abortGrace: 50, goawayPause: 50 } });
    const peer = new RawPeer(await tcp({ closeTimeout: 50 }).dial(server.address!));
    greet(peer);
    peer.send(call(1, "endless", { shape: Shape.SERVER_STREAM, args: [] }), credit(1, 2 ** 30, 2 ** 30));
    peer.send(credit(0, 2 ** 30, 0));
    await until(() => server.stats().inFlight === 1);
    peer.socket.pause();
    const wire = (server.connections()[0] as unknown as { wire: { socket: { buffered: number } } }).wire;
    await until(() => wire.socket.buffered > 0);
    const sockets = () => process.getActiveResourcesInfo().filter((each) => each === "TCPSocketWrap").length;
    const before = sockets();
    await server.shutdown({ graceMs: 10 });
    // Gone at once, not after the time that sockets have to finish.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(sockets()).toBe(before - 1);
    peer.socket.destroy();
  });

  test("is over sooner when a signal says so", async () => {
    const server = await serve(register);
    const client = await dial(server.address!, NO_RECONNECT);
    const call = safe(client.invokeByName("reason"));
    await until(() => server.stats().inFlight === 1);
    const hurry = new AbortController();
    const stopping = server.shutdown({ graceMs: 600_000, signal: hurry.signal });
    hurry.abort();
    await stopping;
    expect(await call).toMatchObject({ ok: false, error: { code: "UNAVAILABLE" } });
  });
});

describe("a client that stops", () => {
  test("lets its calls finish within the grace, and takes no new ones", async () => {
    const server = await serve(register);
    const client = await dial(server.address!);
    const slow = client.invokeByName("slow", [1]);
    await until(() => proceed.length === 1);
    const stopping = client.stop({ graceMs: 600_000 });
    await new Promise((resolve) => setImmediate(resolve));
    const late = await safe(client.invokeByName("echo", [1]));
    expect(late).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: false } });
    tellAll();
    expect(await slow).toBe(1);
    await stopping;
    await client.stop();
    await until(() => server.stats().connections === 0);
  });

  test("gives up calls that wait, and after the grace those that run", async () => {
    const server = await serve(register, { limits: { maxInFlight: 1 } });
    const client = await dial(server.address!);
    reasons.length = 0;
    const running = safe(client.invokeByName("reason"));
    const waiting = safe(client.invokeByName("echo", [1]));
    await until(() => server.stats().inFlight === 1);
    await client.stop({ graceMs: 5 });
    expect(await waiting).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: false } });
    expect(await running).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: true } });
    await until(() => server.stats().inFlight === 0);
    expect(reasons).toHaveLength(1);
    expect(client.stats()).toMatchObject({ connections: 0, inFlight: 0, waiting: 0, timers: 0 });
  });
});

describe("runForever, in a process of its own,", () => {
  interface Child {
    readonly client: Client;
    signal(name: NodeJS.Signals): void;
    readonly exit: Promise<[code: number | null, signal: string | null]>;
  }

  let sources: PlainSources;
  beforeAll(() => {
    sources = new PlainSources();
  });
  afterAll(() => sources.remove());

  async function run(options: string): Promise<Child> {
    const child = sources.run(`
      const { context, Server } = require("@rap/server");
      const server = new Server(${options});
      server.register({
        pause: (ms) => new Promise((resolve) => setTimeout(() => resolve("done"), ms)),
        hang: () => new Promise((resolve) => context().signal.addEventListener("abort", resolve)),
      });
      server.listen({ port: 0 }).then(() => {
        console.log(server.address);
        return server.runForever();
      });
    `);
    child.stderr.pipe(process.stderr);
    ends.push(async () => child.kill("SIGKILL"));
    const exit = once(child, "exit") as Child["exit"];
    const [address] = (await once(createInterface(child.stdout), "line")) as [string];
    return { client: await dial(address, NO_RECONNECT), signal: (name) => child.kill(name), exit };
  }

  test.each(["SIGTERM", "SIGINT"] as const)("at %s finishes what runs and exits with 0", async (name) => {
    const child = await run(`{ limits: { goawayPause: 50 } }`);
    const call = child.client.invokeByName("pause", [200]);
    await untilArrived(child.client);
    child.signal(name);
    expect(await call).toBe("done");
    expect(await child.exit).toEqual([0, null]);
  });

  test("at a second signal ends at once", async () => {
    const child = await run("{}");
    const call = safe(child.client.invokeByName("hang"));
    await untilArrived(child.client);
    const goaway = once(new Goaways(child.client), "goaway");
    child.signal("SIGTERM");
    await goaway;
    child.signal("SIGTERM");
    expect(await child.exit).toEqual([null, "SIGTERM"]);
    expect(await call).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: true } });
  });

  test("aborts what is not done within the grace, with UNAVAILABLE, and exits with 1", async () => {
    const child = await run("{ drainTimeout: 50 }");
    const call = safe(child.client.invokeByName("hang"));
    await untilArrived(child.client);
    child.signal("SIGTERM");
    expect(await call).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", maybeExecuted: true } });
    expect(await child.exit).toEqual([1, null]);
  });

  test("without signals leaves them to others", async () => {
    const child = await run("{ signals: false }");
    child.signal("SIGTERM");
    expect(await child.exit).toEqual([null, "SIGTERM"]);
  });

  /** A later call was answered, so the earlier one has arrived. */
  async function untilArrived(client: Client): Promise<void> {
    await client.invokeByName("pause", [0]);
  }
});
