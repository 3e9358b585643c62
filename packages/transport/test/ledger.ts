import { decodeFrame, type Frame, FrameReader, Shape } from "@rap/protocol";
import type { Peer, Socket, SocketHandler } from "../src/transport";

type Side = "client" | "server";

/** What one side may still send: as docs/protocol.md counts it, apart from how the connections do. */
interface Account {
  bytes: number;
  messages: number;
}

/**
 * Reads along at a socket and keeps the books on credit: throws the moment that a side sends what it was not granted.
 */
export class Ledger implements Socket {
  readonly #socket: Socket;
  readonly #readers: Record<Side, FrameReader>;
  /** By the side that sends. */
  readonly connection: Record<Side, number> = { client: 0, server: 0 };
  readonly streams = new Map<number, Record<Side, Account | undefined>>();
  readonly #windows: Record<Side, Account> = {
    client: { bytes: 0, messages: 0 },
    server: { bytes: 0, messages: 0 },
  };
  /** Streams whose arguments are not whole: they cost nothing. */
  readonly #arguments = new Set<number>();
  /** The worst that was seen: bytes of credit left on a connection and on a stream. */
  least = { connection: Infinity, stream: Infinity };
  faults: string[] = [];

  /** `socket` is the client's. */
  constructor(socket: Socket) {
    this.#socket = socket;
    const reader = (side: Side) =>
      new FrameReader(
        {
          frame: (kind, flags, id, bytes, start, end) =>
            this.#enter(side, decodeFrame(kind, flags, id, bytes, start, end)),
        },
        1 << 30,
      );
    this.#readers = { client: reader("client"), server: reader("server") };
  }

  get peer(): Peer {
    return this.#socket.peer;
  }

  get openedAt(): number {
    return this.#socket.openedAt;
  }

  get buffered(): number {
    return this.#socket.buffered;
  }

  start(handler: SocketHandler): void {
    this.#socket.start({
      onData: (bytes) => {
        this.#readers.server.push(bytes);
        handler.onData(bytes);
      },
      onDrain: () => handler.onDrain(),
      onClose: (error) => handler.onClose(error),
    });
  }

  write(bytes: Uint8Array): boolean {
    this.#readers.client.push(bytes);
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  #enter(side: Side, frame: Frame | undefined): void {
    const other = side === "client" ? "server" : "client";
    switch (frame?.kind) {
      case "hello":
        this.connection[other] = frame.hello.connectionWindowBytes;
        this.#windows[other] = { bytes: frame.hello.streamWindowBytes, messages: frame.hello.streamWindowMessages };
        return;
      case "open": {
        const { id, shape } = frame;
        const up = shape >= Shape.CLIENT_STREAM ? { ...this.#windows.client } : undefined;
        const down = shape !== Shape.UNARY && shape !== Shape.CLIENT_STREAM ? { ...this.#windows.server } : undefined;
        this.streams.set(id, { client: up, server: down });
        if (frame.more) this.#arguments.add(id);
        return;
      }
      case "data":
        return this.#pay(side, frame.id, frame.body.length, frame.more === true);
      case "credit":
        return this.#grant(other, frame.id, frame.bytes, frame.messages);
      default:
    }
  }

  #pay(side: Side, id: number, size: number, more: boolean): void {
    if (side === "client" && this.#arguments.has(id)) {
      if (!more) this.#arguments.delete(id);
      return;
    }
    const account = this.streams.get(id)?.[side];
    if (account === undefined) return;
    const cost = more ? size : Math.max(256, size);
    if (more && size < 256) this.faults.push(`${side} sent a part of ${size} bytes on ${id}`);
    account.bytes -= cost;
    if (!more) account.messages--;
    this.connection[side] -= cost;
    this.least.connection = Math.min(this.least.connection, this.connection[side]);
    this.least.stream = Math.min(this.least.stream, account.bytes);
    if (account.bytes < 0 || account.messages < 0) this.faults.push(`${side} had no credit on stream ${id}`);
    if (this.connection[side] < 0) this.faults.push(`${side} had no credit on the connection`);
  }

  #grant(side: Side, id: number, bytes: number, messages: number): void {
    if (id === 0) {
      this.connection[side] += bytes;
      if (this.connection[side] > this.#limit(side)) this.faults.push(`${side} was granted more than the window`);
      return;
    }
    const account = this.streams.get(id)?.[side];
    if (account === undefined) return;
    account.bytes += bytes;
    account.messages += messages;
    const { bytes: most, messages: mostMessages } = this.#windows[side];
    if (account.bytes > most || account.messages > mostMessages) {
      this.faults.push(`${side} was granted more than the window of stream ${id}`);
    }
  }

  readonly #largest: Record<Side, number> = { client: 0, server: 0 };
  #limit(side: Side): number {
    this.#largest[side] ||= this.#initial[side];
    return this.#largest[side];
  }

  readonly #initial: Record<Side, number> = { client: 0, server: 0 };
  /** The windows that the two sides told each other at first. */
  begin(): void {
    this.#initial.client = this.connection.client;
    this.#initial.server = this.connection.server;
  }
}
