import type { Awaitable } from "./channel";

/** Plain bytes of one record, at most. */
export const RECORD_BYTES = 64 * 1024;

/**
 * Protects what one connection sends and receives after the key exchange. Records are opened in the order in which
 * they were sealed, each exactly once, or `open` throws: the connection is then closed without a word.
 */
export interface RecordCipher {
  /** Bytes that a record's payload is longer than what it holds. */
  readonly overhead: number;
  /** The SEALED frame, head included, that holds `bytes` (at most `RECORD_BYTES`). Throws when the connection must end. */
  seal(bytes: Uint8Array): Uint8Array;
  /** What a SEALED frame, head included, holds; the caller owns it. Throws for anything that the peer did not send here. */
  open(frame: Uint8Array): Uint8Array;
  /** The connection is over: forget the keys. */
  close(): void;
}

/** A client's side of a key exchange that has begun. */
export interface SecureOffer {
  /** What goes to the server. */
  readonly bytes: Uint8Array;
  /** Reads what the server answers. Throws if it is not to be trusted. */
  finish(answer: Uint8Array): RecordCipher;
}

/** A server's side of a key exchange. */
export interface SecureAnswer {
  /** What goes to the client. */
  readonly bytes: Uint8Array;
  readonly cipher: RecordCipher;
}

/**
 * What makes connections secure below everything else: a key exchange and the cipher that comes of it. Of a peer that
 * does not begin with the exchange not another byte is read. `binding` is what only the two ends of the TLS connection
 * underneath know (RFC 9266); undefined without TLS.
 */
export interface SecureLayer {
  /** Client: begins an exchange. */
  offer(binding: Uint8Array | undefined): SecureOffer;
  /** Server: answers one. Throws or rejects to refuse the client, which is not told why. */
  answer(offer: Uint8Array, binding: Uint8Array | undefined): Awaitable<SecureAnswer>;
}
