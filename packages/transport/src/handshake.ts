import {
  type Codec,
  decodeHello,
  encodeHello,
  GoawayCode,
  type Hello,
  type Limits,
  type Metadata,
  MINOR_VERSION,
} from "@rap/protocol";
import { Violation } from "./violation";

/** Extensions from here on must be understood. */
const CRITICAL_EXTENSION = 0x8000;

export interface HandshakeOptions {
  role: "client" | "server";
  limits: Limits;
  /** In order of preference; the first that both sides know is used. */
  codecs: readonly Codec[];
  /** Who this is, for people: name and version. */
  info: string;
  /** Sent with the handshake. */
  metadata?: Metadata | undefined;
}

/** The two HELLOs of a connection and what comes of them: a codec and the peer's limits. */
export class Handshake {
  readonly #options: HandshakeOptions;
  /** The codec that both sides agreed on, once the peer's HELLO was read. */
  codec: Codec | undefined;

  constructor(options: HandshakeOptions) {
    this.#options = options;
  }

  /** The payload of this side's HELLO. A server's names the codec, so the client's must have been read. */
  hello(): Uint8Array {
    const { limits, codecs, info, metadata } = this.#options;
    const names = this.codec === undefined ? codecs.map(({ name }) => name) : [this.codec.name];
    return encodeHello({ ...limits, minor: MINOR_VERSION, codecs: names, info, metadata, extensions: new Map() });
  }

  /** Reads the peer's HELLO. Throws Violation or PayloadError. */
  read(bytes: Uint8Array, start: number, end: number): Hello {
    const hello = decodeHello(bytes, start, end);
    for (const type of hello.extensions.keys()) {
      if (type < CRITICAL_EXTENSION) continue;
      throw new Violation(GoawayCode.HANDSHAKE_FAILED, `this side does not know the extension ${type} of HELLO`);
    }
    this.codec = this.#chooseCodec(hello.codecs);
    return hello;
  }

  #chooseCodec(offered: readonly string[]): Codec {
    const { codecs, role } = this.#options;
    const known = codecs.map(({ name }) => name);
    const agreed = role === "server" ? offered.find((name) => known.includes(name)) : offered[0];
    const codec = codecs.find(({ name }) => name === agreed);
    if (codec !== undefined) return codec;
    // Both sides read it.
    const [client, server] = role === "client" ? [known, offered] : [offered, known];
    const message = `no common codec: the client has ${client.join(", ")}, the server ${server.join(", ")}`;
    throw new Violation(GoawayCode.HANDSHAKE_FAILED, message);
  }
}
