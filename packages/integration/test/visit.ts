import { Client } from "@rap/client";
import type { Server } from "@rap/server";
import { memory } from "@rap/transport";

let visits = 0;

/**
 * A connected client that comes from an address, as far as the server sees; without one from this machine. Once it is
 * shown out it does not come back within a test.
 */
export async function visit(server: Server, address?: string): Promise<Client> {
  const transport = memory(address === undefined ? {} : { peer: { address, port: 40_000, local: false } });
  const target = `memory://visit-${++visits}`;
  await server.listen({ transport, address: target });
  const client = new Client({ target, transports: [transport], reconnect: { initial: 1e9, max: 1e9 } });
  await client.start();
  return client;
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
