import type { CallLimit, Hello, OpenHead, RapError, SecureLayer } from "@rap/protocol";
import type { Connection } from "./connection";
import type { HandshakeOptions } from "./handshake";
import type { PauseLimit } from "./pressure";
import type { Refusal } from "./refusal";
import type { Stream, StreamSink } from "./stream";
import type { TimerWheel } from "./wheel";

/** What a connection tells the client or server that it belongs to. None of these may throw. */
export interface ConnectionHost {
  /** Server: a peer introduced itself. Answer with `accept` or `close`, now or later. */
  onHello?(connection: Connection, hello: Hello): void;
  /** The handshake is done: streams may be opened. */
  onReady?(connection: Connection): void;
  /**
   * Server: a call came; `head` has positions in `bytes`, both valid only during the call. Give its sink, or refuse it
   * (then it counts as never processed): a RapError may be thrown, too.
   */
  onOpen?(stream: Stream, head: OpenHead, bytes: Uint8Array): StreamSink | Refusal;
  /** The peer takes no new streams. */
  onGoaway?(connection: Connection, reason: string): void;
  /** A stream is over on both sides: there is room for another. */
  onRoom?(connection: Connection): void;
  /** A message was refused, on its way in or out, because of this limit. */
  onRefused?(limit: CallLimit): void;
  /** The peer takes too little of what is sent to it: because of this limit it is not read from until it has. */
  onPaused?(limit: PauseLimit): void;
  /** The connection is over; its streams were told before. `error` says why when it was not a clean end. */
  onClose(connection: Connection, error: RapError | undefined): void;
}

export interface ConnectionOptions extends HandshakeOptions {
  host: ConnectionHost;
  wheel: TimerWheel;
  /** Seals all that is sent on the socket; a peer without it is refused. */
  secure?: SecureLayer | undefined;
}

/** Numbers of one connection since it began. */
export interface ConnectionStats {
  /** Streams that are not over on both sides. */
  streams: number;
  opened: number;
  messagesSent: number;
  messagesReceived: number;
  framesSent: number;
  framesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  pingsSent: number;
  pingsReceived: number;
  glitches: number;
  /** Bytes that the socket has not taken yet. */
  buffered: number;
  /** Streams that wait for the connection's credit. */
  waitingForCredit: number;
}
