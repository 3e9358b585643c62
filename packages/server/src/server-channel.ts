import { callScope, type Envelope, StreamChannel } from "@rap/core";
import type { Metadata } from "@rap/protocol";
import type { ServerCall } from "./answer";

/** Opens the channel of a call, and runs its function when the frame that opened it was handled whole. */
export function openChannel(call: ServerCall): StreamChannel<unknown, unknown> {
  const { clock, processors } = call.connection.server;
  const channel = new StreamChannel(call.stream, call.codec, clock, {
    metadata: call.context.metadata,
    outbound: processors === undefined ? undefined : (body, metadata) => outbound(call, body, metadata),
    unsendable: "INTERNAL",
    beforeFirst: () => call.sendHeaders(),
    trailers: () => call.trailers,
  });
  queueMicrotask(() => void converse(call, channel));
  return channel;
}

async function converse(call: ServerCall, channel: StreamChannel<unknown, unknown>): Promise<void> {
  // A caller that is done with the channel is no reason not to read what it sent.
  if (channel.error !== undefined) return call.finish(channel.error);
  try {
    await callScope.run(call, () => call.invoke([channel]));
    await channel.close();
  } catch (error) {
    if (call.cancelled === undefined) {
      const failure = call.failure(error);
      channel.fail(failure);
      return call.finish(failure);
    }
  }
  // A processor may have ended it while the function did not look.
  const error = call.cancelled ?? channel.error;
  if (error !== undefined) call.finish(error);
  else call.release();
}

async function outbound(call: ServerCall, body: unknown, metadata: Metadata | undefined): Promise<Envelope> {
  try {
    return await call.outbound(body, metadata);
  } catch (error) {
    throw call.failure(error);
  }
}
