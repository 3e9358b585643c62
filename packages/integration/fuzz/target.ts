import { RapError } from "@rap/client";
import type { Logger } from "@rap/core";
import { type MemoryTransport, memory, type Socket } from "@rap/transport";
import type { Chance } from "../simulation/chance";
import { newClient, newServer, type Session } from "./session";

/** One side of rap that is sent bytes, the first `greeting` of them at once: what it then does wrong, if anything. */
export type Attack = (bytes: Uint8Array, greeting: number, chance: Chance) => Promise<string | undefined>;

export interface Target {
  readonly attack: Attack;
  stop(): Promise<void>;
}

const ADDRESS = "memory://fuzzed";
/** Turns of the event loop in which anything in memory is over. */
const TURNS = 200;
/** A fault of ours, as opposed to one that is found in the peer. */
const FAULT = /a fault of rap|\(INTERNAL\)|TypeError|ReferenceError|RangeError/;

/** A server that a client sends these bytes; `stop` it at the end. */
export async function serverTarget(session: Session): Promise<Target> {
  const faults: string[] = [];
  const look = (_: object, text = "") => {
    if (FAULT.test(text)) faults.push(text);
  };
  const logger: Logger = { debug: look, info: () => {}, warn: () => {}, error: () => {} };
  const server = newServer(session, { logger });
  const world = memory();
  await server.listen({ transport: world, address: ADDRESS });
  const attack: Attack = async (bytes, _, chance) => {
    const socket = await world.dial(ADDRESS);
    socket.start({ onData: () => {}, onDrain: () => {}, onClose: () => {} });
    await send(socket, bytes, chance);
    socket.destroy();
    const quiet = () =>
      server.stats().connections === 0 && server.stats().inFlight === 0 && server.stats().timers === 0;
    if (!(await until(quiet))) return `the server has still ${JSON.stringify(server.stats())}`;
    return faults.pop();
  };
  return { attack, stop: () => server.shutdown({ graceMs: 0 }) };
}

/** A client that a server answers with these bytes. */
export function clientTarget(session: Session): Target {
  const attack: Attack = async (bytes, greeting, chance) => {
    const world = memory();
    let lying: Promise<void> | undefined;
    await world.listen(ADDRESS, (socket) => {
      lying ??= lie(world, socket, bytes, greeting, chance);
    });
    const reconnect = { initial: 60_000, max: 60_000 };
    const client = newClient(session, { target: ADDRESS, transports: [world], reconnect, timeout: 60_000 });
    const started = client.start().then(
      () => session.talk(client),
      (error: unknown) => [Promise.reject(error as Error)],
    );
    const settled = started.then((calls) => Promise.allSettled(calls));
    let results: PromiseSettledResult<unknown>[] | undefined;
    void settled.then((list) => {
      results = list;
    });
    await until(() => lying !== undefined);
    await lying;
    await client.stop({ graceMs: 0 });
    if (!(await until(() => results !== undefined))) return "a call of the client does not settle";
    const stats = client.stats();
    if (stats.connections + stats.inFlight + stats.waiting + stats.timers > 0) {
      return `the client has still ${JSON.stringify(stats)}`;
    }
    for (const result of results!) {
      if (result.status === "fulfilled") continue;
      const { reason } = result;
      if (!RapError.is(reason) || FAULT.test(reason.message)) return `a call failed with ${String(reason)}`;
    }
    return undefined;
  };
  return { attack, stop: async () => {} };
}

async function lie(
  world: MemoryTransport,
  socket: Socket,
  bytes: Uint8Array,
  greeting: number,
  chance: Chance,
): Promise<void> {
  socket.start({ onData: () => {}, onDrain: () => {}, onClose: () => {} });
  socket.write(bytes.subarray(0, greeting));
  // The client makes its calls, which the rest answers.
  for (let turn = 0; turn < 10; turn++) await nextTurn();
  await send(socket, bytes.subarray(greeting), chance);
  world.cut();
}

/** Writes in a few pieces, with turns of the event loop between them. */
async function send(socket: Socket, bytes: Uint8Array, chance: Chance): Promise<void> {
  let rest = bytes;
  for (let pieces = chance.integer(1, 3); pieces > 0; pieces--) {
    const size = pieces === 1 ? rest.length : chance.integer(0, rest.length);
    socket.write(rest.subarray(0, size));
    rest = rest.subarray(size);
    for (let turn = 0; turn < 3; turn++) await nextTurn();
  }
  for (let turn = 0; turn < 3; turn++) await nextTurn();
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < TURNS && !condition(); turn++) await nextTurn();
  return condition();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
