import { type Channel, type Code, RapError } from "@rap/client";
import { context, type Server } from "@rap/server";

/** Registers what the suite calls; `docs/protocol.md` says what each does. Returns what lets `stubborn` finish. */
export function registerFunctions(server: Server): () => void {
  const stubborn: (() => void)[] = [];
  server.register({
    echo: (value: unknown) => value,
    args: (...args: unknown[]) => args.length,
    size: (bytes: number) => new Uint8Array(bytes),
    exchange: (bytes: Uint8Array, size: number) => ({ got: bytes.length, back: new Uint8Array(size) }),
    remaining: () => context().deadline?.remaining() ?? null,
    fail(code: Code, message: string, data?: unknown): never {
      throw new RapError(code, message, data === undefined ? {} : { data });
    },
    crash(): never {
      throw new Error(`a secret of ${__filename}`);
    },
    hang: untilCancelled,
    stubborn: () =>
      new Promise<void>((resolve) => {
        stubborn.push(resolve);
      }),
    metadata() {
      reflect();
      return "unary";
    },
    async gather(items: AsyncIterable<unknown>) {
      let count = 0;
      for await (const _ of items) count++;
      return count;
    },
    async sum(parts: AsyncIterable<Uint8Array>) {
      let sum = 0;
      for await (const part of parts) sum += part.length;
      return sum;
    },
    first: async (_items: AsyncIterable<unknown>) => "enough",
    async *items(count: number) {
      for (let i = 0; i < count; i++) yield i;
    },
    async *sizes(sizes: number[]) {
      for (const size of sizes) yield new Uint8Array(size);
    },
    async *answers(sizes: AsyncIterable<number>) {
      for await (const size of sizes) yield new Uint8Array(size);
    },
    async *failing(count: number, code: Code, message: string) {
      for (let i = 0; i < count; i++) yield i;
      throw new RapError(code, message);
    },
    async *hangAfter(count: number) {
      for (let i = 0; i < count; i++) yield i;
      await untilCancelled();
    },
    async *metadataStream() {
      reflect();
      yield "stream";
    },
  });
  server.registerChannel(async function talk(channel: Channel<unknown, unknown>) {
    for await (const message of channel) await channel.write(message);
  });
  server.registerChannel(async function chat() {
    const { signal } = context();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  });
  return () => {
    for (const finish of stubborn.splice(0)) finish();
  };
}

function untilCancelled(): Promise<never> {
  const { signal } = context();
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** Sends the caller's metadata back, before the reply and after it. */
function reflect(): void {
  const { metadata, responseHeaders, responseTrailers } = context();
  for (const [key, value] of metadata) {
    responseHeaders.append(key, value);
    responseTrailers.append(key, value);
  }
}
