import type { Metadata, RapError } from "@rap/protocol";
import type { StreamSink } from "./stream";
import { nextTurn } from "./turn";

/** Bytes that are copied in one turn of the event loop. */
const SLICE = 256 * 1024;
const NONE = new Uint8Array(0);

/**
 * Stands before a stream's sink while a large message is put together, a slice in each turn of the event loop, so that
 * nothing else waits long for it. What comes on the stream after the message waits for it.
 */
export class JoiningSink implements StreamSink {
  readonly #sink: StreamSink;
  readonly #parts: Uint8Array[];
  readonly #message: Uint8Array;
  readonly #deliver: (sink: StreamSink, message: Uint8Array) => void;
  #filled = 0;
  /** The part that comes next, and how much of it is copied. */
  #next = 0;
  #copied = 0;
  #waiting: (() => void)[] = [];
  #done = false;

  /** `deliver` hands the whole message over; then this passes on everything at once. */
  constructor(
    sink: StreamSink,
    parts: Uint8Array[],
    size: number,
    deliver: (sink: StreamSink, message: Uint8Array) => void,
  ) {
    this.#sink = sink;
    this.#parts = parts;
    this.#message = Buffer.allocUnsafeSlow(size);
    this.#deliver = deliver;
    nextTurn(this.#join);
  }

  /** The sink behind those that have done their work. */
  static behind(sink: StreamSink | undefined): StreamSink | undefined {
    return sink instanceof JoiningSink && sink.#done ? JoiningSink.behind(sink.#sink) : sink;
  }

  /** Nobody wants the message any more. */
  stop(): void {
    this.#done = true;
    this.#parts.length = 0;
    this.#waiting = [];
    if (this.#sink instanceof JoiningSink) this.#sink.stop();
  }

  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    if (this.#done) return this.#sink.onMessage(bytes, start, end, owned, metadata, cost);
    const message = owned ? bytes.subarray(start, end) : bytes.slice(start, end);
    this.#waiting.push(() => this.#sink.onMessage(message, 0, message.length, true, metadata, cost));
  }

  onHeaders(metadata: Metadata): void {
    this.#pass(() => this.#sink.onHeaders(metadata));
  }

  onEnd(trailers: Metadata | undefined): void {
    this.#pass(() => this.#sink.onEnd(trailers));
  }

  onReset(error: RapError | undefined): void {
    this.#pass(() => this.#sink.onReset(error));
  }

  onWritable(): void {
    this.#sink.onWritable();
  }

  #pass(event: () => void): void {
    if (this.#done) event();
    else this.#waiting.push(event);
  }

  readonly #join = (): void => {
    if (this.#done) return;
    const until = Math.min(this.#message.length, this.#filled + SLICE);
    while (this.#filled < until) {
      const part = this.#parts[this.#next]!;
      const piece = part.subarray(this.#copied, this.#copied + until - this.#filled);
      this.#message.set(piece, this.#filled);
      this.#filled += piece.length;
      this.#copied += piece.length;
      if (this.#copied < part.length) continue;
      this.#parts[this.#next++] = NONE;
      this.#copied = 0;
    }
    if (this.#filled < this.#message.length) return nextTurn(this.#join);
    this.#done = true;
    this.#deliver(this.#sink, this.#message);
    for (const event of this.#waiting.splice(0)) event();
  };
}
