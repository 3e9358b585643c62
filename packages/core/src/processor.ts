import type { Awaitable, CallKind, Codec, Metadata, RapError, SecureLayer } from "@rap/protocol";
import type { Host } from "./host";
import { checkHooks, checkInTime, loadError } from "./lifecycle";
import { given } from "./option-values";
import { warn } from "./warning";

/** One message of a call on its way: arguments, a result, an item of a stream or channel. */
export interface Envelope {
  /** The value; a processor may replace it. */
  body: unknown;
  /** What travels beside this message: with arguments the call's metadata. A processor may change it. */
  readonly metadata: Metadata;
  readonly method: string;
  readonly group: string;
  /** Id of the call's session, if it is in one. */
  readonly session: string | undefined;
}

/** A call, as processors are told of it. */
export interface ProcessedCall {
  readonly method: string;
  readonly group: string;
  readonly kind: CallKind;
  readonly metadata: Metadata;
}

/**
 * Handles every message of every call, whatever its shape. Client and server load the same list: what is sent goes
 * through it in order, what is received in reverse. Sync or async, messages of a call keep their order. A processor
 * that throws fails that call.
 */
export interface Processor {
  readonly kind?: "processor";
  /** A message from client to server: on the client before it is sent, on the server before the function sees it. */
  onRequest?(message: Envelope): Awaitable<Envelope>;
  /** A message from server to client: on the server before it is sent, on the client before the caller sees it. */
  onResponse?(message: Envelope): Awaitable<Envelope>;
  /** Makes every connection secure below the codec, before any message: the crypto plugin does. */
  readonly secure?: SecureLayer;
  /** A call begins. */
  onContextEnter?(call: ProcessedCall): void;
  /** A call that was entered is over; `error` if it failed. */
  onContextExit?(call: ProcessedCall, error?: unknown): void;
  /** Before the server listens, or the client connects. */
  onStart?(host?: Host): Awaitable<void>;
  /** After the server has stopped, or the client. */
  onStop?(host?: Host): Awaitable<void>;
}

type Step = "onRequest" | "onResponse";

/** The processors of one side, in the order in which they were loaded. */
export class ProcessorChain {
  readonly #list: Processor[] = [];
  #watchesMessages = false;
  #watchesCalls = false;

  get list(): readonly Processor[] {
    return this.#list;
  }

  /** The chain itself if any of its processors looks at messages or calls, else undefined: those need not pass by. */
  get active(): ProcessorChain | undefined {
    return this.#watchesMessages || this.#watchesCalls ? this : undefined;
  }

  /** Whether any of them is to be told of calls: `enter` need not be asked otherwise. */
  get watchesCalls(): boolean {
    return this.#watchesCalls;
  }

  /**
   * Adds to those that are loaded already, all of the list or, when one cannot be, none. Throws a TypeError for one that
   * is loaded or is none, for one that makes connections secure when there may be some already (`fresh` is false), as
   * those would stay as they are, and then for one with an `onStart`, as it would not be called.
   */
  load(list: readonly Processor[], fresh: boolean): void {
    const all = [...this.#list];
    for (const processor of list) {
      checkProcessor(processor);
      checkInTime(processor, !fresh);
      if (all.includes(processor)) throw loadError("a processor is loaded already");
      if (processor.secure !== undefined && all.some(({ secure }) => secure !== undefined)) {
        throw loadError("a processor that makes connections secure is loaded already");
      }
      if (processor.secure !== undefined && !fresh) {
        throw loadError("a processor that makes connections secure is loaded before the start");
      }
      all.push(processor);
    }
    for (const processor of list) {
      this.#list.push(processor);
      this.#watchesMessages ||= processor.onRequest !== undefined || processor.onResponse !== undefined;
      this.#watchesCalls ||= processor.onContextEnter !== undefined || processor.onContextExit !== undefined;
    }
  }

  /** What makes connections secure, if one of the processors does. */
  get secure(): SecureLayer | undefined {
    return this.#list.find(({ secure }) => secure !== undefined)?.secure;
  }

  /** Takes a message that is to be sent through the list. A promise only if a processor gives one. */
  outbound(step: Step, message: Envelope): Awaitable<Envelope> {
    return this.#run(step, message, 0, 1);
  }

  /** Takes a message that was received through the list in reverse. */
  inbound(step: Step, message: Envelope): Awaitable<Envelope> {
    return this.#run(step, message, this.#list.length - 1, -1);
  }

  /** Tells all that a call begins; gives the function that tells those who were told of its end. */
  enter(call: ProcessedCall): (error?: unknown) => void {
    const entered: Processor[] = [];
    const exit = (error?: unknown): void => {
      for (const processor of entered.splice(0).reverse()) {
        try {
          processor.onContextExit?.(call, error);
        } catch (thrown) {
          warn(thrown, "onContextExit of a processor failed");
        }
      }
    };
    try {
      for (const processor of this.#list) {
        processor.onContextEnter?.(call);
        entered.push(processor);
      }
    } catch (error) {
      exit(error);
      throw error;
    }
    return exit;
  }

  #run(step: Step, message: Envelope, from: number, by: 1 | -1): Awaitable<Envelope> {
    let current = message;
    for (let index = from; index >= 0 && index < this.#list.length; index += by) {
      const processor = this.#list[index]!;
      const next = (step === "onRequest" ? processor.onRequest?.(current) : processor.onResponse?.(current)) ?? current;
      if (isPromise(next)) return this.#runLater(step, next, index + by, by);
      current = next;
    }
    return current;
  }

  #runLater(step: Step, message: PromiseLike<Envelope>, from: number, by: 1 | -1): PromiseLike<Envelope> {
    return message.then((changed) => this.#run(step, changed, from, by));
  }
}

/** The call behind a `ProcessedSink`. */
export interface MessageTarget {
  readonly codec: Codec;
  /** The envelope of a message that came. */
  envelope(body: unknown, metadata: Metadata | undefined): Envelope;
  /** A message, through all processors. */
  receive(body: unknown, metadata: Metadata | undefined, cost: number): void;
  /** A message that the codec refused. */
  unreadable(error: unknown): void;
  /** A processor threw. */
  rejected(error: unknown): void;
  onHeaders(metadata: Metadata): void;
  onEnd(trailers: Metadata | undefined): void;
  onReset(error: RapError | undefined): void;
  onWritable(): void;
}

/**
 * Stands between a stream and its call: takes each message that comes through the processors, in order. What comes is
 * handled at once, until a processor is asynchronous: then everything waits for what came before it.
 */
export class ProcessedSink {
  readonly target: MessageTarget;
  readonly #chain: ProcessorChain;
  readonly #step: Step;
  /** Settles when what came last was handled. */
  #last: PromiseLike<void> | undefined;

  constructor(target: MessageTarget, chain: ProcessorChain, step: Step) {
    this.target = target;
    this.#chain = chain;
    this.#step = step;
  }

  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    let body: unknown;
    try {
      body = this.target.codec.decode(bytes, start, end, owned);
    } catch (error) {
      this.target.unreadable(error);
      return;
    }
    if (this.#last === undefined) this.#process(body, metadata, cost);
    else this.#queue(body, metadata, cost);
  }

  onHeaders(metadata: Metadata): void {
    if (this.#last === undefined) this.target.onHeaders(metadata);
    else this.#wait(this.#last.then(() => this.target.onHeaders(metadata)));
  }

  onEnd(trailers: Metadata | undefined): void {
    if (this.#last === undefined) this.target.onEnd(trailers);
    else this.#wait(this.#last.then(() => this.target.onEnd(trailers)));
  }

  onReset(error: RapError | undefined): void {
    // A server's error comes after its messages; a caller that cancels waits for nothing.
    if (this.#last === undefined || this.#step === "onRequest") this.target.onReset(error);
    else this.#wait(this.#last.then(() => this.target.onReset(error)));
  }

  onWritable(): void {
    this.target.onWritable();
  }

  // A method with closures allocates for them also where it needs none, so those stand apart.

  #process(body: unknown, metadata: Metadata | undefined, cost: number): void {
    try {
      const message = this.#chain.inbound(this.#step, this.target.envelope(body, metadata));
      if (isPromise(message)) this.#wait(this.#receive(message, cost));
      else this.target.receive(message.body, message.metadata, cost);
    } catch (error) {
      this.target.rejected(error);
    }
  }

  /** The same for a message that others are before. */
  #queue(body: unknown, metadata: Metadata | undefined, cost: number): void {
    const message = this.#last!.then(() => this.#chain.inbound(this.#step, this.target.envelope(body, metadata)));
    this.#wait(this.#receive(message, cost));
  }

  #receive(message: PromiseLike<Envelope>, cost: number): PromiseLike<void> {
    return message
      .then(({ body, metadata }) => this.target.receive(body, metadata, cost))
      .then(undefined, (error: unknown) => this.target.rejected(error));
  }

  #wait(handled: PromiseLike<void>): void {
    const last: PromiseLike<void> = handled.then(() => {
      if (this.#last === last) this.#last = undefined;
    });
    this.#last = last;
  }
}

export function isPromise<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

const HOOKS = ["onRequest", "onResponse", "onContextEnter", "onContextExit", "onStart", "onStop"] as const;

function checkProcessor(processor: Processor): void {
  if (typeof processor !== "object" || processor === null) {
    throw loadError(`a processor is an object, not ${given(processor)}`);
  }
  const { kind, secure } = processor;
  if (kind !== undefined && kind !== "processor") {
    throw loadError(
      `a processor's kind is "processor", not ${JSON.stringify(kind)}: middleware goes to loadMiddleware()`,
    );
  }
  checkHooks("a processor", processor as object as Record<string, unknown>, HOOKS);
  if (secure !== undefined && (typeof secure?.offer !== "function" || typeof secure.answer !== "function")) {
    throw loadError("secure of a processor has the methods offer and answer");
  }
  // An empty record says that it does nothing; what has none of the names was meant to do something.
  const empty = Object.getPrototypeOf(processor) === Object.prototype && Object.keys(processor).length === 0;
  if (!empty && kind === undefined && secure === undefined && HOOKS.every((name) => processor[name] === undefined)) {
    throw loadError(`a processor has one of ${HOOKS.join(", ")}`);
  }
}
