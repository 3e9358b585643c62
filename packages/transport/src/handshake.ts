import {
  type Codec,
  decodeHello,
  encodeHello,
  type FrameCipher,
  GoawayCode,
  type Hello,
  type Limits,
  type Metadata,
  MINOR_VERSION,
  messageOf,
  type SecureExchange,
  type SecureLayer,
} from "@rap/protocol";
import { Untrusted, Violation } from "./violation";

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
  /** Seals every frame after the handshake; a peer without it is refused. */
  secure?: SecureLayer | undefined;
}

/** The two HELLOs of a connection and what comes of them: a codec, the peer's limits and, if asked for, a cipher. */
export class Handshake {
  readonly #options: HandshakeOptions;
  #exchange: SecureExchange | undefined;
  #mine: Uint8Array | undefined;
  #theirs: Uint8Array | undefined;
  /** The codec that both sides agreed on, once the peer's HELLO was read. */
  codec: Codec | undefined;
  peer: Hello | undefined;

  constructor(options: HandshakeOptions) {
    this.#options = options;
    if (options.role === "client") this.#exchange = options.secure?.offer();
  }

  /** The payload of this side's HELLO. A server's names the codec, so the client's must have been read. */
  hello(): Uint8Array {
    const { limits, codecs, info, metadata, secure } = this.#options;
    const extensions = new Map<number, Uint8Array>();
    if (secure !== undefined && this.#exchange !== undefined) extensions.set(secure.extension, this.#exchange.bytes);
    const names = this.codec === undefined ? codecs.map(({ name }) => name) : [this.codec.name];
    this.#mine = encodeHello({ ...limits, minor: MINOR_VERSION, codecs: names, info, metadata, extensions });
    return this.#mine;
  }

  /** Reads the peer's HELLO. Throws Violation, Untrusted or PayloadError. */
  read(bytes: Uint8Array, start: number, end: number): Hello {
    const hello = decodeHello(bytes, start, end);
    const { secure, role } = this.#options;
    for (const type of hello.extensions.keys()) {
      if (type < CRITICAL_EXTENSION || type === secure?.extension) continue;
      throw new Violation(GoawayCode.HANDSHAKE_FAILED, `this side does not know the extension ${type} of HELLO`);
    }
    if (secure !== undefined) {
      const offer = hello.extensions.get(secure.extension);
      if (offer === undefined) throw new Untrusted("the peer does not encrypt");
      if (role === "server") this.#exchange = trusted(() => secure.answer(offer));
    }
    this.#theirs = bytes.slice(start, end);
    this.codec = this.#chooseCodec(hello.codecs);
    this.peer = hello;
    return hello;
  }

  /** The cipher of the connection, once both HELLOs are known; undefined without a secure layer. Throws Untrusted. */
  cipher(): FrameCipher | undefined {
    const { secure, role } = this.#options;
    const exchange = this.#exchange;
    if (secure === undefined || exchange === undefined) return undefined;
    const peer = this.peer!.extensions.get(secure.extension)!;
    const [client, server] = role === "client" ? [this.#mine!, this.#theirs!] : [this.#theirs!, this.#mine!];
    return trusted(() => exchange.finish(peer, client, server));
  }

  #chooseCodec(offered: readonly string[]): Codec {
    const { codecs, role } = this.#options;
    const known = codecs.map(({ name }) => name);
    const agreed = role === "server" ? offered.find((name) => known.includes(name)) : offered[0];
    const codec = codecs.find(({ name }) => name === agreed);
    if (codec !== undefined) return codec;
    throw new Violation(
      GoawayCode.HANDSHAKE_FAILED,
      `no common codec: the peer has ${offered.join(", ")}, here is ${known.join(", ")}`,
    );
  }
}

/** Whatever a secure layer throws says to nobody but this side why a peer is not trusted. */
function trusted<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new Untrusted(`the peer could not be authenticated: ${messageOf(error)}`, { cause: error });
  }
}
