import { type Clock, type Message, Metadata, RapError, type ReadOptions } from "@rap/protocol";
import { abortError } from "./abort";

interface Waiter<T> {
  resolve(message: Message<T> | undefined): void;
  reject(error: unknown): void;
}

/**
 * What came on a call and was not read yet. Errors and the end come after everything that came before them. The
 * sender is told of each message taken, so that it may send more: an inbox never holds more than the window.
 */
export class Inbox<T> {
  readonly #taken: (cost: number) => void;
  readonly #clock: Clock;
  #messages: Message<T>[] = [];
  #costs: number[] = [];
  #first = 0;
  #seq = 0;
  #waiters: Waiter<T>[] = [];
  #ended = false;
  #discards = false;
  #error: RapError | undefined;
  /** Whether a reader was told of the error that the call ended with. */
  told = false;

  /** `taken` is told the cost of every message that was read or discarded. */
  constructor(taken: (cost: number) => void, clock: Clock) {
    this.#taken = taken;
    this.#clock = clock;
  }

  /** Whether nothing is left and nothing will come. */
  get done(): boolean {
    return this.#ended && this.#first === this.#messages.length;
  }

  get size(): number {
    return this.#messages.length - this.#first;
  }

  push(body: T, metadata: Metadata | undefined, cost: number): void {
    if (this.#discards) this.#taken(cost);
    if (this.#ended) return;
    const message = new Received(body, metadata, this.#seq++);
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#messages.push(message);
      this.#costs.push(cost);
    } else {
      waiter.resolve(message);
      this.#taken(cost);
    }
  }

  /** Nothing more comes; `error` when that is not a clean end. Only the first call counts. */
  end(error?: RapError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (error === undefined) waiter.resolve(undefined);
      else waiter.reject(this.#tell(error));
    }
  }

  /** Forgets what was not read. */
  clear(): void {
    this.#messages = [];
    this.#costs = [];
    this.#first = 0;
  }

  /** Forgets what was not read, and takes what still comes from the sender, so that it is not held up. */
  discard(): void {
    for (const cost of this.#costs.slice(this.#first)) this.#taken(cost);
    this.clear();
    this.#discards = true;
  }

  /** The next message if it is there already. */
  take(): Message<T> | undefined {
    const message = this.#messages[this.#first];
    if (message === undefined) return undefined;
    const cost = this.#costs[this.#first]!;
    this.#messages[this.#first++] = undefined as never;
    if (this.#first === this.#messages.length) this.clear();
    this.#taken(cost);
    return message;
  }

  /** The next message; undefined after a clean end. Rejects with the error that ended the call. */
  next(options?: ReadOptions): Promise<Message<T> | undefined> {
    const message = this.take();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#error !== undefined) return Promise.reject(this.#tell(this.#error));
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiters.push(waiter);
      if (options !== undefined) this.#bound(waiter, options);
    });
  }

  #tell(error: RapError): RapError {
    this.told = true;
    return error;
  }

  /** Lets a waiter give up on a signal or after a time; what comes then is for the next reader. */
  #bound(waiter: Waiter<T>, { signal, timeout }: ReadOptions): void {
    const { resolve, reject } = waiter;
    const giveUp = (error: RapError) => {
      this.#waiters = this.#waiters.filter((each) => each !== waiter);
      settled();
      reject(error);
    };
    const onAbort = () => giveUp(abortError(signal!));
    const timer =
      timeout === undefined
        ? undefined
        : this.#clock.setTimeout(
            () => giveUp(new RapError("DEADLINE_EXCEEDED", `nothing came within ${timeout} ms`)),
            timeout,
            true,
          );
    const settled = () => {
      if (timer !== undefined) this.#clock.clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    waiter.resolve = (message) => {
      settled();
      resolve(message);
    };
    waiter.reject = (error) => {
      settled();
      reject(error);
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  }
}

/** A message that came. Most have no metadata, so it is made when somebody asks for it. */
class Received<T> implements Message<T> {
  #metadata: Metadata | undefined;

  constructor(
    readonly body: T,
    metadata: Metadata | undefined,
    readonly seq: number,
  ) {
    this.#metadata = metadata;
  }

  get metadata(): Metadata {
    this.#metadata ??= new Metadata();
    return this.#metadata;
  }
}

/**
 * What comes into an inbox until its end, as `pick` makes it of each message. Unlike an async generator it makes one
 * promise of a message that is there already. `left` is told when the reader leaves before the end.
 */
export class InboxIterator<T, R> implements AsyncIterableIterator<R> {
  readonly #inbox: Inbox<T>;
  readonly #pick: (message: Message<T>) => R;
  readonly #left: (() => void) | undefined;
  #over = false;

  constructor(inbox: Inbox<T>, pick: (message: Message<T>) => R, left?: () => void) {
    this.#inbox = inbox;
    this.#pick = pick;
    this.#left = left;
  }

  next(): Promise<IteratorResult<R, undefined>> {
    if (this.#over) return DONE;
    const message = this.#inbox.take();
    return message === undefined ? this.#inbox.next().then(this.#result) : Promise.resolve(this.#result(message));
  }

  return(): Promise<IteratorResult<R, undefined>> {
    if (!this.#over) this.#left?.();
    this.#over = true;
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #result = (message: Message<T> | undefined): IteratorResult<R, undefined> =>
    message === undefined ? { done: true, value: undefined } : { done: false, value: this.#pick(message) };
}

const DONE: Promise<IteratorReturnResult<undefined>> = Promise.resolve({ done: true, value: undefined });
