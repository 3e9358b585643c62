import { setTimeout as sleep } from "node:timers/promises";
import { ManualClock } from "@rap/testing";
import { transportCompliance } from "../src/compliance";
import { type MemoryOptions, type MemoryTransport, memory } from "../src/memory";
import type { Socket } from "../src/transport";

const setup = (options?: MemoryOptions) => async () => ({
  transport: memory(options),
  address: "memory://test",
  dispose: async () => {},
});
transportCompliance("memory", setup());
transportCompliance("memory with latency, in chunks of 1000 bytes", setup({ latency: 1, chunk: 1000 }));

describe("memory", () => {
  async function link(world: MemoryTransport): Promise<[Socket, Socket]> {
    let far: Socket | undefined;
    const listener = await world.listen("memory://here", (socket) => (far = socket));
    const near = await world.dial("memory://here");
    await listener.close();
    return [near, far as unknown as Socket];
  }

  /** Lets happen what is on its way. */
  async function settle(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves time, and lets what is due then happen. */
  async function pass(clock: ManualClock, ms: number): Promise<void> {
    await settle();
    for (let passed = 0; passed < ms; passed++) {
      clock.advance(1);
      await settle();
    }
  }

  /** Starts a socket and notes what it is told. */
  function log(socket: Socket): unknown[] {
    const events: unknown[] = [];
    socket.start({
      onData: (bytes) => events.push(bytes.length),
      onDrain: () => events.push("drain"),
      onClose: (error) => events.push(error ?? "close"),
    });
    return events;
  }

  test("is a world of its own", async () => {
    const world = memory();
    await world.listen("memory://here", () => {});
    await expect(memory().dial("memory://here")).rejects.toThrow("cannot connect to memory://here: nobody listens");
  });

  test("pushes back at the high-water mark, and drains when all is read", async () => {
    const [near, far] = await link(memory({ highWaterMark: 10 }));
    const events = log(near);
    expect(near.write(new Uint8Array(9))).toBe(true);
    expect(near.write(new Uint8Array(1))).toBe(false);
    expect(near.buffered).toBe(10);
    await settle();
    expect(events).toEqual([]);
    const read = log(far);
    await settle();
    expect([events, read, near.buffered]).toEqual([["drain"], [9, 1], 0]);
  });

  test("delivers at most chunk bytes at once", async () => {
    const [near, far] = await link(memory({ chunk: 4 }));
    near.write(new Uint8Array(10));
    near.write(new Uint8Array(3));
    near.end();
    const read = log(far);
    await settle();
    expect(read).toEqual([4, 4, 2, 3, "close"]);
  });

  test("takes the latency for bytes in each direction", async () => {
    const clock = new ManualClock();
    const linking = link(memory({ latency: 30, clock }));
    await pass(clock, 60);
    const [near, far] = await linking;
    const read = log(far);
    near.write(new Uint8Array(1));
    await pass(clock, 10);
    near.write(new Uint8Array(2));
    await pass(clock, 19);
    expect(read).toEqual([]);
    await pass(clock, 1);
    expect(read).toEqual([1]);
    await pass(clock, 10);
    expect(read).toEqual([1, 2]);
  });

  test("leaves no timer behind of a dial that was given up on its way", async () => {
    let timers = 0;
    const clock = {
      now: () => performance.now(),
      setTimeout: (_: () => void) => ++timers,
      clearTimeout: () => void timers--,
    };
    const abort = new AbortController();
    const dialling = memory({ latency: 60_000, clock }).dial("memory://nobody", abort.signal);
    await new Promise((resolve) => setImmediate(resolve));
    expect(timers).toBe(1);
    abort.abort();
    await expect(dialling).rejects.toMatchObject({ name: "AbortError" });
    expect(timers).toBe(0);
  });

  test("breaks both ends when it is cut, whatever was on its way", async () => {
    const world = memory({ latency: 5 });
    const [near, far] = await link(world);
    const [nearEvents, farEvents] = [log(near), log(far)];
    near.write(new Uint8Array(10));
    world.cut();
    await sleep(20);
    await settle();
    const broken = expect.objectContaining({ code: "ECONNRESET", message: "the link was cut" });
    expect([nearEvents, farEvents]).toEqual([[broken], [broken]]);
    await link(world);
  });

  test("tells the peer that bytes were lost in a destroy", async () => {
    const [near, far] = await link(memory());
    near.write(new Uint8Array(10));
    near.destroy();
    const read = log(far);
    await settle();
    expect(read).toEqual([expect.objectContaining({ code: "ECONNRESET" })]);
  });

  test("delivers nothing while stalled, and everything when healed", async () => {
    const world = memory();
    const [near, far] = await link(world);
    const [nearEvents, farEvents] = [log(near), log(far)];
    world.stall();
    near.write(new Uint8Array(10));
    far.end();
    const dialling = world.dial("memory://nobody", AbortSignal.timeout(20));
    await expect(dialling).rejects.toMatchObject({ name: "TimeoutError" });
    expect([nearEvents, farEvents]).toEqual([[], []]);
    world.heal();
    await settle();
    expect([nearEvents, farEvents]).toEqual([["close"], [10, "close"]]);
  });

  test("destroys a peer that does not finish within closeTimeout", async () => {
    const clock = new ManualClock();
    const [near, far] = await link(memory({ closeTimeout: 20, clock }));
    const events = log(near);
    far.pause();
    near.write(new Uint8Array(10));
    near.end();
    await pass(clock, 19);
    expect(events).toEqual([]);
    await pass(clock, 1);
    expect(events).toEqual([expect.objectContaining({ code: "ETIMEDOUT" })]);
    const read = log(far);
    far.resume();
    await pass(clock, 0);
    expect(read).toEqual([expect.objectContaining({ code: "ECONNRESET" })]);
  });

  test("can play a remote peer", async () => {
    const [near] = await link(memory({ peer: { address: "10.9.9.9", local: false } }));
    expect(near.peer).toMatchObject({ address: "10.9.9.9", local: false, encrypted: false });
  });
});
