import type { RapError } from "./error";
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
  /**
   * The error that ended the channel, of the peer or of the connection: undefined while it is open, after a clean end,
   * and when this side closed it.
   */
  readonly error: RapError | undefined;
  /** Fires when the conversation ends, for whatever reason. */
  readonly signal: AbortSignal;
  /** Metadata that the peer opened the channel with (server) or answered with (client). */
  readonly metadata: Metadata;
  /**
   * Sends a message; resolves when the peer granted room, so awaiting it is the back-pressure. Messages go in the order
   * of the calls. Rejects with the error that ended the channel, with `FAILED_PRECONDITION` when this side has ended or
   * the channel is closed, with `INVALID_ARGUMENT` for what cannot be sent.
   */
  write(body: Out, options?: { metadata?: MetadataInit; signal?: AbortSignal }): Promise<void>;
  /** The next message. Rejects with `OUT_OF_RANGE` when the peer ended, or with the error that ended the channel. */
  read(options?: ReadOptions): Promise<Message<In>>;
  /** The body of the next message. */
  readBody(options?: ReadOptions): Promise<In>;
  /**
   * `while (await channel.loop(n < 3))`: false when `flag` is, or once the peer has ended and all it sent was read; once
   * the channel is over also when the loop does not read.
   */
  loop(flag?: boolean): Promise<boolean>;
  /** The messages until the peer ends. */
  iter(): AsyncIterableIterator<Message<In>>;
  /** The bodies until the peer ends; the same as `for await (const body of channel)`. */
  iterBody(): AsyncIterableIterator<In>;
  /** Half-close: after what was written nothing more comes from this side; reading goes on. */
  end(): Promise<void>;
  /**
   * Ends both directions. Without a reason the peer gets what was written, and then its reads just end; with one they
   * fail: with a `RapError` as it is, with anything else as `CANCELLED` and its text.
   */
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
