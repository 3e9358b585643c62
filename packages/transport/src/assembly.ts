import type { Metadata } from "@rap/protocol";
import { JoiningSink } from "./joining-sink";
import type { Stream } from "./stream";

/** Messages up to here are put together at once; a larger one would hold up everything else for milliseconds. */
const JOIN_AT_ONCE = 2 * 1024 * 1024;

/** Puts together the messages of a stream that come in parts. */
export class Assembly {
  readonly #stream: Stream;
  /** Of the message that is not whole. */
  #parts: Uint8Array[] = [];
  #metadata: Metadata | undefined;
  /** Bytes of it. */
  bytes = 0;
  /** Puts large messages together, while there are any. */
  #joining: JoiningSink | undefined;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** Whether there are parts of a message that is not whole. */
  get begun(): boolean {
    return this.#parts.length > 0;
  }

  /** A part came, bytes[start, end), and is not the last. */
  add(bytes: Uint8Array, start: number, end: number, metadata: Metadata | undefined): void {
    // A small view would keep the whole of what was read with it in memory.
    const part = bytes.subarray(start, end);
    this.#parts.push(part.length * 4 < bytes.length ? Uint8Array.from(part) : part);
    this.#metadata = metadata ?? this.#metadata;
    this.bytes += part.length;
    this.#stream.connection.pressure.keep(part.length);
  }

  /** The last part came: the stream's sink gets the message, now or when it is put together. */
  finish(bytes: Uint8Array, start: number, end: number, own: Metadata | undefined, cost: number): void {
    const metadata = own ?? this.#metadata;
    const size = this.bytes + end - start;
    if (size > JOIN_AT_ONCE) return this.#join(size, new Uint8Array(bytes.subarray(start, end)), metadata, cost);
    const message = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const part of this.#parts) {
      message.set(part, at);
      at += part.length;
    }
    message.set(bytes.subarray(start, end), at);
    this.drop();
    this.#stream.sink!.onMessage(message, 0, size, true, metadata, cost);
  }

  /** The message that is not whole is not wanted. */
  drop(): void {
    this.#stream.connection.pressure.keep(-this.bytes);
    this.#forget();
  }

  /** Nor is what is put together, nor what came after it. */
  stop(): void {
    this.#joining?.stop();
    this.#leave();
  }

  /** Puts a large message together without holding up what else there is to do; its parts are kept until then. */
  #join(size: number, rest: Uint8Array, metadata: Metadata | undefined, cost: number): void {
    const stream = this.#stream;
    const { pressure } = stream.connection;
    const parts = this.#parts;
    parts.push(rest);
    pressure.keep(rest.length);
    this.#forget();
    if (this.#joining === undefined) {
      const joined = (bytes: number) => pressure.keep(-bytes);
      this.#joining = new JoiningSink(stream.sink!, joined, () => this.#leave());
      stream.sink = this.#joining;
    }
    this.#joining.add({ parts, size, metadata, cost });
  }

  /** Messages go straight to the call again. */
  #leave(): void {
    const stream = this.#stream;
    if (stream.sink !== undefined && stream.sink === this.#joining) stream.sink = this.#joining.sink;
    this.#joining = undefined;
  }

  #forget(): void {
    this.#parts = [];
    this.#metadata = undefined;
    this.bytes = 0;
  }
}
