import { type Clock, limits, msgpack, systemClock } from "@rap/protocol";
import { createContainer, inject, injectable, singleton } from "../src/container";
import { CLOCK, CODEC, LIMITS, LOGGER, RANDOM, registered, type Token } from "../src/tokens";

@injectable()
class Stopwatch {
  constructor(@inject(CLOCK) readonly clock: Clock) {}
}

@singleton()
class Ledger {
  readonly entries: string[] = [];
}

describe("a container", () => {
  test("gives constructors what is registered under their tokens", () => {
    const container = createContainer();
    container.register(CLOCK, { useValue: systemClock });
    expect(container.resolve(Stopwatch).clock).toBe(systemClock);
    expect(container.resolve<Clock>(CLOCK) satisfies Clock).toBe(systemClock);
  });

  test("keeps what is registered in it from its parent and its siblings", () => {
    const parent = createContainer();
    const child = createContainer(parent);
    child.register(CLOCK, { useValue: systemClock });
    expect(child.isRegistered(CLOCK, true)).toBe(true);
    expect(parent.isRegistered(CLOCK, true)).toBe(false);
    expect(createContainer().isRegistered(CLOCK, true)).toBe(false);
  });

  test("asks its parent for what it does not know", () => {
    const parent = createContainer();
    parent.register(CLOCK, { useValue: systemClock });
    expect(createContainer(parent).resolve<Clock>(CLOCK)).toBe(systemClock);
  });

  test("has a container for its parent", () => {
    for (const parent of [null, {}, new Map()]) {
      expect(() => createContainer(parent as never)).toThrow("the parent of a container is a container");
    }
  });

  test("shares singletons", () => {
    expect(createContainer().resolve(Ledger)).toBe(createContainer().resolve(Ledger));
  });
});

describe("what is registered under a token of rap", () => {
  const registering = (token: Token<unknown>, useValue: unknown) => {
    const container = createContainer();
    container.register(token, { useValue });
    return container;
  };

  test("is given, undefined where nothing is", () => {
    expect(registered(createContainer(), CLOCK)).toBeUndefined();
    expect(registered(registering(CLOCK, systemClock), CLOCK)).toBe(systemClock);
    const table = limits({ maxInFlight: 5 });
    expect(registered(registering(LIMITS, table), LIMITS)).toBe(table);
    const own: Token<string> = Symbol("a token of one's own");
    expect(registered(registering(own, "anything"), own)).toBe("anything");
  });

  test.each<[string, Token<unknown>, unknown, string]>([
    [
      "a codec that is yet to be made",
      CODEC,
      msgpack,
      "rap.codec is a codec with the methods encode and decode, not a function",
    ],
    ["a clock without timers", CLOCK, Date, "rap.clock is a clock with the methods now, setTimeout and clearTimeout"],
    [
      "a number for randomness",
      RANDOM,
      4,
      "rap.random is a source of randomness with the methods bytes and float, not 4",
    ],
    ["half a logger", LOGGER, { info() {} }, "rap.logger is a logger with the methods debug, info, warn and error"],
    [
      "some limits, where others would be none",
      LIMITS,
      { maxInFlight: 5 },
      "rap.limits is a whole table, as limits({ … })",
    ],
    ["a number", LIMITS, 5, "rap.limits is a whole table, as limits({ … }) of @rap/protocol gives, not 5"],
  ])("is refused if it is %s", (_, token, part, message) => {
    expect(() => registered(registering(token, part), token)).toThrow(
      expect.objectContaining({
        name: "TypeError",
        code: "ERR_RAP_OPTION",
        message: expect.stringContaining(`what is registered under ${message}`),
      }),
    );
  });
});

test("tokens are different from each other, and the same in every copy of the package", () => {
  const tokens: Token<unknown>[] = [CLOCK, CODEC, LIMITS, LOGGER, RANDOM];
  expect(new Set(tokens).size).toBe(tokens.length);
  for (const token of tokens) expect(Symbol.keyFor(token)).toMatch(/^rap\./);
  // @ts-expect-error a token names one type
  RANDOM satisfies Token<Clock>;
});
