import { callScope, Gate, Inbox, InboxIterator } from "@rap/core";
import type { Metadata, RapError } from "@rap/protocol";
import type { ServerCall } from "./answer";

/** What a call streams, an item at a time: what its caller sends, and what its function gives. */
export class StreamedItems {
  /** Which argument the caller streams; -1: none. */
  readonly argument: number;
  readonly #call: ServerCall;
  /** What came and the function has not taken. */
  readonly #inbox: Inbox<unknown> | undefined;
  /** Where the next item of the function waits. */
  #gate: Gate | undefined;
  #iterator: AsyncIterator<unknown> | undefined;
  /** The function's items are not wanted any more, and it comes to its `finally`. */
  #leaving: Promise<void> | undefined;

  constructor(call: ServerCall, argument: number) {
    this.#call = call;
    this.argument = argument;
    const { stream, connection } = call;
    if (argument >= 0) this.#inbox = new Inbox((cost) => stream.consumed(cost), connection.server.clock);
  }

  /** The caller's stream as the function sees it: leaving it early tells nobody, as the call's end does that. */
  incoming(): AsyncIterableIterator<unknown> {
    const inbox = this.#inbox!;
    return new InboxIterator(
      inbox,
      ({ body }) => body,
      () => {
        inbox.end();
        inbox.clear();
      },
    );
  }

  receive(body: unknown, metadata: Metadata | undefined, cost: number): void {
    this.#inbox?.push(body, metadata, cost);
  }

  /** The caller sends nothing more. */
  receiveEnd(): void {
    this.#inbox?.end();
  }

  /** There is room for another item of the function. */
  writable(): void {
    this.#gate?.open();
  }

  /** Nobody waits for the call any more. */
  cancel(error: RapError): void {
    this.#inbox?.end(error);
    this.#gate?.open();
  }

  /** Lets a function that gives items run its `finally`; false if it gives none. */
  leave(): boolean {
    if (this.#iterator === undefined) return false;
    this.#leaving = callScope.run(this.#call, endIterator, this.#iterator, this.#call);
    return true;
  }

  /**
   * Sends what an iterable gives, no faster than the caller takes it, and ends the call. Called inside the call's scope.
   */
  async send(source: AsyncIterable<unknown>): Promise<void> {
    const call = this.#call;
    const { codec, stream } = call;
    const { checkResult } = call.method;
    const { processors } = call.connection.server;
    const gate = new Gate();
    this.#gate = gate;
    try {
      const iterator = source[Symbol.asyncIterator]();
      this.#iterator = iterator;
      if (call.cancelled !== undefined) await iterator.return?.();
      let headersSent = call.sendHeaders();
      while (call.cancelled === undefined) {
        const next = await iterator.next();
        // A generator's body begins to run with the first item.
        if (!headersSent) headersSent = call.sendHeaders() || !next.done;
        if (next.done === true || call.cancelled !== undefined) break;
        const item = checkResult === undefined ? next.value : await checkResult(next.value);
        const sent =
          processors === undefined ? stream.send(codec.encode(item, "item"), false) : await this.#sendProcessed(item);
        if (!sent) await gate.wait();
      }
    } catch (error) {
      await (this.#leaving ?? endIterator(this.#iterator, call));
      return call.fail(error);
    }
    if (call.cancelled !== undefined) {
      // Its place is free when its `finally` is done.
      await this.#leaving;
      return call.finish(call.cancelled);
    }
    stream.end(call.trailers);
    call.release();
  }

  /** Sends an item through the processors; false when the next must wait. */
  async #sendProcessed(item: unknown): Promise<boolean> {
    const { codec, stream } = this.#call;
    const { body, metadata } = await this.#call.outbound(item);
    return stream.send(codec.encode(body, "item"), false, metadata.size > 0 ? metadata : undefined);
  }
}

/** Lets a generator that is not wanted any more run its `finally`. Called inside the call's scope. */
export async function endIterator(iterator: AsyncIterator<unknown> | undefined, call: ServerCall): Promise<void> {
  try {
    await iterator?.return?.();
  } catch (error) {
    call.lost(error);
  }
}
