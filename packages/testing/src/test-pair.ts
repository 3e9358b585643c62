import { Client, type ClientOptions } from "@rap/client";
import { checkOptions, must, type OptionNames, withMethods } from "@rap/core";
import type { Server } from "@rap/server";
import { type MemoryOptions, memory } from "@rap/transport";

export interface TestPairOptions extends MemoryOptions {
  /** Options of the client of the pair. */
  client?: Omit<ClientOptions, "target" | "transports">;
}

/** A server and a client that is connected to it, without a network. Disposing it stops both. */
export interface TestPair extends AsyncDisposable {
  readonly client: Client;
  readonly server: Server;
  /** Cuts the link as a network would; the client connects again by itself. */
  cut(): void;
}

/** Infinity is as good as none. */
const bytes = must("a positive number of bytes", (value) => typeof value === "number" && value > 0);

const isServer = withMethods("a server", "listen", "shutdown");

const OPTIONS: OptionNames<TestPairOptions> = {
  client: "object",
  highWaterMark: bytes,
  latency: "wait",
  chunk: bytes,
  closeTimeout: "wait",
  peer: "object",
  turn: "function",
  clock: "clock",
};

const ADDRESS = "memory://test-pair";

/**
 * Connects a client to a server in memory: the same frames, the same limits, no port. `latency`, `chunk` and `cut`
 * make the link as bad as a test needs it. Rejects with a TypeError for what is no server, or no option.
 */
export async function createTestPair(server: Server, options: TestPairOptions = {}): Promise<TestPair> {
  isServer(server, "the first argument of createTestPair()");
  checkOptions("createTestPair()", options, OPTIONS);
  const { client: clientOptions, ...link } = options;
  const transport = memory(link);
  const client = new Client({ ...clientOptions, target: ADDRESS, transports: [transport] });
  await server.listen({ transport, address: ADDRESS });
  try {
    await client.start();
  } catch (error) {
    await server.shutdown({ graceMs: 0 });
    throw error;
  }
  return {
    client,
    server,
    cut: () => transport.cut(),
    async [Symbol.asyncDispose]() {
      await client.stop();
      await server.shutdown();
    },
  };
}
