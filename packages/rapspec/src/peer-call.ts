import { type Channel, type Client, Metadata, RapError } from "@rap/client";
import type { MetadataValue } from "@rap/protocol";
import type { Answer, Instruction, TaggedMetadata } from "./instruction";
import { tag, untag } from "./tagged";

type CallInstruction = Instruction & { op: "call" };

/** One call that our client makes for the suite. */
export class PeerCall {
  readonly #client: Client;
  readonly #told: CallInstruction;
  readonly #answer: (answer: Omit<Answer, "id">) => void;
  readonly #caller = new AbortController();
  /** What the suite sends as the streamed argument, or into the channel. */
  readonly #outgoing = new TransformStream<unknown, unknown>();
  readonly #writer = this.#outgoing.writable.getWriter();
  /** Resolves with the channel once it is open, with undefined where the call has none. */
  readonly #channel: Promise<Channel | undefined>;
  #opened!: (channel: Channel | undefined) => void;
  #mayRead!: () => void;
  readonly #reading: Promise<void>;

  constructor(client: Client, told: CallInstruction, answer: (answer: Omit<Answer, "id">) => void) {
    this.#client = client;
    this.#told = told;
    this.#answer = answer;
    this.#reading = new Promise((resolve) => {
      this.#mayRead = resolve;
    });
    if (told.read !== false) this.#mayRead();
    this.#channel = new Promise((resolve) => {
      this.#opened = resolve;
    });
    if (told.shape !== "channel") this.#opened(undefined);
    this.#writer.closed.catch(() => {});
  }

  /** Makes the call, and tells all that comes of it. */
  async run(): Promise<void> {
    try {
      await (this.#told.shape === "channel" ? this.#talk() : this.#request());
    } catch (error) {
      this.#answer({ error: { ...described(error), ...(RapError.is(error) && { data: tag(error.data) }) } });
    }
  }

  /** An instruction about this call. */
  async told(instruction: Instruction): Promise<void> {
    switch (instruction.op) {
      case "send": {
        const value = untag(instruction.value);
        const channel = await this.#channel;
        if (channel !== undefined) await channel.write(value);
        else this.#writer.write(value).catch(() => {});
        return;
      }
      case "end": {
        const channel = await this.#channel;
        if (channel !== undefined) await channel.end();
        else this.#writer.close().catch(() => {});
        return;
      }
      case "cancel":
        this.#caller.abort();
        return;
      case "read":
        this.#mayRead();
    }
  }

  #options() {
    const [group, name] = this.#told.function.split("/") as [string, string];
    const { timeout, metadata } = this.#told;
    const options = {
      group,
      signal: this.#caller.signal,
      timeout,
      metadata: untagged(metadata),
      onHeaders: (got: Metadata) => this.#answer({ headers: tagged(got) }),
      onTrailers: (got: Metadata) => this.#answer({ trailers: tagged(got) }),
    };
    return { name, options };
  }

  async #request(): Promise<void> {
    const { shape, args = [] } = this.#told;
    const { name, options } = this.#options();
    const values = args.map(untag);
    if (shape === "client stream" || shape === "bidi stream") values[0] = this.#outgoing.readable;
    if (shape === "unary" || shape === "client stream") {
      const result = await this.#client.invokeByName(name, values, options);
      this.#answer({ result: tag(result) });
      return;
    }
    type Streamed = (...args: unknown[]) => AsyncIterable<unknown>;
    const stream = this.#client.registerGen<Streamed>(name, options)(...values);
    await Promise.race([this.#reading, untilAborted(this.#caller.signal)]);
    for await (const item of stream) this.#answer({ item: tag(item) });
    this.#answer({ end: true });
  }

  async #talk(): Promise<void> {
    const { name, options } = this.#options();
    const channel = await this.#client.registerChannel<(channel: Channel) => void>(name, options).open();
    this.#opened(channel);
    await this.#reading;
    for await (const message of channel) this.#answer({ item: tag(message) });
    this.#answer({ end: true });
  }
}

/** An error as the suite reads it. */
export function described(error: unknown): NonNullable<Answer["error"]> {
  if (!RapError.is(error)) return { code: "UNKNOWN", message: String(error) };
  const { code, message, reason, maybeExecuted } = error;
  return { code, message, maybeExecuted, ...(reason !== undefined && { reason }) };
}

function untagged(pairs: TaggedMetadata = []): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of pairs) metadata.append(key, untag(value) as MetadataValue);
  return metadata;
}

function tagged(metadata: Metadata): TaggedMetadata {
  return [...metadata].map(([key, value]: [string, MetadataValue]) => [key, tag(value)]);
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve());
  });
}
