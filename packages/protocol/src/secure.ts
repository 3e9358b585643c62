/**
 * Protects the frames of one connection after its handshake, both ways. Frames arrive in order and each exactly
 * once, or `open` throws: the connection is then closed without a word.
 */
export interface FrameCipher {
  /** Bytes that a sealed payload is longer than the plain one. */
  readonly overhead: number;
  /** The sealed payload. `head` is the frame's ten bytes as sent, with the sealed length; it must be authenticated too. */
  seal(head: Uint8Array, payload: Uint8Array): Uint8Array;
  /** The plain payload, owned by the caller. Throws for anything that was not sealed for this place. */
  open(head: Uint8Array, payload: Uint8Array): Uint8Array;
  /** The connection is over: forget the keys. */
  close(): void;
}

/** One side of a handshake that has begun. */
export interface SecureExchange {
  /** Goes to the peer in the HELLO, as the extension's bytes. */
  readonly bytes: Uint8Array;
  /** The cipher, once both HELLO payloads are known; `peer` is the peer's extension. Throws to refuse the connection. */
  finish(peer: Uint8Array, clientHello: Uint8Array, serverHello: Uint8Array): FrameCipher;
}

/**
 * What makes connections secure below the codec: a key exchange in an extension of HELLO and the cipher that comes of
 * it. Both sides have one or none: a side that has one refuses a peer without it before any other byte is looked at.
 */
export interface SecureLayer {
  /** Number of the HELLO extension, 0x8000 or more, so that a peer that does not know it refuses. */
  readonly extension: number;
  /** Client: begins an exchange. */
  offer(): SecureExchange;
  /** Server: answers one. Throws to refuse the connection; the peer is not told why. */
  answer(offer: Uint8Array): SecureExchange;
}
