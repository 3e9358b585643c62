import { describe, expect, test } from "@jest/globals";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { Server } from "@rap/server";
import { createTestPair, ManualClock } from "../src";

describe("a manual clock", () => {
  test("stands still until it is moved", () => {
    const clock = new ManualClock(5);
    expect(clock.now()).toBe(5);
    clock.advance(10);
    expect([clock.now(), new ManualClock().now()]).toEqual([15, 0]);
  });

  test.each([NaN, Infinity, -1, "5", undefined, null])("is not moved by %p", (ms) => {
    const clock = new ManualClock();
    expect(() => clock.advance(ms as number)).toThrow("the time of advance() is 0 or more milliseconds, not");
    expect(clock.now()).toBe(0);
    if (ms !== -1 && ms !== undefined) {
      expect(() => new ManualClock(ms as number)).toThrow(
        "the start of a ManualClock is a number of milliseconds, not",
      );
    }
  });

  test("calls timers in the order of their times, each at its own time", () => {
    const clock = new ManualClock();
    const log: [string, number][] = [];
    const note = (name: string) => () => log.push([name, clock.now()]);
    clock.setTimeout(note("c"), 30);
    clock.setTimeout(note("a"), 10);
    clock.setTimeout(note("b"), 10);
    expect(clock.timers).toBe(3);
    clock.advance(9);
    expect(log).toEqual([]);
    clock.advance(100);
    expect(log).toEqual([
      ["a", 10],
      ["b", 10],
      ["c", 30],
    ]);
    expect([clock.timers, clock.now()]).toEqual([0, 109]);
  });

  test("calls timers that others set on the way, and none that was cleared", () => {
    const clock = new ManualClock();
    const log: number[] = [];
    const tick = () => {
      log.push(clock.now());
      if (log.length < 4) clock.setTimeout(tick, 10);
    };
    clock.setTimeout(tick, 10);
    const cleared = clock.setTimeout(() => log.push(-1), 15);
    clock.setTimeout(() => clock.clearTimeout(cleared), 12);
    clock.clearTimeout(undefined);
    clock.advance(25);
    expect(log).toEqual([10, 20]);
    clock.advance(1_000);
    expect(log).toEqual([10, 20, 30, 40]);
  });

  test("calls a timer of no time at the next move, be it none", () => {
    const clock = new ManualClock();
    let called = 0;
    clock.setTimeout(() => called++, -5);
    expect(called).toBe(0);
    clock.advance(0);
    expect(called).toBe(1);
  });

  test("is the time of a server and a client that get it from a container", async () => {
    const clock = new ManualClock();
    const container = createContainer();
    container.register(CLOCK, { useValue: clock });
    const server = new Server({ container }).register({ forever: () => new Promise<never>(() => {}) });
    await using pair = await createTestPair(server, { client: { container } });
    const call = pair.client.invokeByName("forever", [], { timeout: 10_000 });
    const failed = expect(call).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    clock.advance(10_010);
    await failed;
    const stopping = server.shutdown({ graceMs: 0 });
    for (let n = 0; n < 10; n++) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(1_000);
    }
    await stopping;
  });
});
