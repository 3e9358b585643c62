import { defaultLogger } from "@rap/core";
import { createContainer, inject, singleton } from "@rap/core/container";
import type { AnyFn, Channel } from "@rap/protocol";
import * as z from "zod";
import { Registry } from "../src/registry";
import {
  type Ctor,
  RapChannel,
  RapService,
  Rpc,
  registerService,
  type ServiceOptions,
  serviceMethods,
} from "../src/service";

@singleton()
class Ledger {
  readonly entries = [10];
}

@RapService({ group: "bank" })
class Bank {
  constructor(@inject(Ledger) private readonly ledger: Ledger) {}

  @Rpc({ input: [z.int()], timeout: 5 })
  balance(add: number): number {
    return this.ledger.entries[0]! + add;
  }

  @Rpc({ name: "history", group: "audit", private: true })
  async *statement(): AsyncGenerator<number> {
    yield* this.ledger.entries;
  }

  @RapChannel()
  async talk(channel: Channel<string, string>): Promise<void> {
    for await (const text of channel) await channel.write(text);
  }

  secret(): string {
    return "s3cret";
  }
}

function register(cls: Ctor, options?: ServiceOptions, container = createContainer()) {
  const registry = new Registry(defaultLogger({ level: "silent" }));
  registerService(registry, container, cls, options);
  return registry;
}

const targets = (registry: Registry) => registry.list().map(({ kind, target }) => `${kind} ${target}`);

describe("a service", () => {
  test("exposes its decorated methods and nothing else", () => {
    expect(targets(register(Bank))).toEqual(["function bank/balance", "function audit/history", "channel bank/talk"]);
  });

  test("comes from the container, with its methods bound to the instance", async () => {
    const container = createContainer();
    container.register(Ledger, { useValue: { entries: [100] } });
    const registry = register(Bank, {}, container);
    expect(registry.find("bank/balance")!.call(1)).toBe(101);
    const items: unknown[] = [];
    for await (const item of registry.find("audit/history")!.call() as AsyncIterable<number>) items.push(item);
    expect(items).toEqual([100]);
  });

  test("gives its methods the options of their decorators", () => {
    const registry = register(Bank);
    expect(registry.find("bank/balance")).toMatchObject({ timeout: 5, private: false, streams: false });
    expect(() => registry.find("bank/balance")!.bind(["1"], -1)).toThrow("args[0]");
    expect(registry.find("audit/history")).toMatchObject({ private: true, streams: true });
  });

  test.each<[ServiceOptions, string[], boolean[]]>([
    [{ group: "other" }, ["other/balance", "other/history", "other/talk"], [false, true, false]],
    [{ private: true }, ["bank/balance", "audit/history", "bank/talk"], [true, true, true]],
    [{ private: false }, ["bank/balance", "audit/history", "bank/talk"], [false, false, false]],
    [{ group: undefined } as never, ["bank/balance", "audit/history", "bank/talk"], [false, true, false]],
  ])("lets %j of its registration win", (options, expected, hidden) => {
    const methods = register(Bank, options).list();
    expect(methods.map(({ target }) => target)).toEqual(expected);
    expect(methods.map((method) => method.private)).toEqual(hidden);
  });

  test("may be in the default group and need nothing from the container", () => {
    @RapService()
    class Small {
      @Rpc() ping() {
        return "pong";
      }
    }
    expect(register(Small).find("default/ping")!.call()).toBe("pong");
  });

  test("exposes inherited methods; an overriding one keeps the options unless it has its own", () => {
    abstract class Base {
      @Rpc({ timeout: 1 }) kept() {
        return "base";
      }
      @Rpc({ timeout: 2 }) overridden() {
        return "base";
      }
      @Rpc({ timeout: 3 }) redeclared() {
        return "base";
      }
    }
    @RapService()
    class Derived extends Base {
      override overridden() {
        return "derived";
      }
      @Rpc({ name: "renamed" }) override redeclared() {
        return `derived from ${super.redeclared()}`;
      }
      @Rpc() own() {
        return "own";
      }
    }
    const methods = register(Derived).list();
    expect(methods.map(({ name, timeout, call }) => [name, timeout, call() as unknown])).toEqual([
      ["kept", 1, "base"],
      ["overridden", 2, "derived"],
      ["renamed", undefined, "derived from base"],
      ["own", undefined, "own"],
    ]);
    expect(serviceMethods(Base).map(({ key }) => key)).toEqual(["kept", "overridden", "redeclared"]);
  });

  test("exposes a method that another decorator has replaced", () => {
    const twice: MethodDecorator = (_target, _key, descriptor) => {
      const fn = descriptor.value as unknown as AnyFn;
      descriptor.value = function (this: unknown) {
        return [fn.call(this), fn.call(this)];
      } as never;
    };
    @RapService()
    class Decorated {
      @twice @Rpc() above() {
        return 1;
      }
      @Rpc() @twice below() {
        return 2;
      }
    }
    const registry = register(Decorated);
    expect(registry.find("default/above")!.call()).toEqual([1, 1]);
    expect(registry.find("default/below")!.call()).toEqual([2, 2]);
  });

  test("may have methods with the names of what every object inherits", () => {
    @RapService()
    class Odd {
      @Rpc() toString() {
        return "odd";
      }
      @Rpc() __proto__() {
        return "proto";
      }
    }
    const registry = register(Odd);
    expect(registry.find("default/toString")!.call()).toBe("odd");
    expect(registry.find("default/__proto__")!.call()).toBe("proto");
    expect(registry.find("default/valueOf")).toBeUndefined();
  });

  test("works with standard decorators as with the experimental ones", () => {
    // What TypeScript and other compilers call without `experimentalDecorators`.
    const decorate = (decorator: unknown, value: unknown, context: object) =>
      (decorator as (value: unknown, context: object) => unknown)(value, context);
    class Standard {
      value = 7;
      get() {
        return this.value;
      }
      async talk() {}
      hidden() {}
    }
    const { get, talk } = Standard.prototype;
    decorate(Rpc({ timeout: 5 }), get, { kind: "method", name: "get", static: false, private: false });
    decorate(RapChannel(), talk, { kind: "method", name: "talk", static: false, private: false });
    decorate(RapService({ group: "standard" }), Standard, { kind: "class", name: "Standard" });
    const registry = register(Standard);
    expect(targets(registry)).toEqual(["function standard/get", "channel standard/talk"]);
    expect(registry.find("standard/get")!.call()).toBe(7);
    const field = { kind: "field", name: "x", static: false, private: false };
    expect(() => decorate(Rpc(), undefined, field)).toThrow(/x is none/);
  });

  class Bare {
    @Rpc() ping() {}
  }
  class Heir extends Bank {}
  @RapService()
  class Empty {}
  @RapService()
  class Clash {
    @Rpc({ name: "same" }) one() {}
    @Rpc({ name: "same" }) two() {}
  }

  test.each<[string, unknown, RegExp]>([
    ["a class that is not decorated", Bare, /Bare is not a service: decorate the class with @RapService/],
    ["one whose base class is", Heir, /Heir is not a service/],
    ["one without exposed methods", Empty, /Empty exposes nothing/],
    ["one with two methods of a name", Clash, /"same" in group "default" already/],
    ["an instance", new Empty(), /a class is expected, not object/],
    ["undefined", undefined, /a class is expected, not undefined/],
  ])("cannot be %s", (_, cls, message) => {
    const registry = new Registry(defaultLogger({ level: "silent" }));
    const attempt = () => registerService(registry, createContainer(), cls as Ctor);
    expect(attempt).toThrow(
      expect.objectContaining({ code: "ERR_RAP_REGISTER", message: expect.stringMatching(message) as unknown }),
    );
    expect(registry.list()).toEqual([]);
  });

  test("refuses decorators on what is no method of an instance", () => {
    const error = expect.objectContaining({ code: "ERR_RAP_REGISTER" }) as Error;
    const symbol = Symbol("s");
    expect(() => {
      // biome-ignore lint/complexity/noStaticOnlyClass: what is refused here
      class Static {
        @Rpc() static ping() {}
      }
      return Static;
    }).toThrow(error);
    expect(() => {
      class Accessor {
        @Rpc() get value() {
          return 1;
        }
      }
      return Accessor;
    }).toThrow(error);
    expect(() => {
      class Keyed {
        @Rpc() [symbol]() {}
      }
      return Keyed;
    }).toThrow(error);
    expect(() => (Rpc() as MethodDecorator)(Bank.prototype, "field", undefined as never)).toThrow(error);
  });
});
