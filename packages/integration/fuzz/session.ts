import { Client, type ClientOptions, type Processor } from "@rap/client";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "@rap/plugin-crypto";
import { type Channel, context, Server, type ServerOptions } from "@rap/server";

/** What a session is recorded of, and then tried with altered bytes: a few calls, and a server that answers them. */
export interface Session {
  readonly name: string;
  readonly serverProcessors: () => Processor[];
  readonly clientProcessors: () => Processor[];
  /** The calls. Each settles, in whatever way, once the connection is gone. */
  talk(client: Client): Promise<unknown>[];
}

const KEY = "0123456789abcdef";
const none = () => [];

export const SESSIONS: readonly Session[] = [
  { name: "plain", serverProcessors: none, clientProcessors: none, talk: plainCalls },
  { name: "stream", serverProcessors: none, clientProcessors: none, talk: streams },
  { name: "channel", serverProcessors: none, clientProcessors: none, talk: channels },
  {
    name: "crypto",
    serverProcessors: () => [new ServerCryptoProcessor({ id: KEY })],
    clientProcessors: () => [new ClientCryptoProcessor("id", KEY)],
    talk: (client) => [...plainCalls(client), ...streams(client)],
  },
];

export function newServer(session: Session, options: ServerOptions = {}): Server {
  const server = new Server({ drainTimeout: 100, ...options });
  server.register({ echo, count, sum }).registerChannel(shout).loadProcessor(session.serverProcessors());
  return server;
}

export function newClient(session: Session, options: ClientOptions): Client {
  return new Client(options).loadProcessor(session.clientProcessors());
}

function plainCalls(client: Client): Promise<unknown>[] {
  const value = { text: "ünï", list: [1, -1, 2 ** 40, 1.5, null], bytes: Uint8Array.of(1, 2, 3) };
  return [
    client.invokeByName("echo", [value], { metadata: { tenant: "seven", "trace-bin": Uint8Array.of(9) } }),
    client.invokeByName("echo", ["x".repeat(400)], { timeout: 5_000 }),
    client.invokeByName("unknown", []),
  ];
}

function streams(client: Client): Promise<unknown>[] {
  const total = client.register<typeof sum>("sum");
  return [all(client.registerGen<typeof count>("count")(5)), total([1, 2, 3].values() as never)];
}

function channels(client: Client): Promise<unknown>[] {
  const talk = client.registerChannel<typeof shout>("shout");
  return [
    talk(async (channel) => {
      for (const text of ["a", "b", "c"]) {
        await channel.write(text);
        await channel.readBody();
      }
    }),
  ];
}

function echo(value: unknown): unknown {
  context().responseTrailers.set("seen", "yes");
  return value;
}

async function* count(most: number): AsyncGenerator<number> {
  for (let n = 0; n < Math.min(most, 100); n++) yield n;
}

async function sum(numbers: AsyncIterable<number>): Promise<number> {
  let total = 0;
  for await (const n of numbers) total += Number(n);
  return total;
}

async function shout(channel: Channel<string, string>): Promise<void> {
  for await (const text of channel) await channel.write(String(text).toUpperCase());
}

async function all(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const item of items) list.push(item);
  return list;
}
