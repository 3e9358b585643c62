import { afterEach } from "@jest/globals";
import { Client, type ClientOptions } from "@rap/client";
import { Server, type ServerOptions } from "@rap/server";
import { SILENT } from "./links";

/** What a test has opened ends with it, the last first. */
export const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A server on a port of this machine, until the test is over. */
export async function serve(register: (server: Server) => unknown, options: ServerOptions = {}): Promise<Server> {
  const server = new Server({ logger: SILENT, ...options });
  register(server);
  await server.listen({ port: 0 });
  ends.push(() => server.shutdown({ graceMs: 0 }));
  return server;
}

/** A client that has started, until the test is over. */
export async function dial(target: string | string[], options: ClientOptions = {}): Promise<Client> {
  const client = await new Client({ target, ...options }).start();
  ends.push(() => client.stop({ graceMs: 0 }));
  return client;
}
