import { memory, type Socket, type SocketHandler, type Transport } from "@rap/transport";
import { newClient, newServer, SESSIONS } from "./session";

/** The bytes of a session, as they went each way. */
export interface Recording {
  readonly name: string;
  /** From the client to the server. */
  readonly up: Uint8Array;
  readonly down: Uint8Array;
  /** So many of the bytes from the server make the handshake; the others answer calls. */
  readonly greeting: number;
}

/** Lets every session take place once, and writes down what was said. */
export async function record(): Promise<Recording[]> {
  const recordings: Recording[] = [];
  for (const session of SESSIONS) {
    const world = memory();
    const up: Uint8Array[] = [];
    const down: Uint8Array[] = [];
    const server = newServer(session);
    await server.listen({ transport: world, address: "memory://recorded" });
    const transports = [listening(world, up, down)];
    const client = await newClient(session, { target: "memory://recorded", transports }).start();
    const greeting = Buffer.concat(down).length;
    await Promise.allSettled(session.talk(client));
    await client.stop();
    await server.shutdown();
    recordings.push({ name: session.name, up: Buffer.concat(up), down: Buffer.concat(down), greeting });
  }
  return recordings;
}

/** A transport that writes down what passes over it. */
function listening(world: Transport, up: Uint8Array[], down: Uint8Array[]): Transport {
  return {
    scheme: world.scheme,
    listen: (address, onSocket) => world.listen(address, onSocket),
    dial: async (address, signal) => tapped(await world.dial(address, signal), up, down),
  };
}

function tapped(socket: Socket, up: Uint8Array[], down: Uint8Array[]): Socket {
  const start = socket.start.bind(socket);
  const write = socket.write.bind(socket);
  return Object.assign(socket, {
    start: (handler: SocketHandler) =>
      start({
        onData: (bytes) => {
          down.push(new Uint8Array(bytes));
          handler.onData(bytes);
        },
        onDrain: () => handler.onDrain(),
        onClose: (error) => handler.onClose(error),
      }),
    write: (bytes: Uint8Array, more?: boolean) => {
      up.push(new Uint8Array(bytes));
      return write(bytes, more);
    },
  });
}
