import { type Clock, systemClock } from "@rap/protocol";
import { createContainer, inject, injectable, singleton } from "../src/container";
import { CLOCK, CODEC, LIMITS, LOGGER, RANDOM, type Token } from "../src/tokens";

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

test("tokens are different from each other, and the same in every copy of the package", () => {
  const tokens: Token<unknown>[] = [CLOCK, CODEC, LIMITS, LOGGER, RANDOM];
  expect(new Set(tokens).size).toBe(tokens.length);
  for (const token of tokens) expect(Symbol.keyFor(token)).toMatch(/^rap\./);
  // @ts-expect-error a token names one type
  RANDOM satisfies Token<Clock>;
});
