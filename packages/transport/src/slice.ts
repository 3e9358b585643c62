import { AsyncResource } from "node:async_hooks";
import type { FrameReader } from "@rap/protocol";
import type { Connection } from "./connection";
import { nextTurn } from "./turn";

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
  /**
   * The `AsyncLocalStorage` scope in which the socket came, as it is when bytes come: what waits, here or in the socket, may
   * be handled when a call ends that is none of it. One for all connections would be of the call, if any, in which this
   * module was loaded.
   */
  readonly #scope = new AsyncResource("rap");
  /** When the first bytes of this turn came. */
  #turn = 0;
  /** When those came that a slice is counted from. */
  #began = 0;
  /** When the last were handled. */
  #ended = 0;
  /** Bytes of the last read; 0 when what waited is handled. */
  #size = 0;
  /** Slices on end that were not enough. */
  #full = 0;
  /** A slice was not enough since the last turn that began with a read. */
  #over = false;
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

  /** So many bytes came now; 0 for a part of a record, or when what waited is handled, which are no reads. */
  begin(size: number, now: number): void {
    const again = this.#connection.id === lastId && now - this.#ended <= GAP;
    this.#take(now);
    if (!again) {
      this.#turn = this.#began = now;
      if (!this.#over) this.#full = 0;
      this.#over = false;
    }
    if (size === 0) return;
    if (this.#size < LARGE_READ) this.#began = now;
    this.#size = size;
  }

  /** Some of their frames were handled. */
  look(): void {
    const now = this.#connection.wheel.now();
    if (now - this.#began <= this.#length(now)) return;
    this.#late = true;
    this.#reader.hold();
  }

  /** What was read was handled, or waits. */
  end(now: number): void {
    this.#ended = now;
    const counted = this.#size >= LARGE_READ || now - changedAt < BESIDE;
    // After one small read, or what waited, the next comes in a later turn anyway, unless this turn has had several.
    const length = this.#began > this.#turn ? this.#length(now) : SLICE;
    const over = this.#late || (counted && now - this.#turn > length);
    if (this.#resting || !over) return;
    this.#full++;
    this.#over = true;
    this.#resting = true;
    this.#connection.hold();
    nextTurn(() => this.#goOn());
  }

  /** Nothing else keeps the peer from being read. */
  resume(): void {
    if (!this.#resting) this.#scope.runInAsyncScope(this.#goOn, this);
  }

  /** The socket is gone: calls `then` when what it has brought is handled, which also takes its turns. */
  finish(then: () => void): void {
    if (this.#resting) this.#then = then;
    else then();
  }

  /** It is this connection's turn. */
  #take(now: number): void {
    const { id } = this.#connection;
    if (id === lastId) return;
    lastId = id;
    changedAt = now;
  }

  /** How long a slice is now, in milliseconds. */
  #length(now: number): number {
    return this.#full >= FLOOD && now - changedAt < LATELY ? SHORT_SLICE : SLICE;
  }

  #goOn(): void {
    const connection = this.#connection;
    const now = connection.wheel.now();
    this.#take(now);
    this.#turn = this.#began = this.#ended = now;
    this.#resting = false;
    this.#late = false;
    this.#size = 0;
    // Otherwise `resume` will be called.
    if (!connection.closed && connection.pressure.reading) {
      connection.release();
      if (!this.#resting && !connection.closed && connection.pressure.reading) connection.socket.resume();
    }
    if (!this.#resting) this.#then?.();
  }
}
