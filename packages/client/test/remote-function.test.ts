import { describe, expect, test } from "@jest/globals";
import type { Channel, Stream } from "@rap/protocol";
import type { KindOf, Remote, RemoteChannel, RemoteFn } from "../src/remote-function";

// Types are what is tested here: `npm run typecheck` is the judge.
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T => true as T;

describe("the type of a remote function", () => {
  test("has the awaited result, whether the function is asynchronous or not", () => {
    expect(holds<Equal<Remote<(a: number) => string>, RemoteFn<[a: number], Promise<string>>>>()).toBe(true);
    expect(holds<Equal<Remote<(a: number) => Promise<string>>, RemoteFn<[a: number], Promise<string>>>>()).toBe(true);
  });

  test("is a stream where a generator is given, or promised", () => {
    expect(holds<Equal<Remote<() => AsyncGenerator<1>>, RemoteFn<[], Stream<1>>>>()).toBe(true);
    expect(holds<Equal<Remote<() => Promise<AsyncIterable<1>>>, RemoteFn<[], Stream<1>>>>()).toBe(true);
  });

  test("is no stream where the result is any or never, promised or not", () => {
    expect(holds<Equal<KindOf<() => any>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<() => Promise<any>>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<() => never>, "unary">>()).toBe(true);
    expect(holds<Equal<KindOf<() => Promise<never>>, "unary">>()).toBe(true);
  });

  test("turns the directions of a channel round", () => {
    expect(holds<Equal<Remote<(c: Channel<1, 2>) => Promise<void>>, RemoteChannel<2, 1>>>()).toBe(true);
  });
});
