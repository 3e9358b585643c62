import { describe, expect, test } from "@jest/globals";
import { compile } from "../../integration/test/compile";
import {
  type Channel,
  Client,
  type KindOf,
  type Remote,
  type RemoteChannel,
  type RemoteFn,
  type Session,
  safe,
} from "../src";

// Types are what is tested here. The compiler is the judge of what stands in functions that nobody calls
// (`npm run typecheck`); `compile` asks it what it says to users.

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T => true as T;

declare const client: Client;
declare function syncSum(a: number, b: number): number;
declare function asyncSum(a: number, b: number): Promise<number>;
declare function asyncGen(a: number): AsyncGenerator<number>;
declare function echoBody(channel: Channel<string, string>): Promise<void>;
declare function upper(src: AsyncIterable<string>): AsyncGenerator<string>;
type Api = {
  syncSum: typeof syncSum;
  asyncSum: typeof asyncSum;
  asyncGen: typeof asyncGen;
};

describe("the cases that a naive mapping gets wrong", () => {
  async function compiled() {
    (await client.register<() => number>("a")()) satisfies number; // no params: not a channel
    (await client.register<(x: unknown) => string>("b")(1)) satisfies string; // unknown param: not a channel
    // biome-ignore lint/suspicious/noConfusingVoidType: a function of nothing
    (await client.register<(x?: number, ...r: string[]) => void>("c")()) satisfies void; // optional + rest survive
    (await client.register<(s: AsyncIterable<number>) => Promise<number>>("d")([1, 2])) satisfies number; // client stream
    const e = client.registerChannel<(c: Channel<1, 2>) => Promise<void>>("e");
    await e(async (ch) => {
      await ch.write(1);
      (await ch.readBody()) satisfies 2;
    }); // directions flip
    const anyFn = client.register<(x: number) => any>("g");
    (await anyFn(1)) satisfies unknown;
    const never = client.register<() => never>("f");
    void never;
    interface Svc {
      readonly version: string;
      add(a: number, b: number): number;
      later(): Promise<Map<string, Date>>;
    }
    const svc = client.service<Svc>("svc");
    (await svc.later()).get("x")?.getTime();
    // @ts-expect-error non-function members are not callable remotely
    void svc.version;

    await client.register<(x?: number, ...r: string[]) => void>("c")(1, "a", "b");
    // @ts-expect-error the rest are strings
    await client.register<(x?: number, ...r: string[]) => void>("c")(1, 2);
    // @ts-expect-error what a caller writes is what the function reads
    await e(async (ch) => ch.write(2));
  }

  test("compile", () => expect(compiled).toBeInstanceOf(Function));

  test("are of the right kind", () => {
    expect(holds<Equal<KindOf<typeof syncSum>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<typeof asyncGen>, "stream">>()).toBe(true);
    expect(holds<Equal<KindOf<typeof upper>, "stream">>()).toBe(true);
    expect(holds<Equal<KindOf<typeof echoBody>, "channel">>()).toBe(true);
    expect(holds<Equal<KindOf<() => PromiseLike<number>>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<() => number | AsyncIterable<number>>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<(x: any) => void>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<(a: Channel<1, 2>, b: number) => void>, "unary">>()).toBe(true);
  });

  test("give the caller what it gets, also for promises of promises, thenables and unions", () => {
    expect(holds<Equal<Remote<() => PromiseLike<1>>, RemoteFn<[], Promise<1>>>>()).toBe(true);
    expect(holds<Equal<Remote<() => Promise<1> | 2>, RemoteFn<[], Promise<1 | 2>>>>()).toBe(true);
    expect(holds<Equal<Remote<() => Promise<void>>, RemoteFn<[], Promise<void>>>>()).toBe(true);
    expect(holds<Equal<Remote<typeof echoBody>, RemoteChannel<string, string>>>()).toBe(true);
    expect(
      holds<
        Equal<
          Remote<(s: AsyncIterable<1>, n?: 2) => 3>,
          RemoteFn<[s: AsyncIterable<1> | Iterable<1>, n?: 2], Promise<3>>
        >
      >(),
    ).toBe(true);
  });
});

describe("what the documentation shows", () => {
  async function compiled(session: Session) {
    const remoteSum = client.register<typeof syncSum>("syncSum");
    const remoteGen = client.registerGen<typeof asyncGen>("asyncGen");
    (await remoteSum(1, 3)) satisfies number;
    (await client.invokeByName<number>("syncSum", { a: 1, b: 2 })) satisfies number;
    (await client.invoke(remoteSum, [1, 2])) satisfies number;
    (await client.invoke(syncSum, { a: 1, b: 2 })) satisfies number;
    for await (const item of remoteGen.with({ timeout: 5 })(10)) item satisfies number;
    for await (const item of client.registerGen<typeof upper>("upper")(["a", "b"])) item satisfies string;
    (await client.register(asyncSum)(1, 2)) satisfies number;
    (await session.execute(remoteSum, [1, 2])) satisfies number;
    (await session.execute<number>("syncSum", [1, 2])) satisfies number;
    (await session.execute(() => asyncSum(1, 3))) satisfies number;
    const bound = session.service<Api>("default", { asyncGen: "stream" });
    (await bound.asyncSum(1, 3)) satisfies number;
    const echo = client.registerChannel<typeof echoBody>("echoBody");
    {
      await using channel = await echo.open({ timeout: 5_000 });
      await channel.write("direct");
      for await (const body of channel) body satisfies string;
      for await (const message of channel.iter()) message.metadata.get("x-n");
    }
    const outcome = await safe(remoteSum(1, 2));
    if (outcome.ok) outcome.value satisfies number;
    else outcome.error.code satisfies string;
    await using owned = new Client();
    owned.addConn("localhost", 9000);

    // @ts-expect-error wrong argument type is a compile error
    void remoteSum("1", 3);
    // @ts-expect-error a generator registered as unary is a compile error, with the hint in the message
    client.register<typeof asyncGen>("asyncGen");
    // @ts-expect-error and so is a channel
    client.register<typeof echoBody>("echoBody");
    // @ts-expect-error no generator
    client.registerGen<typeof syncSum>("syncSum");
    // @ts-expect-error no channel
    client.registerChannel<typeof syncSum>("syncSum");
    // @ts-expect-error forgetting a streaming method is a compile error
    client.service<Api>("default");
    // @ts-expect-error and so is calling it something else
    client.service<Api>("default", { asyncGen: "channel" });
    // @ts-expect-error or naming one that does not stream
    client.service<Api>("default", { asyncGen: "stream", syncSum: "unary" });
    // @ts-expect-error options are no arguments
    void remoteSum(1, 2, { timeout: 5 });
    // @ts-expect-error no option of that name
    void remoteSum.with({ timeOut: 5 });
  }

  test("compiles, and its mistakes do not", () => expect(compiled).toBeInstanceOf(Function));

  test("hides what a class keeps to itself", () => {
    class Bank {
      constructor(private readonly ledger: Map<string, number>) {}
      withdraw(account: string, amount: number): number {
        return (this.ledger.get(account) ?? 0) - amount;
      }
      async *statement(account: string): AsyncGenerator<{ n: number }> {
        yield { n: this.ledger.get(account) ?? 0 };
      }
    }
    const bank = new Client().service<Bank>("bank", { statement: "stream" });
    expect(typeof bank.withdraw).toBe("function");
    const compiled = async () => {
      for await (const entry of bank.statement("a")) entry.n satisfies number;
      // @ts-expect-error not a method
      void bank.ledger;
      // @ts-expect-error forgetting a streaming method is a compile error
      new Client().service<Bank>("bank");
    };
    expect(compiled).toBeInstanceOf(Function);
  });
});

describe("the compiler's words", () => {
  const errorsOf = (line: string) =>
    compile(`
      import { type Channel, Client } from "@rap/client";
      declare function generator(n: number): AsyncGenerator<number>;
      declare function plain(n: number): number;
      declare function talk(channel: Channel<string, string>): Promise<void>;
      interface Service { plain(n: number): number; generator(n: number): AsyncGenerator<number>; }
      const client = new Client();
      void [generator, plain, talk]; void (0 as never as Service);
      ${line}
    `).errors;

  test.each([
    ["client.register<typeof plain>('f')", undefined],
    [
      "client.register<typeof generator>('f')",
      "use registerGen() for an async generator, registerChannel() for a channel",
    ],
    ["client.register<typeof talk>('f')", "use registerGen() for an async generator, registerChannel() for a channel"],
    ["client.registerGen<typeof plain>('f')", "not an async generator"],
    ["client.registerChannel<typeof plain>('f')", "not a function of one Channel"],
    ["client.registerChannel<typeof generator>('f')", "not a function of one Channel"],
    ["client.service<Service>('g')", "Expected 2-3 arguments, but got 1"],
    ["client.service<Service>('g', {})", "Property 'generator' is missing"],
    [
      "client.register<typeof plain>('f')('1')",
      "Argument of type 'string' is not assignable to parameter of type 'number'",
    ],
  ])(
    "say what to do: %s",
    (line, words) => {
      const errors = errorsOf(line);
      if (words === undefined) expect(errors).toEqual([]);
      else expect(errors.join("\n")).toContain(words);
    },
    60_000,
  );
});
