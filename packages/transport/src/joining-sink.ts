import { type Metadata, NO_BYTES, type RapError } from "@rap/protocol";
import type { StreamSink } from "./stream";
import { nextTurn } from "./turn";

/** Bytes that are copied in one turn of the event loop. */
const SLICE = 256 * 1024;

/** A large message that came whole. */
export interface LargeMessageParts {
  readonly parts: Uint8Array[];
  readonly size: number;
  readonly metadata: Metadata | undefined;
  readonly cost: number;
}

/**
 * Stands before a stream's sink while large messages are put together, a slice in each turn of the event loop, so that
 * nothing else waits long for them. What comes on the stream after such a message waits for it.
 */
export class JoiningSink implements StreamSink {
  readonly sink: StreamSink;
  readonly #joined: (bytes: number) => void;
  readonly #idle: () => void;
  /** Large messages and what came after them, in order. */
  #queue: (LargeMessageParts | (() => void))[] = [];
  #message: Uint8Array = NO_BYTES;
  #filled = 0;
  /** The part that comes next, and how much of it is copied. */
  #next = 0;
  #copied = 0;
  #stopped = false;

  /** `joined` is told of the bytes of each message whose parts are no longer kept; `idle` when nothing waits any more. */
  constructor(sink: StreamSink, joined: (bytes: number) => void, idle: () => void) {
    this.sink = sink;
    this.#joined = joined;
    this.#idle = idle;
  }

  /** Takes a large message. */
  add(large: LargeMessageParts): void {
    this.#queue.push(large);
    if (this.#queue.length === 1) nextTurn(this.#join);
  }

  /** Nobody wants what waits; what still comes is passed on at once. */
  stop(): void {
    this.#stopped = true;
    for (const waiting of this.#queue) if (typeof waiting !== "function") this.#joined(waiting.size);
    this.#queue = [];
    this.#message = NO_BYTES;
  }

  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    // `slice` of a Buffer would not copy.
    const message = owned ? bytes.subarray(start, end) : new Uint8Array(bytes.subarray(start, end));
    this.#pass(() => this.sink.onMessage(message, 0, message.length, true, metadata, cost));
  }

  onHeaders(metadata: Metadata): void {
    this.#pass(() => this.sink.onHeaders(metadata));
  }

  onEnd(trailers: Metadata | undefined): void {
    this.#pass(() => this.sink.onEnd(trailers));
  }

  onReset(error: RapError | undefined): void {
    this.#pass(() => this.sink.onReset(error));
  }

  onWritable(): void {
    this.sink.onWritable();
  }

  #pass(event: () => void): void {
    if (this.#stopped) event();
    else this.#queue.push(event);
  }

  readonly #join = (): void => {
    const large = this.#queue[0];
    if (large === undefined || typeof large === "function") return;
    if (this.#filled === 0) this.#message = Buffer.allocUnsafeSlow(large.size);
    this.#copySlice(large);
    if (this.#filled < large.size) return nextTurn(this.#join);
    const message = this.#message;
    this.#message = NO_BYTES;
    this.#filled = 0;
    this.#next = 0;
    this.#queue.shift();
    this.#joined(large.size);
    this.sink.onMessage(message, 0, large.size, true, large.metadata, large.cost);
    this.#passOn();
  };

  #copySlice({ parts, size }: LargeMessageParts): void {
    const until = Math.min(size, this.#filled + SLICE);
    while (this.#filled < until) {
      const part = parts[this.#next]!;
      const piece = part.subarray(this.#copied, this.#copied + until - this.#filled);
      this.#message.set(piece, this.#filled);
      this.#filled += piece.length;
      this.#copied += piece.length;
      if (this.#copied < part.length) continue;
      parts[this.#next++] = NO_BYTES;
      this.#copied = 0;
    }
  }

  /** Everything up to the next large message. Each of it may stop this. */
  #passOn(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (typeof next !== "function") return nextTurn(this.#join);
      this.#queue.shift();
      next();
    }
    if (!this.#stopped) this.#idle();
  }
}
