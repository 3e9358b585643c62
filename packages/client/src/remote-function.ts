import type { AnyFn, Awaitable, Channel, Stream } from "@rap/protocol";
import type { CallOptions } from "./options";

/** What a caller may give where the function takes a stream: an async iterable, or anything iterable. */
type WireArg<A> = A extends AsyncIterable<infer T> ? AsyncIterable<T> | Iterable<T> : A;
type WireArgs<A extends readonly unknown[]> = { [K in keyof A]: WireArg<A[K]> };

/** A function on a server, called like any other. */
export interface RemoteFn<A extends readonly unknown[], R> {
  (...args: A): R;
  /** The same function with options of its own; the function's arguments stay untouched. */
  with(options: CallOptions): RemoteFn<A, R>;
  /** `group/name`. */
  readonly rpcName: string;
}

/** A duplex function on a server. `In` is what the caller reads, `Out` what it writes. */
export interface RemoteChannel<In, Out> {
  /** Opens the channel for as long as `handler` runs. */
  (handler: (channel: Channel<In, Out>) => Awaitable<void>): Promise<void>;
  /** Opens the channel until it is closed, by either side. */
  open(options?: CallOptions): Promise<Channel<In, Out>>;
  with(options: CallOptions): RemoteChannel<In, Out>;
  readonly rpcName: string;
}

type IsAny<T> = 0 extends 1 & T ? true : false;
// biome-ignore lint/suspicious/noExplicitAny: a channel of any two types
type IsChannel<C> = IsAny<C> extends true ? false : [C] extends [Channel<any, any>] ? true : false;

/**
 * A server function as its caller sees it. The parameter tuple is what tells a channel: by contravariance
 * `F extends (c: Channel) => …` would also match `() => T`, `(x: unknown) => T` and `(s: AsyncIterable) => T`.
 */
// biome-ignore lint/suspicious/noExplicitAny: any result
export type Remote<F> = F extends (...args: infer P) => any
  ? P extends [infer C]
    ? IsChannel<C> extends true
      ? C extends Channel<infer I, infer O>
        ? RemoteChannel<O, I>
        : never
      : RemoteCall<F>
    : RemoteCall<F>
  : never;

/** By what is awaited, as it may be the stream itself; `any` and `never` would count as one. */
type RemoteCall<F> = F extends (...args: infer A) => infer R
  ? IsPlain<Settled<R>> extends true
    ? RemoteFn<WireArgs<A>, Promise<Settled<R>>>
    : Settled<R> extends AsyncIterable<infer T>
      ? RemoteFn<WireArgs<A>, Stream<T>>
      : never
  : never;

/** What a promise gives, as `Awaited`, at a tenth of the compiler's work where it is one. */
type Settled<R> =
  IsAny<R> extends true ? R : [R] extends [never] ? never : [R] extends [Promise<infer V>] ? V : Awaited<R>;

/** Whether a result is no stream. */
type IsPlain<V> =
  IsAny<V> extends true ? true : [V] extends [never] ? true : [V] extends [AsyncIterable<unknown>] ? false : true;

/** The functions of a group, or the public methods of a service class, as their caller sees them. */
export type RemoteService<S> = {
  readonly [K in keyof S as S[K] extends AnyFn ? (K extends string ? K : never) : never]: Remote<S[K]>;
};

// biome-ignore lint/suspicious/noExplicitAny: any arguments
export type Result<F extends AnyFn> = Remote<F> extends RemoteFn<any, infer R> ? R : never;

export type KindOf<F> = F extends (...args: infer P) => infer R
  ? P extends [infer C]
    ? IsChannel<C> extends true
      ? "channel"
      : ResultKind<R>
    : ResultKind<R>
  : "unary";

type ResultKind<R> = IsPlain<Settled<R>> extends true ? "unary" : "stream";

/** The methods that a client which knows only types must be told of: types are gone at run time. */
export type Kinds<S> = {
  readonly [K in keyof S as S[K] extends AnyFn
    ? KindOf<S[K]> extends "unary"
      ? never
      : K extends string
        ? K
        : never
    : never]: KindOf<S[K]>;
};

/** The last arguments of `service`: the kinds are due exactly when a method streams. */
export type KindArgs<S> = keyof Kinds<S> extends never
  ? [kinds?: undefined, options?: CallOptions]
  : [kinds: Kinds<S>, options?: CallOptions];

/** A name, or a type error that says what to call instead. */
export type Only<F extends AnyFn, K extends string, Hint extends string> =
  KindOf<F> extends K ? string : { __rapTypeError: Hint };
