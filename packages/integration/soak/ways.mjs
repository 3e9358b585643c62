import { setImmediate as turn } from "node:timers/promises";
import { context, Server } from "@rap/server";

/** Generators that have begun and not come to their `finally`, on both sides. */
export const open = { generators: 0 };
async function* numbers(count) {
  open.generators++;
  try {
    for (let i = 0; i < count; i++) yield i;
  } finally {
    open.generators--;
  }
}

export const server = new Server({ limits: { generatorReturnTimeout: 60_000 } });
server.register({
  add: (a, b) => a + b,
  same: (value) => value,
  numbers,
  async sum(items) {
    let sum = 0;
    for await (const item of items) sum += item;
    return sum;
  },
  async first(items) {
    for await (const item of items) return item;
    return undefined;
  },
  async *doubled(items) {
    for await (const item of items) yield 2 * item;
  },
  async *failing(count) {
    yield* numbers(count);
    throw new TypeError("on purpose");
  },
  hang: () => new Promise((resolve) => context().signal.addEventListener("abort", resolve, { once: true })),
});
server.registerChannel(async function echo(channel) {
  for await (const message of channel) await channel.write(message);
});
server.registerChannel(async function brief(channel) {
  await channel.write("bye");
});
server.logger.error = () => {};

/** One signal for many calls, none of which may leave a listener on it. */
export const forever = new AbortController();

async function read(stream, most = Infinity) {
  let seen = 0;
  for await (const _ of stream) if (++seen >= most) break;
}

/** All ways for a stream to come to its end: for a client of the server, and with dice to throw. */
export function waysToEnd(client, upTo) {
  const remote = client.service("default", { numbers: "stream", doubled: "stream", failing: "stream" });
  const echo = client.registerChannel("echo");
  const brief = client.registerChannel("brief");
  return {
    "read to its end": () => read(remote.numbers.with({ signal: forever.signal })(upTo(20))),
    "left by its reader": () => read(remote.numbers(1_000), 1 + upTo(5)),
    "left before its first item": () => read(remote.numbers(1_000), 1),
    "left after its end": async () => {
      const stream = remote.numbers(5);
      await stream.next();
      for (let i = 0; i < 3; i++) await turn();
      await stream.return();
    },
    "never read": async () => void (await remote.numbers(5).next()),
    cancelled: () => {
      const caller = new AbortController();
      const reading = read(remote.numbers.with({ signal: caller.signal })(100_000));
      setImmediate(() => caller.abort());
      return reading;
    },
    "cancelled before its start": () => read(remote.numbers.with({ signal: AbortSignal.abort() })(10)),
    "over its time": () => read(remote.numbers.with({ timeout: 1 + upTo(5) })(100_000)),
    failed: () => read(remote.failing(upTo(5))),
    "a plain call over its time": () => remote.hang.with({ timeout: 1 + upTo(5) })(),
    "a plain call cancelled": () => {
      const caller = new AbortController();
      const hanging = remote.hang.with({ signal: caller.signal })();
      setImmediate(() => caller.abort());
      return hanging;
    },
    "streamed up": () => remote.sum.with({ signal: forever.signal })(numbers(upTo(20))),
    "streamed up and not read": () => remote.first(numbers(1_000)),
    "streamed up and cancelled": () => remote.sum.with({ timeout: 1 + upTo(5) })(numbers(1_000_000)),
    "streamed both ways": () => read(remote.doubled(numbers(upTo(20)))),
    "streamed both ways and left": () => read(remote.doubled(numbers(1_000)), 1 + upTo(5)),
    "a channel closed by its caller": () =>
      echo(async (channel) => {
        for (let i = 0; i < upTo(5); i++) {
          await channel.write(i);
          await channel.read();
        }
      }),
    "a channel closed by its function": () => brief((channel) => channel.read()),
    "a channel aborted": () =>
      echo(async (channel) => {
        await channel.write(1);
        throw new Error("on purpose");
      }),
  };
}
