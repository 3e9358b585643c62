import type { Metadata, MetadataInit } from "./metadata";

// biome-ignore lint/suspicious/noExplicitAny: the one place that says "any function"
export type AnyFn = (...args: any[]) => any;
export type Awaitable<T> = T | PromiseLike<T>;

/** How many messages each side of a call sends. */
export type CallKind = "unary" | "server_stream" | "client_stream" | "bidi_stream" | "channel";

/** One message of a channel with what travels beside it. */
export interface Message<T> {
  readonly body: T;
  readonly metadata: Metadata;
  /** 0 for the first message of that direction, then 1, 2 … */
  readonly seq: number;
}

/** Options of one read: give up on `signal`, or after `timeout` milliseconds with `DEADLINE_EXCEEDED`. */
export interface ReadOptions {
  signal?: AbortSignal;
  timeout?: number;
}

/** One side of a duplex conversation: `In` is what this side reads, `Out` what it writes. */
export interface Channel<In = unknown, Out = unknown> extends AsyncIterable<In>, AsyncDisposable {
  readonly id: number;
  readonly closed: boolean;
  /** Fires when the conversation ends, for whatever reason. */
  readonly signal: AbortSignal;
  /** Metadata that the peer opened the channel with (server) or answered with (client). */
  readonly metadata: Metadata;
  /** Sends a message; resolves when the peer granted room, so awaiting it is the back-pressure. */
  write(body: Out, options?: { metadata?: MetadataInit; signal?: AbortSignal }): Promise<void>;
  /** The next message. Rejects with `OUT_OF_RANGE` when the peer ended, or with the error that ended the channel. */
  read(options?: ReadOptions): Promise<Message<In>>;
  /** The body of the next message. */
  readBody(options?: ReadOptions): Promise<In>;
  /** `while (await channel.loop(n < 3))`: false once the channel is closed or `flag` is false. */
  loop(flag?: boolean): Promise<boolean>;
  /** The messages until the peer ends. */
  iter(): AsyncIterableIterator<Message<In>>;
  /** The bodies until the peer ends; the same as `for await (const body of channel)`. */
  iterBody(): AsyncIterableIterator<In>;
  /** Half-close: no more writes from this side, reading goes on. */
  end(): Promise<void>;
  /** Ends both directions; the peer's reads fail with `reason`, or just end without one. */
  close(reason?: unknown): Promise<void>;
  /** Resolves once both sides are done. */
  waitClose(): Promise<void>;
  /** A Web Streams view, for `pipeThrough`, `Response` or Node's `Duplex.fromWeb`. */
  toWeb(): { readable: ReadableStream<In>; writable: WritableStream<Out> };
}

/** A server stream as its caller sees it. Leaving a `for await` early cancels the function on the server. */
export interface Stream<T> extends AsyncIterableIterator<T>, AsyncDisposable {
  /** What the server sent before its first item. */
  readonly headers: Promise<Metadata>;
  /** What the server sent with its end. */
  readonly trailers: Promise<Metadata>;
  toWeb(): ReadableStream<T>;
}
