import { type Envelope, StreamChannel } from "@rap/core";
import { type Channel, type Metadata, messageOf, RapError, Shape } from "@rap/protocol";
import type { ClientCore } from "./pool";
import { OutgoingCall } from "./send";
import type { Target } from "./target";

/** A channel on the client: a call in which both sides write as they like. */
export class ChannelCall extends OutgoingCall {
  readonly #resolve: (channel: Channel) => void;
  readonly #reject: (error: RapError) => void;
  #channel: StreamChannel<unknown, unknown> | undefined;

  constructor(
    core: ClientCore,
    target: Target,
    resolve: (channel: Channel) => void,
    reject: (error: RapError) => void,
  ) {
    super(core, target, Shape.CHANNEL, undefined);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  protected override opened(): void {
    const channel = new StreamChannel(
      this.stream!,
      this.codec,
      this.core.clock,
      this.core.processors === undefined
        ? undefined
        : { outbound: (body, metadata) => this.#outboundOrFailure(body, metadata) },
    );
    this.#channel = channel;
    // However it ends, by either side, the call's timers and listeners end with it.
    void channel.waitClose().then(() => this.settle(channel.error));
    this.#resolve(channel);
  }

  async #outboundOrFailure(body: unknown, metadata: Metadata | undefined): Promise<Envelope> {
    try {
      return await this.outbound(body, metadata);
    } catch (error) {
      throw RapError.is(error) ? error : new RapError("INTERNAL", messageOf(error), { cause: error });
    }
  }

  override onHeaders(metadata: Metadata): void {
    super.onHeaders(metadata);
    for (const [key, value] of metadata) this.#channel?.metadata.append(key, value);
  }

  override receive(body: unknown, metadata: Metadata | undefined, cost: number): void {
    this.#channel?.receive(body, metadata, cost);
  }

  override onEnd(trailers: Metadata | undefined): void {
    if (trailers !== undefined) this.tellTrailers(trailers);
    this.#channel?.receiveEnd();
  }

  override onReset(error: RapError | undefined): void {
    if (error !== undefined) return super.onReset(error);
    this.#channel?.receiveClose();
    if (this.stream?.localDone === false) this.stream.end();
  }

  override onWritable(): void {
    this.#channel?.writable();
  }

  override fail(error: RapError): void {
    if (!this.settle(error)) return;
    if (this.#channel === undefined) this.#reject(error);
    else this.#channel.fail(error);
  }
}
