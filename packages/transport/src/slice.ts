import type { FrameReader } from "@rap/protocol";
import type { Connection } from "./connection";
import { nextTurn } from "./turn";

/** How long frames of one peer are handled before others have their turn, in milliseconds. */
const SLICE = 0.5;
/** After a read of as many bytes Node may read on in the same turn: up to 32 times 64 KiB, or 16 KiB each with TLS. */
const LARGE_READ = 16 * 1024;
/** Reads that are further apart than this, in milliseconds, are not of one turn. */
const GAP = 0.1;

/**
 * Lets a connection take turns with others: when what its peer sent has kept the event loop busy for a while, the rest
 * waits for the next turn, and nothing more is read until it was handled.
 */
export class Slice {
  readonly #connection: Connection;
  readonly #reader: FrameReader;
  #began = 0;
  #ended = 0;
  /** Bytes of the last read. */
  #size = 0;
  /** The rest of what was read waits. */
  #late = false;
  /** Goes on in the next turn. */
  #resting = false;

  constructor(connection: Connection, reader: FrameReader) {
    this.#connection = connection;
    this.#reader = reader;
  }

  /** So many bytes came now. */
  begin(size: number, now: number): void {
    if (this.#size < LARGE_READ || now - this.#ended > GAP) this.#began = now;
    this.#size = size;
  }

  /** Some of their frames were handled. */
  look(): void {
    if (!this.#over(this.#connection.wheel.now())) return;
    this.#late = true;
    this.#reader.hold();
  }

  /** What was read was handled, or waits. */
  end(now: number): void {
    this.#ended = now;
    if (this.#resting || !(this.#late || (this.#size >= LARGE_READ && this.#over(now)))) return;
    this.#resting = true;
    this.#connection.hold();
    nextTurn(this.#goOn);
  }

  /** Nothing else keeps the peer from being read. */
  resume(): void {
    if (!this.#resting) this.#goOn();
  }

  /** The socket is gone: what it has brought is handled now. */
  finish(): void {
    while (this.#resting && this.#connection.progress().reading && !this.#connection.closed) this.#next();
  }

  readonly #goOn = (): void => {
    const connection = this.#connection;
    // Otherwise `resume` will be called.
    if (connection.closed || !connection.progress().reading) this.#resting = false;
    else {
      this.#next();
      if (!this.#resting && !connection.closed && connection.progress().reading) connection.socket.resume();
    }
  };

  /** Handles what waits, for as long as another slice. */
  #next(): void {
    this.#resting = false;
    this.#late = false;
    this.#size = 0;
    this.#connection.release();
  }

  #over(now: number): boolean {
    return now - this.#began > SLICE;
  }
}
