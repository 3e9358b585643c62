import type { FrameReader } from "@rap/protocol";
import type { Connection } from "./connection";
import { nextTurn, outside } from "./turn";

/** How long frames of one peer are handled before others have their turn, in milliseconds. */
const SLICE = 0.5;
/** The same for a peer that has sent more than that for `FLOOD` slices on end, while others wait for their turn. */
const SHORT_SLICE = 0.03;
const FLOOD = 8;
/** Others count as waiting if one of them was read from in the last so many milliseconds. */
const LATELY = 2;
/** The same for small reads that count together: a client that nobody waits for has a turn for each of them. */
const BESIDE = 1_000;
/** After a read of as many bytes Node may read on in the same turn, up to 32 times 64 KiB, or 16 KiB each with TLS. */
const LARGE_READ = 16 * 1024;
/** Reads that are further apart than this, in milliseconds, are not of one turn. */
const GAP = 0.1;

/** Whose bytes came last, and when they last came from another than before. */
let lastId = 0;
let changedAt = 0;

/**
 * Lets a connection take turns with others: when what its peer sent has kept the event loop busy for a while, the rest
 * waits for the next turn, and nothing more is read until it was handled.
 */
export class Slice {
  readonly #connection: Connection;
  readonly #reader: FrameReader;
  /** When the first bytes of this turn came, those that a slice is counted from, and when the last were handled. */
  #turn = 0;
  #began = 0;
  #ended = 0;
  /** Bytes of the last read; 0 when what waited is handled. */
  #size = 0;
  /** Slices that were not enough, since all that came was handled. */
  #full = 0;
  /** The rest of what was read waits. */
  #late = false;
  /** Goes on in the next turn. */
  #resting = false;
  /** To be called when all that came is handled, as the socket is gone. */
  #then: (() => void) | undefined;

  constructor(connection: Connection, reader: FrameReader) {
    this.#connection = connection;
    this.#reader = reader;
  }

  /** So many bytes came now; 0 when what waited is handled. */
  begin(size: number, now: number): void {
    const { id } = this.#connection;
    const again = size > 0 && id === lastId && now - this.#ended <= GAP;
    if (id !== lastId) changedAt = now;
    lastId = id;
    if (!again) this.#turn = now;
    if (!again || this.#size < LARGE_READ) this.#began = now;
    this.#size = size;
  }

  /** Some of their frames were handled. */
  look(): void {
    const now = this.#connection.wheel.now();
    const flooded = this.#full >= FLOOD && now - changedAt < LATELY;
    if (now - this.#began <= (flooded ? SHORT_SLICE : SLICE)) return;
    this.#late = true;
    this.#full++;
    this.#reader.hold();
  }

  /** What was read was handled, or waits. */
  end(now: number): void {
    this.#ended = now;
    if (!this.#late && this.#size > 0 && this.#size < LARGE_READ) this.#full = 0;
    const counted = this.#size >= LARGE_READ || now - changedAt < BESIDE;
    const over = this.#late || (counted && now - this.#turn > SLICE);
    if (this.#resting || !over) return;
    this.#resting = true;
    this.#connection.hold();
    nextTurn(this.#goOn);
  }

  /** Nothing else keeps the peer from being read; a call in whose scope that comes about is none of what waits. */
  resume(): void {
    if (!this.#resting) outside(this.#goOn);
  }

  /** The socket is gone: calls `then` when what it has brought is handled, which also takes its turns. */
  finish(then: () => void): void {
    if (this.#resting) this.#then = then;
    else then();
  }

  readonly #goOn = (): void => {
    const connection = this.#connection;
    this.#resting = false;
    this.#late = false;
    this.#size = 0;
    // Otherwise `resume` will be called.
    if (!connection.closed && connection.pressure.reading) {
      connection.release();
      if (!this.#resting && !connection.closed && connection.pressure.reading) connection.socket.resume();
    }
    if (!this.#resting) this.#then?.();
  };
}
