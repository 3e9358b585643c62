import { once } from "node:events";
import { connect } from "node:net";
import {
  decodeFrame,
  encodeFrame,
  FrameReader,
  goawayName,
  LIMITS,
  msgpack,
  PREAMBLE,
  Shape,
  writeHead,
} from "@rap/protocol";

const codec = msgpack();
const SHAPES = { unary: Shape.UNARY, server_stream: Shape.SERVER_STREAM, channel: Shape.CHANNEL };
const NOTHING = new Uint8Array(0);

export const encoded = (value) => codec.encode(value, "attack").slice();

/** What a peer with the default limits says of itself. */
export const HELLO = Buffer.concat([
  PREAMBLE,
  encodeFrame({
    kind: "hello",
    hello: { ...LIMITS, minor: 0, codecs: ["msgpack"], info: "raw peer", metadata: undefined, extensions: new Map() },
  }),
]);

export const PING = encodeFrame({ kind: "ping", data: new Uint8Array(8) });

/** Any frame at all; `length` may differ from what follows. */
export function rawFrame(kind, flags, id, payload = NOTHING, length = payload.length) {
  const bytes = Buffer.alloc(10 + payload.length);
  writeHead(bytes, 0, length, kind, flags, id);
  bytes.set(payload, 10);
  return bytes;
}

/** OPEN of a function in the default group. */
export function openFrame(id, name, args, { shape = "unary", body, end = true } = {}) {
  const kind = SHAPES[shape];
  return encodeFrame({
    kind: "open",
    id,
    shape: kind,
    target: `default/${name}`,
    body: kind === Shape.CHANNEL ? NOTHING : (body ?? encoded(args)),
    ...(end && kind !== Shape.CHANNEL && { end: true }),
  });
}

export const resetFrame = (id) => encodeFrame({ kind: "reset", id, code: 1, flags: 0, body: encoded([]) });

/** A peer on a bare socket that says whatever it likes, and notes what it hears. */
export class RawPeer {
  frames = [];
  /** Bytes that came. */
  received = 0;
  closed;
  open = true;

  static async connect(port, options = {}) {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, ...options });
    await once(socket, "connect");
    return new RawPeer(socket);
  }

  constructor(socket) {
    this.socket = socket;
    const reader = new FrameReader(
      {
        frame: (kind, flags, id, bytes, start, end) => {
          const frame = decodeFrame(kind, flags, id, bytes, start, end) ?? { kind: "unknown" };
          if (this.frames.length < 10_000) this.frames.push(frame);
        },
      },
      1 << 30,
    );
    socket.on("data", (bytes) => {
      this.received += bytes.length;
      try {
        reader.push(bytes);
      } catch {
        // Not rap's bytes: `received` counts them.
      }
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.open = false;
        resolve(performance.now());
      });
    });
  }

  write(bytes) {
    return this.socket.write(bytes);
  }

  /** Writes no faster than it is taken; false once the socket is gone. */
  async push(bytes) {
    if (!this.open || this.socket.destroyed) return false;
    if (!this.write(bytes)) await Promise.race([once(this.socket, "drain").catch(() => {}), this.closed]);
    return this.open;
  }

  greet() {
    this.write(HELLO);
  }

  call(id, name, args, options) {
    this.write(openFrame(id, name, args, options));
  }

  credit(id, bytes, messages) {
    this.write(encodeFrame({ kind: "credit", id, bytes, messages }));
  }

  pause() {
    this.socket.pause();
  }

  destroy() {
    this.socket.destroy();
  }

  /** The name of the goaway that ended it, if one did. */
  get goaway() {
    const frame = this.frames.filter(({ kind, code }) => kind === "goaway" && code !== 0).at(-1);
    return frame && goawayName(frame.code);
  }
}
