import {
  type Awaitable,
  type Channel,
  type Clock,
  type Codec,
  CodecError,
  type Message,
  Metadata,
  RapError,
  type ReadOptions,
  toMetadata,
} from "@rap/protocol";
import { abortError, unlessAborted } from "./abort";
import { Gate } from "./gate";
import { Inbox, InboxIterator } from "./inbox";
import { checkOptions, type OptionNames } from "./option-names";
import type { Envelope } from "./processor";
import { nextTurn } from "./turn";

type WriteOptions = NonNullable<Parameters<Channel["write"]>[1]>;

/** What a conversation needs of the stream below it. */
export interface Port {
  readonly id: number;
  readonly localDone: boolean;
  send(body: Uint8Array, end: boolean, metadata?: Metadata): boolean;
  end(trailers?: Metadata): void;
  fail(error: RapError): void;
  finish(): void;
  reset(error: RapError): void;
  consumed(cost: number): void;
}

/** What a side has of its own for a channel. */
export interface ChannelParts {
  /** What the peer sent when it opened the channel. */
  readonly metadata?: Metadata | undefined;
  /**
   * Takes what is written through the processors; undefined when there are none. It rejects with a RapError, with which
   * the channel then ends.
   */
  readonly outbound?: ((body: unknown, metadata: Metadata | undefined) => Awaitable<Envelope>) | undefined;
  /** Sends what goes before the first message. */
  readonly beforeFirst?: (() => void) | undefined;
  /** Whose fault it is if a message cannot be encoded. Default `INVALID_ARGUMENT`: that of who wrote it. */
  readonly unsendable?: "INVALID_ARGUMENT" | "INTERNAL";
  /** What goes with the end of this side. */
  readonly trailers?: (() => Metadata | undefined) | undefined;
}

/** A channel over a stream: the same on both sides. Its owner feeds it what comes on the stream. */
export class StreamChannel<In, Out> implements Channel<In, Out> {
  readonly metadata: Metadata;
  readonly #port: Port;
  readonly #codec: Codec;
  readonly #inbox: Inbox<In>;
  readonly #gate = new Gate();
  readonly #outbound: ChannelParts["outbound"];
  readonly #unsendable: "INVALID_ARGUMENT" | "INTERNAL";
  readonly #trailers: ChannelParts["trailers"];
  #beforeFirst: ChannelParts["beforeFirst"];
  /** The last of the writes that wait. */
  #line: Promise<void> | undefined;
  readonly #over = new AbortController();
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #writable = true;
  /** No more writes from this side; those in line still go. */
  #ending = false;
  #localEnded = false;
  #peerEnded = false;
  #error: RapError | undefined;
  /** Whether it was this side that closed the channel because of the error. */
  #own = false;
  /** Whether a write was told of the error. */
  #told = false;
  /** Messages that the last `loop` found. */
  #leftToRead = 0;

  constructor(port: Port, codec: Codec, clock: Clock, parts: ChannelParts = {}) {
    this.#port = port;
    this.#codec = codec;
    this.#outbound = parts.outbound;
    this.#beforeFirst = parts.beforeFirst;
    this.#trailers = parts.trailers;
    this.#unsendable = parts.unsendable ?? "INVALID_ARGUMENT";
    this.metadata = parts.metadata ?? new Metadata();
    this.#inbox = new Inbox<In>((cost) => port.consumed(cost), clock);
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get id(): number {
    return this.#port.id;
  }

  get closed(): boolean {
    return this.#error !== undefined || (this.#localEnded && this.#peerEnded);
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get error(): RapError | undefined {
    return this.#own ? undefined : this.#error;
  }

  /** The error that ended the channel, if no read and no write was told of it. */
  get untold(): RapError | undefined {
    return this.#told || this.#inbox.told ? undefined : this.error;
  }

  write(body: Out, options?: WriteOptions): Promise<void> {
    if (this.#ending || !this.#open) return this.#refuse();
    if (options !== undefined || this.#line !== undefined || !this.#writable || this.#outbound !== undefined) {
      return this.#forgiven(this.#write(body, options));
    }
    // What is sent at once needs no promise of its own.
    try {
      this.#send(body, undefined);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.#writable ? SENT : this.#forgiven(this.#untilWritable(undefined));
  }

  async read(options?: ReadOptions): Promise<Message<In>> {
    if (options !== undefined) checkOptions("read()", options, READ_OPTIONS);
    const message = await this.#inbox.next(options);
    if (message === undefined) throw new RapError("OUT_OF_RANGE", "the peer has ended the channel");
    return message;
  }

  async readBody(options?: ReadOptions): Promise<In> {
    return (await this.read(options)).body;
  }

  async loop(flag = true): Promise<boolean> {
    if (!flag || this.#inbox.done) return false;
    const { size } = this.#inbox;
    // A loop that only writes must not keep the end of the channel from being noticed.
    if (size === 0) await nextTurn();
    // Once the channel is over, one that does not read what is left would go on for ever.
    if (this.closed && size === this.#leftToRead) return false;
    this.#leftToRead = size;
    return !this.#inbox.done;
  }

  iter(): AsyncIterableIterator<Message<In>> {
    return new InboxIterator(this.#inbox, (message) => message);
  }

  iterBody(): AsyncIterableIterator<In> {
    return new InboxIterator(this.#inbox, bodyOf);
  }

  [Symbol.asyncIterator](): AsyncIterator<In> {
    return this.iterBody();
  }

  async end(): Promise<void> {
    if (this.#ending || !this.#open) return;
    this.#ending = true;
    if (this.#line !== undefined) await this.#line;
    if (!this.#open) return;
    this.#localEnded = true;
    this.#begin();
    this.#port.end(this.#trailers?.());
    this.#settleIfOver();
  }

  async close(reason?: unknown): Promise<void> {
    if (this.closed) return this.#inbox.discard();
    if (reason !== undefined) return this.#abort(reason);
    this.#ending = true;
    this.#inbox.end();
    this.#inbox.discard();
    if (this.#line !== undefined) await this.#line;
    if (this.closed) return;
    this.#peerEnded = true;
    this.#begin();
    const trailers = this.#localEnded ? undefined : this.#trailers?.();
    if (trailers !== undefined) this.#port.end(trailers);
    this.#localEnded = true;
    this.#port.finish();
    this.#settleIfOver();
  }

  waitClose(): Promise<void> {
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  toWeb(): { readable: ReadableStream<In>; writable: WritableStream<Out> } {
    const readable = new ReadableStream<In>(
      {
        pull: async (controller) => {
          const message = await this.#inbox.next();
          if (message === undefined) controller.close();
          else controller.enqueue(message.body);
        },
        cancel: (reason) => this.close(reason ?? "the reader lost interest"),
      },
      { highWaterMark: 0 },
    );
    const writable = new WritableStream<Out>({
      start: (controller) => {
        // Not only with the next write: what is piped here may be silent for long.
        this.signal.addEventListener("abort", () => controller.error(this.signal.reason), { once: true });
      },
      write: (body) => this.write(body),
      close: () => this.end(),
      abort: (reason) => this.close(reason ?? "the writer gave up"),
    });
    return { readable, writable };
  }

  // From the owner.

  /** A message came. */
  receive(body: In, metadata: Metadata | undefined, cost: number): void {
    this.#inbox.push(body, metadata, cost);
  }

  /** The peer sends nothing more. */
  receiveEnd(): void {
    this.#peerEnded = true;
    this.#inbox.end();
    this.#settleIfOver();
  }

  /** The peer neither sends nor reads any more; what it sent before can still be read. */
  receiveClose(): void {
    this.#peerEnded = true;
    this.#localEnded = true;
    this.#inbox.end();
    this.#settleIfOver();
  }

  /** The conversation is over because of an error. */
  fail(error: RapError): void {
    if (this.closed) return;
    this.#error = error;
    this.#inbox.end(error);
    this.#gate.open();
    this.#over.abort(error);
    this.#resolveClosed();
  }

  /** There is room to write. */
  writable(): void {
    this.#writable = true;
    this.#gate.open();
  }

  get #open(): boolean {
    return this.#error === undefined && !this.#localEnded;
  }

  async #write(body: Out, options: WriteOptions = {}): Promise<void> {
    checkOptions("write()", options, WRITE_OPTIONS);
    const { signal } = options;
    if (signal?.aborted) throw abortError(signal, false);
    const metadata = toMetadata(options.metadata);
    if (this.#line === undefined && this.#writable && this.#outbound === undefined) this.#send(body, metadata);
    else await this.#inLine(body, metadata, signal);
    await this.#untilWritable(signal);
  }

  /** Resolves when the peer has granted room for another message. */
  async #untilWritable(signal: AbortSignal | undefined): Promise<void> {
    while (!this.#writable && this.#open) await unlessAborted(this.#gate.wait(), signal);
    if (this.#error !== undefined) throw this.#tell(this.#error);
  }

  #send(body: unknown, metadata: Metadata | undefined): void {
    if (!this.#open) throw this.#refusal();
    const bytes = this.#encode(body);
    this.#begin();
    this.#writable = this.#port.send(bytes, false, metadata);
  }

  #begin(): void {
    const beforeFirst = this.#beforeFirst;
    this.#beforeFirst = undefined;
    beforeFirst?.();
  }

  #refuse(): Promise<never> {
    const refused = Promise.reject(this.#refusal());
    // The peer may leave at any time: that must be no unhandled rejection of a write that nobody awaited.
    if (!this.#ending && !this.#open && !this.#own) refused.catch(() => undefined);
    return refused;
  }

  #refusal(): RapError {
    if (this.#error !== undefined) return this.#tell(this.#error);
    const what = this.closed ? "the channel is closed" : "this side of the channel has ended";
    return new RapError("FAILED_PRECONDITION", what, { maybeExecuted: false });
  }

  /** A write whose rejection needs no handler if the channel is over. */
  #forgiven(write: Promise<void>): Promise<void> {
    const forgiven: Promise<void> = new Promise((resolve, reject) => {
      write.then(resolve, (error: Error) => {
        if (!this.#open) forgiven.catch(() => undefined);
        reject(error);
      });
    });
    return forgiven;
  }

  #tell(error: RapError): RapError {
    this.#told = true;
    return error;
  }

  #abort(reason: unknown): void {
    const error = RapError.is(reason) ? reason : new RapError("CANCELLED", String(reason));
    this.#own = true;
    this.#port.fail(error);
    this.fail(error);
    this.#inbox.discard();
  }

  /** Writes that nobody awaited keep their order, whoever has to wait for room or for a processor. */
  async #inLine(body: unknown, metadata: Metadata | undefined, signal: AbortSignal | undefined): Promise<void> {
    const before = this.#line;
    let leave!: () => void;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#line = mine;
    try {
      if (before !== undefined) await unlessAborted(before, signal);
      while (!this.#writable && this.#open) await unlessAborted(this.#gate.wait(), signal);
      if (this.#outbound === undefined) this.#send(body, metadata);
      else {
        const message = await this.#process(body, metadata);
        this.#send(message.body, message.metadata.size > 0 ? message.metadata : undefined);
      }
    } finally {
      // Who gives up does not let those behind it go before those in front.
      void Promise.resolve(before).then(leave);
      void mine.then(() => {
        if (this.#line === mine) this.#line = undefined;
      });
    }
  }

  async #process(body: unknown, metadata: Metadata | undefined): Promise<Envelope> {
    try {
      return await this.#outbound!(body, metadata);
    } catch (error) {
      const failure = RapError.from(error);
      this.#port.fail(failure);
      this.fail(failure);
      throw this.#tell(failure);
    }
  }

  #encode(body: unknown): Uint8Array {
    try {
      return this.#codec.encode(body, "message");
    } catch (error) {
      if (CodecError.is(error))
        throw new RapError(this.#unsendable, error.message, { cause: error, maybeExecuted: false });
      throw error;
    }
  }

  #settleIfOver(): void {
    if (!this.#localEnded || !this.#peerEnded) return;
    this.#gate.open();
    if (!this.#over.signal.aborted) this.#over.abort(new RapError("CANCELLED", "the channel is closed"));
    this.#resolveClosed();
  }
}

const SENT = Promise.resolve();
const READ_OPTIONS: OptionNames<ReadOptions> = { signal: "signal", timeout: "left" };
const WRITE_OPTIONS: OptionNames<WriteOptions> = { metadata: true, signal: "signal" };

function bodyOf<T>(message: Message<T>): T {
  return message.body;
}
