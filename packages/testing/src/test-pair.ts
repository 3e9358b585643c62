import { Client, type ClientOptions } from "@rap/client";
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

const ADDRESS = "memory://test-pair";

/**
 * Connects a client to a server in memory: the same frames, the same limits, no port. `latency`, `chunk` and `cut`
 * make the link as bad as a test needs it.
 */
export async function createTestPair(server: Server, options: TestPairOptions = {}): Promise<TestPair> {
  const { client: clientOptions, ...link } = options;
  const transport = memory(link);
  await server.listen({ transport, address: ADDRESS });
  const client = new Client({ ...clientOptions, target: ADDRESS, transports: [transport] });
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
