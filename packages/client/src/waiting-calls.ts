import { RapError, Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";
import { CallQueue, type Waiting } from "./call-queue";
import type { ClientCore } from "./pool";

/** Calls that wait for a connection: unary calls, streams and channels apart, as the server has limits for each. */
export class WaitingCalls {
  readonly #unary = new CallQueue(Shape.UNARY);
  readonly #streams = new CallQueue(Shape.SERVER_STREAM);
  readonly #channels = new CallQueue(Shape.CHANNEL);
  readonly #queues: readonly CallQueue[] = [this.#unary, this.#streams, this.#channels];

  get size(): number {
    return this.#unary.size + this.#streams.size + this.#channels.size;
  }

  /** Lets a call wait. Throws RESOURCE_EXHAUSTED, and counts it, when as many calls wait as may. */
  add(call: Waiting, client: Pick<ClientCore, "limits" | "refused">): void {
    if (this.size >= client.limits.maxQueuedCalls) {
      client.refused.maxQueuedCalls++;
      throw new RapError("RESOURCE_EXHAUSTED", `${this.size} calls wait already`, { maybeExecuted: false });
    }
    this.push(call);
  }

  /** Lets a call wait, however many do. */
  push(call: Waiting): void {
    const { shape } = call;
    const queue = shape === Shape.UNARY ? this.#unary : shape === Shape.CHANNEL ? this.#channels : this.#streams;
    queue.push(call);
  }

  /** Lets calls go while there is a connection for their shape, first come first served. */
  serve(pick: (shape: Shape) => Connection | undefined): void {
    for (const queue of this.#queues) {
      while (queue.size > 0) {
        const connection = pick(queue.shape);
        if (connection === undefined) break;
        queue.shift()?.begin(connection);
      }
    }
  }

  /** Sends every call away. */
  drop(error: () => RapError): void {
    for (const queue of this.#queues) {
      for (let call = queue.shift(); call !== undefined; call = queue.shift()) call.giveUp(error());
    }
  }

  /** Sends those away that do not wait for an address that cannot be reached. */
  dropImpatient(error: () => RapError): void {
    for (const queue of this.#queues) for (const call of queue.shiftImpatient()) call.giveUp(error());
  }
}
