import {
  decodeFrame,
  encodeFrame,
  type Frame,
  FrameReader,
  type Hello,
  LIMITS,
  type Limits,
  limits,
  type Metadata,
  msgpack,
  type OpenHead,
  PREAMBLE,
  type RapError,
  type SecureLayer,
  Shape,
} from "@rap/protocol";
import { ManualClock } from "@rap/testing";
import { Connection } from "../src/connection";
import type { ConnectionHost, ConnectionOptions } from "../src/connection-host";
import { type MemoryTransport, memory } from "../src/memory";
import { SealedSocket } from "../src/sealed-socket";
import type { Stream, StreamSink } from "../src/stream";
import type { Socket } from "../src/transport";
import { TimerWheel } from "../src/wheel";

const ADDRESS = "memory://link";

/** A world in which a test moves time and turns of the event loop, with what connections in it need. */
export class World {
  readonly clock = new ManualClock();
  readonly wheel = new TimerWheel(this.clock);
  readonly transport: MemoryTransport;
  #turns: (() => void)[] = [];

  constructor(link: { highWaterMark?: number; chunk?: number } = {}) {
    this.transport = memory({ ...link, clock: this.clock, turn: (callback) => void this.#turns.push(callback) });
  }

  /** Lets happen what is on its way, until nothing is. Writes leave at the end of a turn, hence the real ones. */
  async settle(): Promise<void> {
    do {
      for (const callback of this.#turns.splice(0)) callback();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#turns.length > 0);
  }

  /** Moves time, in steps so that what is sent on the way arrives on the way. */
  async pass(ms: number, step = 100): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(Math.min(step, left));
      await this.settle();
    }
  }

  /** The two ends of a new socket: who dialled and who accepted. */
  async sockets(): Promise<[Socket, Socket]> {
    let accepted: Socket | undefined;
    const listening = this.transport.listen(ADDRESS, (socket) => (accepted = socket));
    const listener = await listening;
    const dialling = this.transport.dial(ADDRESS);
    await this.settle();
    const dialled = await dialling;
    await listener.close();
    return [dialled, accepted!];
  }

  connection(socket: Socket, role: "client" | "server", host: ConnectionHost, options: Changes = {}): Connection {
    const { limits: changes, ...rest } = options;
    return new Connection(socket, {
      role,
      host,
      wheel: this.wheel,
      limits: limits(changes),
      codecs: [msgpack()],
      info: `test ${role}`,
      ...rest,
    });
  }

  /** Two connections that have met. */
  async link(client: Changes = {}, server: Changes = client): Promise<Link> {
    const [dialled, accepted] = await this.sockets();
    const clientHost = new RecordingHost();
    const serverHost = new RecordingHost();
    const link = {
      clientHost,
      serverHost,
      server: this.connection(accepted, "server", serverHost, server),
      client: this.connection(dialled, "client", clientHost, client),
    };
    await this.settle();
    return link;
  }

  /** A connection and, at the other end, a peer that sends whatever the test wants, or that in records. */
  async raw(role: "client" | "server", options: Changes = {}, layer?: SecureLayer): Promise<RawLink> {
    const [dialled, accepted] = await this.sockets();
    const host = new RecordingHost();
    const far = role === "client" ? accepted : dialled;
    const other = role === "client" ? "server" : "client";
    const peer = new RawPeer(layer === undefined ? far : new SealedSocket(far, layer, other, 1_000));
    const connection = this.connection(role === "client" ? dialled : accepted, role, host, options);
    await this.settle();
    return { connection, host, peer };
  }

  /** The same after the handshake; `hello` is what the peer says of itself. */
  async rawReady(role: "client" | "server", options: Changes = {}, hello: Partial<Hello> = {}): Promise<RawLink> {
    const link = await this.raw(role, options, options.secure);
    link.peer.write(PREAMBLE);
    link.peer.send({ kind: "hello", hello: helloOf(hello) });
    await this.settle();
    link.peer.frames.length = 0;
    return link;
  }
}

export type Changes = Partial<Omit<ConnectionOptions, "limits" | "host" | "role" | "wheel">> & {
  limits?: Partial<Limits>;
};

export interface Link {
  client: Connection;
  server: Connection;
  clientHost: RecordingHost;
  serverHost: RecordingHost;
}

export interface RawLink {
  connection: Connection;
  host: RecordingHost;
  peer: RawPeer;
}

/** What a peer with the default limits says of itself. */
export function helloOf(changes: Partial<Hello> = {}): Hello {
  return {
    ...LIMITS,
    minor: 0,
    codecs: ["msgpack"],
    info: "raw peer",
    metadata: undefined,
    extensions: new Map(),
    ...changes,
  };
}

/** Notes what a connection tells its host, and takes every call. */
export class RecordingHost implements ConnectionHost {
  readonly events: string[] = [];
  /** How the connection ended. */
  error: RapError | undefined;
  /** Sinks of the streams that the peer opened, in order. */
  readonly sinks: RecordingSink[] = [];
  readonly targets: string[] = [];
  rooms = 0;
  /** Set to refuse calls. */
  refusal: RapError | undefined;
  /** Whether sinks take messages as they come. */
  reading = true;

  onReady(): void {
    this.events.push("ready");
  }

  onOpen(stream: Stream, head: OpenHead, bytes: Uint8Array): StreamSink {
    this.targets.push(Buffer.from(bytes.subarray(head.targetStart, head.targetEnd)).toString());
    if (this.refusal !== undefined) throw this.refusal;
    const sink = new RecordingSink(this.reading);
    sink.stream = stream;
    this.sinks.push(sink);
    return sink;
  }

  onGoaway(_connection: Connection, reason: string): void {
    this.events.push(`goaway: ${reason}`);
  }

  onPaused(limit: string): void {
    this.events.push(`paused ${limit}`);
  }

  onRoom(): void {
    this.rooms++;
  }

  onClose(_connection: Connection, error: RapError | undefined): void {
    this.events.push(error === undefined ? "close" : `close: ${error.message}`);
    this.error = error;
  }
}

/** Notes what happens on a stream. */
export class RecordingSink implements StreamSink {
  stream!: Stream;
  readonly events: string[] = [];
  readonly messages: Buffer[] = [];
  readonly metadata: (Metadata | undefined)[] = [];
  readonly costs: number[] = [];
  trailers: Metadata | undefined;
  error: RapError | undefined;
  writable = 0;

  constructor(readonly reading = true) {}

  onMessage(
    bytes: Uint8Array,
    start: number,
    end: number,
    _owned: boolean,
    metadata: Metadata | undefined,
    cost: number,
  ): void {
    this.events.push(`message of ${end - start}`);
    this.messages.push(Buffer.from(bytes.slice(start, end)));
    this.metadata.push(metadata);
    if (this.reading) this.stream.consumed(cost);
    else this.costs.push(cost);
  }

  onHeaders(metadata: Metadata): void {
    this.events.push(`headers ${JSON.stringify(metadata)}`);
  }

  onEnd(trailers: Metadata | undefined): void {
    this.events.push("end");
    this.trailers = trailers;
  }

  onReset(error: RapError | undefined): void {
    this.events.push(error === undefined ? "done" : `reset ${error.code}: ${error.message}`);
    this.error = error;
  }

  onWritable(): void {
    this.writable++;
  }

  /** Takes the messages that wait. */
  read(): void {
    for (const cost of this.costs.splice(0)) this.stream.consumed(cost);
  }
}

/** A peer that speaks in frames of its own choice and notes what it gets. */
export class RawPeer {
  readonly frames: (Frame | { kind: "unknown"; number: number })[] = [];
  /** Sizes of what came at once. */
  readonly chunks: number[] = [];
  closed = false;
  error: Error | undefined;
  /** What it does with what comes. */
  onData: (bytes: Uint8Array) => void;

  constructor(readonly socket: Socket) {
    const reader = new FrameReader(
      {
        frame: (kind, flags, id, bytes, start, end) => {
          this.frames.push(decodeFrame(kind, flags, id, bytes, start, end) ?? { kind: "unknown", number: kind });
        },
      },
      1 << 30,
    );
    this.onData = (bytes) => {
      this.chunks.push(bytes.length);
      reader.push(bytes);
    };
    socket.start({
      onData: (bytes) => this.onData(bytes),
      onDrain: () => {},
      onClose: (error) => {
        this.closed = true;
        this.error = error;
      },
    });
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  send(...frames: Frame[]): void {
    this.write(Buffer.concat(frames.map(encodeFrame)));
  }

  /** Frames of one kind. */
  of<K extends Frame["kind"]>(kind: K): (Frame & { kind: K })[] {
    return this.frames.filter((frame): frame is Frame & { kind: K } => frame.kind === kind);
  }

  kinds(): string[] {
    return this.frames.map((frame) => frame.kind);
  }
}

export const target = (name: string): Uint8Array => new TextEncoder().encode(name);

/** Opens a call with a body of so many bytes. */
export function open(
  connection: Connection,
  sink: RecordingSink,
  options: { shape?: Shape; name?: string; bytes?: number; timeout?: number; end?: boolean } = {},
): Stream {
  const { shape = Shape.UNARY, name = "default/f", bytes = 1, timeout = 0 } = options;
  const { end = shape === Shape.UNARY || shape === Shape.SERVER_STREAM } = options;
  const streamArg = shape === Shape.CLIENT_STREAM || shape === Shape.BIDI_STREAM ? 0 : -1;
  const body = shape === Shape.CHANNEL ? undefined : pattern(bytes);
  const stream = connection.open(shape, target(name), timeout, undefined, streamArg, body, end, sink);
  sink.stream = stream;
  return stream;
}

/** So many bytes, of which no two stretches are alike. */
export function pattern(length: number, seed = 7): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * seed + (index >>> 8)) & 0xff);
}

/** Two connections that have met, in a world of their own. */
export async function linked(client?: Changes, server?: Changes): Promise<Link & { world: World }> {
  const world = new World();
  return { world, ...(await world.link(client, server)) };
}

/** One stream, seen from both ends. */
export interface Both extends Link {
  world: World;
  near: Stream;
  nearSink: RecordingSink;
  far: Stream;
  farSink: RecordingSink;
}

/** Opens one between connections of its own. */
export async function both(shape: Shape, reading = true): Promise<Both> {
  const world = new World();
  const link = await world.link();
  link.serverHost.reading = reading;
  const nearSink = new RecordingSink(reading);
  const near = open(link.client, nearSink, { shape, bytes: 3 });
  await world.settle();
  const farSink = link.serverHost.sinks[0]!;
  // The arguments.
  farSink.events.length = 0;
  farSink.messages.length = 0;
  return { world, ...link, near, nearSink, far: farSink.stream, farSink };
}
