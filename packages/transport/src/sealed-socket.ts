import {
  FrameReader,
  type FrameSink,
  HEAD_BYTES,
  Kind,
  NO_BYTES,
  PREAMBLE,
  RECORD_BYTES,
  type RecordCipher,
  type SecureLayer,
  type SecureOffer,
  writeHead,
} from "@rap/protocol";
import { toError } from "./explain";
import type { Peer, Socket, SocketHandler } from "./transport";

/**
 * A socket inside a socket: a key exchange, and then records that hold what is written. Each end is handed nothing
 * before its peer has proved itself. What does not open destroys the socket underneath without a word.
 */
export class SealedSocket implements Socket, SocketHandler, FrameSink {
  /** Bytes that were sent beyond those that were written, since the first record. */
  overhead = 0;
  readonly #socket: Socket;
  readonly #layer: SecureLayer;
  readonly #role: "client" | "server";
  readonly #reader: FrameReader;
  #handler: SocketHandler | undefined;
  /** Client: what it began the exchange with. */
  #offer: SecureOffer | undefined;
  /** Server: the offer came. */
  #asked = false;
  #cipher: RecordCipher | undefined;
  /** Written before there was a cipher. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  /** Nothing is delivered or sent any more. */
  #over = false;

  constructor(socket: Socket, layer: SecureLayer, role: "client" | "server", maxExchangeBytes: number) {
    this.#socket = socket;
    this.#layer = layer;
    this.#role = role;
    this.#reader = new FrameReader(this, maxExchangeBytes);
  }

  get peer(): Peer {
    return this.#socket.peer;
  }

  get openedAt(): number {
    return this.#socket.openedAt;
  }

  get buffered(): number {
    return this.#earlyBytes + this.#socket.buffered;
  }

  /** Bytes of a record that is not whole. */
  get partial(): number {
    return this.#reader.partial;
  }

  start(handler: SocketHandler): void {
    if (this.#handler !== undefined) throw new Error("the socket was already started");
    if (this.#role === "client") this.#offer = this.#layer.offer(this.peer.channelBinding);
    this.#handler = handler;
    this.#socket.start(this);
    if (this.#offer !== undefined) this.#sendExchange(this.#offer.bytes);
  }

  /** Until there are keys bytes wait here: who waits for its peer's first bytes writes only a few. */
  write(bytes: Uint8Array): boolean {
    if (this.#over) return false;
    if (this.#cipher !== undefined) return this.#seal(this.#cipher, bytes);
    this.#early.push(bytes);
    this.#earlyBytes += bytes.length;
    return true;
  }

  /** What came in the same piece of the stream is still delivered. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** What still waits for keys is lost. */
  end(): void {
    this.#dropEarly();
    this.#socket.end();
  }

  destroy(error?: Error): void {
    this.#stop();
    this.#socket.destroy(error);
  }

  // From the socket underneath.

  onData(bytes: Uint8Array): void {
    if (this.#over) return;
    try {
      this.#reader.push(bytes);
      // So that who watches over slow peers learns that a record has begun.
      if (this.#cipher !== undefined && this.partial > 0) this.#handler!.onData(NO_BYTES);
    } catch (error) {
      this.destroy(toError(error));
    }
  }

  onDrain(): void {
    this.#handler!.onDrain();
  }

  onClose(error?: Error): void {
    const reason = this.#over ? error : this.#whyCut(error);
    this.#stop();
    this.#handler!.onClose(reason);
  }

  // From the reader.

  frame(kind: number, flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#cipher !== undefined) {
      if (kind !== Kind.SEALED || id !== 0) throw new Error("the peer stopped encrypting");
      this.#handler!.onData(opened(this.#cipher, bytes.subarray(start - HEAD_BYTES, end)));
    } else {
      if (kind !== Kind.EXCHANGE || flags !== 0 || id !== 0) throw new Error("the peer does not encrypt");
      const payload = bytes.slice(start, end);
      if (this.#offer !== undefined) this.#use(finished(this.#offer, payload));
      else if (!this.#asked) void this.#answer(payload);
      else throw new Error("the peer did not wait for the answer to its offer");
    }
  }

  async #answer(offer: Uint8Array): Promise<void> {
    this.#asked = true;
    try {
      const { bytes, cipher } = await this.#layer.answer(offer, this.peer.channelBinding);
      if (this.#over) return cipher.close();
      this.#sendExchange(bytes);
      this.#use(cipher);
    } catch (error) {
      this.destroy(new Error("the peer was refused", { cause: error }));
    }
  }

  #sendExchange(payload: Uint8Array): void {
    const head = new Uint8Array(HEAD_BYTES);
    writeHead(head, 0, payload.length, Kind.EXCHANGE, 0, 0);
    this.#socket.write(Buffer.concat([PREAMBLE, head, payload]));
  }

  #use(cipher: RecordCipher): void {
    this.#cipher = cipher;
    this.#reader.maxFrameBytes = RECORD_BYTES + cipher.overhead;
    const early = Buffer.concat(this.#early);
    this.#dropEarly();
    this.#seal(cipher, early);
  }

  #seal(cipher: RecordCipher, bytes: Uint8Array): boolean {
    let ready = true;
    try {
      for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
        const record = cipher.seal(bytes.subarray(at, at + RECORD_BYTES));
        this.overhead += HEAD_BYTES + cipher.overhead;
        ready = this.#socket.write(record);
      }
      return ready;
    } catch (error) {
      this.destroy(toError(error));
      return false;
    }
  }

  /** Why a socket closed that this side wanted open. */
  #whyCut(error: Error | undefined): Error | undefined {
    if (this.#cipher !== undefined) {
      return error === undefined && this.partial > 0 ? new Error("the peer was cut off within a record") : error;
    }
    if (this.#role === "server") return error;
    return new Error("the server ended the key exchange: it does not encrypt, or does not accept this client", {
      cause: error,
    });
  }

  #dropEarly(): void {
    this.#early = [];
    this.#earlyBytes = 0;
  }

  #stop(): void {
    this.#over = true;
    this.#reader.stop();
    this.#dropEarly();
    this.#cipher?.close();
  }
}

/** What a record holds. */
function opened(cipher: RecordCipher, frame: Uint8Array): Uint8Array {
  let plain: Uint8Array;
  try {
    plain = cipher.open(frame);
  } catch (error) {
    throw new Error("a record is not what the peer sent", { cause: error });
  }
  if (plain.length === 0) throw new Error("a record is empty");
  return plain;
}

function finished(offer: SecureOffer, answer: Uint8Array): RecordCipher {
  try {
    return offer.finish(answer);
  } catch (error) {
    throw new Error("the server is not the one that it must be", { cause: error });
  }
}
