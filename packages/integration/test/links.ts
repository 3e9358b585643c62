import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientOptions, type Processor } from "@rap/client";
import { defaultLogger } from "@rap/core";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "@rap/plugin-crypto";
import { Server, type ServerOptions } from "@rap/server";
import { memory } from "@rap/transport";
import { type Certificates, certificates } from "../../transport/test/certificates";

/** A way from a client to a server. */
export interface Link {
  readonly name: string;
  /** Starts both; `register` fills the server before it listens. */
  open(register: (server: Server) => unknown, options?: PairOptions): Promise<Pair>;
}

export interface PairOptions {
  server?: ServerOptions;
  client?: ClientOptions;
}

/** A server and a client that is connected to it. */
export interface Pair extends AsyncDisposable {
  readonly server: Server;
  readonly client: Client;
  readonly address: string;
}

let issued: Promise<Certificates> | undefined;

/** The certificates of this test run; made once. */
export function identities(): Promise<Certificates> {
  issued ??= certificates();
  return issued;
}

/** Every transport of ours, and what may be on top of one. */
export const LINKS: readonly Link[] = [
  {
    name: "TCP",
    open: async (register, options) => {
      const server = newServer(register, options?.server);
      await server.listen({ port: 0 });
      return pair(server, { target: server.address!, ...options?.client });
    },
  },
  {
    name: "TLS",
    open: async (register, options) => {
      const { ca, server: identity } = await identities();
      const server = newServer(register, { tls: identity, ...options?.server });
      await server.listen({ port: 0 });
      return pair(server, { target: server.address!, tls: { ca }, ...options?.client });
    },
  },
  {
    name: "a Unix socket",
    open: async (register, options) => {
      const folder = mkdtempSync(join(tmpdir(), "rap-"));
      const server = newServer(register, options?.server);
      await server.listen({ path: join(folder, "socket") });
      const done = () => rmSync(folder, { recursive: true });
      return pair(server, { target: server.address!, ...options?.client }, done);
    },
  },
  {
    name: "memory",
    open: async (register, options) => {
      const server = newServer(register, options?.server);
      const transport = memory();
      await server.listen({ transport, address: "memory://here" });
      return pair(server, { target: server.address!, transports: [transport], ...options?.client });
    },
  },
  {
    name: "TCP, encrypted with a shared key",
    open: async (register, options) => {
      const server = newServer(register, options?.server).loadProcessor([new ServerCryptoProcessor({ id: KEY })]);
      await server.listen({ port: 0 });
      const processor = new ClientCryptoProcessor("id", KEY);
      return pair(server, { target: server.address!, ...options?.client }, undefined, processor);
    },
  },
];

const KEY = "0123456789abcdef";

/** Resolves once `condition` holds; the test's own timeout bounds the wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Resolves once neither side has a call, a stream or a deadline any more: only one watch per connection is left. */
export function untilQuiet({ server, client }: { server: Server; client: Client }): Promise<void> {
  return until(() => {
    const [there, here] = [server.stats(), client.stats()];
    const wires = server.connections().map((each) => (each as unknown as { wire: { streams: number } }).wire);
    return (
      there.inFlight === 0 &&
      here.inFlight === 0 &&
      here.waiting === 0 &&
      wires.every(({ streams }) => streams === 0) &&
      there.timers === there.connections &&
      here.timers === here.connections
    );
  });
}

function newServer(register: (server: Server) => unknown, options: ServerOptions | undefined): Server {
  const server = new Server({ logger: SILENT, ...options });
  register(server);
  return server;
}

async function pair(
  server: Server,
  options: ClientOptions,
  done?: () => void,
  ...processors: Processor[]
): Promise<Pair> {
  const client = await new Client(options).loadProcessor(processors).start();
  return {
    server,
    client,
    address: server.address!,
    async [Symbol.asyncDispose]() {
      await client.stop({ graceMs: 0 });
      await server.shutdown({ graceMs: 0 });
      done?.();
    },
  };
}

/** For tests whose handlers fail on purpose. */
export const SILENT = defaultLogger({ level: "silent" });
