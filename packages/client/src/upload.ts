import { Gate, isPromise } from "@rap/core";
import type { Awaitable } from "@rap/protocol";

/** What can be streamed into a call. */
export type Source = AsyncIterable<unknown> | Iterable<unknown>;

/** The argument of a call that its caller streams in. */
export class Upload {
  /** Where it stands among the arguments. */
  readonly index: number;
  readonly #source: Source;
  readonly #gate = new Gate();
  /** undefined before the first item, and once there is no more to send. */
  #iterator: AsyncIterator<unknown> | undefined;
  #stopped = false;

  constructor(source: Source, index: number) {
    this.#source = source;
    this.index = index;
  }

  /**
   * Gives the items to `sendItem`, and after one for which that is false waits until `writable`. True once all are sent;
   * false when it was stopped. Rejects with what the source or `sendItem` throws.
   */
  async send(sendItem: (item: unknown) => Awaitable<boolean>): Promise<boolean> {
    const iterator = iterate(this.#source);
    this.#iterator = iterator;
    // The source may have ended its call when it was asked for the iterator.
    if (this.#stopped) this.stop();
    while (this.#iterator !== undefined) {
      const next = await iterator.next();
      if (this.#iterator === undefined) return false;
      if (next.done === true) {
        this.#iterator = undefined;
        return true;
      }
      const sent = sendItem(next.value);
      if (!(isPromise(sent) ? await sent : sent)) await this.#gate.wait();
    }
    return false;
  }

  /** What was sent is on its way: go on. */
  writable(): void {
    this.#gate.open();
  }

  /** Nobody needs more of it: lets the source run its `finally`. */
  stop(): void {
    const iterator = this.#iterator;
    this.#stopped = true;
    this.#iterator = undefined;
    this.#gate.open();
    if (iterator !== undefined) void leave(iterator);
  }
}

/** Whether an argument is a stream rather than a value: an async iterable, or an iterator that is no collection. */
export function isSource(value: unknown): value is Source {
  if (typeof value !== "object" || value === null) return false;
  try {
    if (Symbol.asyncIterator in value) return true;
    return Symbol.iterator in value && typeof (value as { next?: unknown }).next === "function";
  } catch {
    return false; // a value that throws when it is looked at: the codec will say where it is
  }
}

/** What a source does when it is left is its own business. */
async function leave(source: AsyncIterator<unknown>): Promise<void> {
  try {
    await source.return?.();
  } catch {
    // The call is over: there is nobody to tell.
  }
}

function iterate(source: Source): AsyncIterator<unknown> {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  const iterator = source[Symbol.iterator]();
  return {
    next: async () => iterator.next(),
    return: async () => iterator.return?.() ?? { done: true, value: undefined },
  };
}
