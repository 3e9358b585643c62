import { connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { decodeFrame, encodeFrame, type Frame, FrameReader } from "@rap/protocol";
import { until } from "./wait";

/** A peer that speaks in frames of its own choice and notes what it gets. */
export class RawPeer {
  readonly frames: (Frame | { kind: "unknown"; number: number })[] = [];
  readonly socket: Socket;
  /** Whether the other side has ended the connection, in whatever way. */
  closed = false;
  /** Told each frame as it comes. */
  onFrame: ((frame: Frame) => void) | undefined;
  /** Set when what came is not rap's. */
  garbage: unknown;

  constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader(
      {
        frame: (kind, flags, id, bytes, start, end) => {
          const frame = decodeFrame(kind, flags, id, bytes, start, end);
          this.frames.push(frame ?? { kind: "unknown", number: kind });
          if (frame !== undefined) this.onFrame?.(frame);
        },
      },
      1 << 30,
    );
    const over = () => {
      this.closed = true;
    };
    socket.on("error", over).on("end", over).on("close", over);
    socket.on("data", (bytes) => {
      if (this.garbage !== undefined) return;
      try {
        reader.push(bytes);
      } catch (error) {
        this.garbage = error;
      }
    });
  }

  /** Connects to `tcp://host:port`, or, with an authority to trust, to `tls://host:port`. */
  static async dial(address: string, ca?: string): Promise<RawPeer> {
    const { hostname: host, port } = new URL(address.replace(/^\w+:/, "http:"));
    const to = { host, port: Number(port) };
    const socket = ca === undefined ? connect(to) : connectTls({ ...to, ca, ALPNProtocols: ["rap/1"] });
    await new Promise((resolve, reject) => {
      socket.once("error", reject).once(ca === undefined ? "connect" : "secureConnect", resolve);
    });
    return new RawPeer(socket);
  }

  /** Writes bytes as they are. */
  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Writes frames, and bytes between them, at once. */
  send(...frames: readonly (Frame | Uint8Array)[]): void {
    this.write(Buffer.concat(frames.map((frame) => (frame instanceof Uint8Array ? frame : encodeFrame(frame)))));
  }

  /** Frames of one kind that came. */
  of<K extends Frame["kind"]>(kind: K): (Frame & { kind: K })[] {
    return this.frames.filter((frame): frame is Frame & { kind: K } => frame.kind === kind);
  }

  /** Frames of one kind on one stream. */
  on<K extends "open" | "headers" | "data" | "end" | "reset" | "credit">(kind: K, id: number): (Frame & { kind: K })[] {
    return this.of(kind).filter((frame) => (frame as { id: number }).id === id);
  }

  /** Waits until so many frames of a kind came, or nothing comes any more. */
  async waitFor(kind: Frame["kind"], count = 1): Promise<void> {
    await until(() => this.of(kind).length >= count || this.closed);
  }
}

/** A port at which raw peers answer. */
export class RawListener implements AsyncDisposable {
  /** Who came, in order. */
  readonly peers: RawPeer[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(greeting: (peer: RawPeer) => void): Promise<RawListener> {
    const server = createServer((socket) => {
      const peer = new RawPeer(socket);
      listener.peers.push(peer);
      greeting(peer);
    });
    const listener = new RawListener(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return listener;
  }

  get address(): string {
    const { port } = this.#server.address() as { port: number };
    return `tcp://127.0.0.1:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.peers) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}
