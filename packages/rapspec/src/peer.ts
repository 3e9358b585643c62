import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientOptions } from "@rap/client";
import { defaultLogger } from "@rap/core";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "@rap/plugin-crypto";
import { type Limits, limits } from "@rap/protocol";
import { type ListenOptions, Server, type ServerOptions } from "@rap/server";
import { memory } from "@rap/transport";
import { registerFunctions } from "./functions";
import type { Answer, Instruction, Stats } from "./instruction";
import { described, PeerCall } from "./peer-call";

/** A server or a client that the suite asked for. */
interface Part {
  stats(): Stats;
  stop(): Promise<void>;
  release?(): void;
  readonly client?: Client;
}

type Told = Instruction & { id: number };

/** Our own implementation as the suite drives it: `@rap/server` and `@rap/client` behind lines of JSON. */
export class Peer {
  readonly #write: (line: string) => void;
  readonly #parts = new Map<number, Part>();
  readonly #calls = new Map<number, PeerCall>();
  readonly #memory = memory();

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Takes one line of the suite. */
  receive(line: string): void {
    const told = JSON.parse(line) as Told;
    this.#follow(told).catch((error: unknown) => {
      this.#answer({ id: told.id, error: described(error) });
    });
  }

  /** Stops whatever is left. */
  async close(): Promise<void> {
    await Promise.all([...this.#parts.values()].map((part) => part.stop()));
    this.#parts.clear();
  }

  #answer(answer: Answer): void {
    this.#write(JSON.stringify(answer));
  }

  async #follow(told: Told): Promise<void> {
    const { id } = told;
    if (told.op === "call") return this.#call(told);
    this.#answer({ id, ...(await this.#do(told)) });
  }

  async #do(told: Exclude<Told, { op: "call" }>): Promise<Omit<Answer, "id">> {
    switch (told.op) {
      case "serve":
        return this.#serve(told);
      case "connect":
        return this.#connect(told);
      case "stats":
        return this.#part(told.of).stats();
      case "stop": {
        const part = this.#part(told.of);
        await part.stop();
        this.#parts.delete(told.of);
        return part.stats();
      }
      case "release":
        this.#part(told.of).release?.();
        return {};
      default:
        await this.#calls.get(told.of)?.told(told);
        return {};
    }
  }

  #part(id: number): Part {
    const part = this.#parts.get(id);
    if (part === undefined) throw new TypeError(`there is neither a server nor a client ${id}`);
    return part;
  }

  async #serve(told: Told & { op: "serve" }): Promise<Omit<Answer, "id">> {
    const { id, link = "tcp", tls = {}, key } = told;
    const changes = known(told.limits);
    if (typeof changes === "string") return { unsupported: changes };
    const secure = /tls/.test(link);
    const options: ServerOptions = {
      logger: defaultLogger({ level: "silent" }),
      limits: changes,
      ...(secure && { tls: { ...tls, requestCert: link === "mutual tls" } }),
    };
    const server = new Server(options);
    const release = registerFunctions(server);
    if (key !== undefined) server.loadProcessor([new ServerCryptoProcessor({ id: key })]);
    const folder = link === "unix" ? mkdtempSync(join(tmpdir(), "rap-")) : undefined;
    const where: ListenOptions =
      folder !== undefined
        ? { path: join(folder, "socket") }
        : link === "memory"
          ? { transport: this.#memory, address: `memory://${id}` }
          : { port: 0 };
    await server.listen(where);
    this.#parts.set(id, {
      stats: () => {
        const { connections, inFlight, timers } = server.stats();
        // Each connection has one watch of its own.
        return { connections, inFlight, left: timers - connections, bytes: bytes() };
      },
      release,
      async stop() {
        release();
        await server.shutdown({ graceMs: 0 });
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    });
    return { address: server.address! };
  }

  async #connect(told: Told & { op: "connect" }): Promise<Omit<Answer, "id">> {
    const { id, link = "tcp", address, tls, key } = told;
    const changes = known(told.limits);
    if (typeof changes === "string") return { unsupported: changes };
    const options: ClientOptions = {
      target: address,
      limits: changes,
      transports: [this.#memory],
      ...(/tls/.test(link) && tls !== undefined && { tls }),
    };
    const client = new Client(options);
    if (key !== undefined) client.loadProcessor([new ClientCryptoProcessor("id", key)]);
    const stats = () => {
      const { connections, inFlight, timers, waiting } = client.stats();
      return { connections, inFlight, left: timers - connections + waiting, bytes: bytes() };
    };
    try {
      await client.start();
    } catch (error) {
      return { error: described(error), ...stats() };
    }
    this.#parts.set(id, { client, stats, stop: () => client.stop({ graceMs: 0 }) });
    return {};
  }

  async #call(told: Told & { op: "call" }): Promise<void> {
    const { client } = this.#part(told.of);
    if (client === undefined) throw new TypeError(`${told.of} is not a client`);
    const call = new PeerCall(client, told, (answer) => this.#answer({ id: told.id, ...answer }));
    this.#calls.set(told.id, call);
    await call.run();
    this.#calls.delete(told.id);
  }
}

/** Limits of ours by the names of the suite, or why they are none. */
function known(changes: Partial<Limits> = {}): Partial<Limits> | string {
  try {
    limits(changes);
    return changes;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Bytes that the process holds. */
function bytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
