import { Shape } from "@rap/protocol";
import type { Stream } from "./stream";

/** Places of a ring at first, when a connection may be one of thousands that are idle, and at most. Powers of two. */
const FEW = 4;
const MANY = 512;

/**
 * The open streams of a connection by their ids, and which ids were used: odd ones by the client, even ones by the
 * server, each once and in order. So each stream has its place in a ring, which grows while streams are as far apart as
 * that; the few that outlive a whole round of it move to a map. A `Map` alone grows and shrinks with every burst of
 * short calls, which took a tenth of a busy server's time.
 */
export class StreamTable {
  #ring: (Stream | undefined)[] = new Array<Stream | undefined>(FEW).fill(undefined);
  #mask = FEW - 1;
  /** Made when there is one: for most connections there never is. */
  #old: Map<number, Stream> | undefined = undefined;
  /** 1 when this side's ids are odd. */
  readonly #own: number;
  /** The next id of this side, and the largest that the peer has used. */
  nextId: number;
  lastPeerId = 0;
  /** How many streams there have been. */
  opened = 0;
  /** Those that are over and that the peer may still have aborted before it knew. */
  mayCross = 0;
  size = 0;
  /** How many of them the peer opened. */
  ofPeer = 0;
  /** How many of them are channels, and how many neither channels nor unary. */
  channels = 0;
  streaming = 0;

  constructor(role: "client" | "server") {
    this.#own = role === "client" ? 1 : 0;
    this.nextId = role === "client" ? 1 : 2;
  }

  /** Whether it is this side that opens the stream of this id. */
  isOwn(id: number): boolean {
    return (id & 1) === this.#own;
  }

  /** Whether there is or was a stream of this id. */
  had(id: number): boolean {
    if (id === 0) return false;
    return this.isOwn(id) ? id < this.nextId : id <= this.lastPeerId;
  }

  get(id: number): Stream | undefined {
    const stream = this.#ring[(id >>> 1) & this.#mask];
    if (stream !== undefined && stream.id === id) return stream;
    return this.#old === undefined ? undefined : this.#old.get(id);
  }

  /** A new stream, whose id is larger than all before of its side. */
  add(stream: Stream): void {
    this.opened++;
    if (this.isOwn(stream.id)) this.nextId = stream.id + 2;
    else this.lastPeerId = stream.id;
    this.#count(stream, 1);
    let place = (stream.id >>> 1) & this.#mask;
    while (this.#ring[place] !== undefined && this.#ring.length < MANY) {
      this.#grow();
      place = (stream.id >>> 1) & this.#mask;
    }
    const older = this.#ring[place];
    if (older !== undefined) {
      this.#old ??= new Map();
      this.#old.set(older.id, older);
    }
    this.#ring[place] = stream;
  }

  /** Whether the stream was there. */
  delete(stream: Stream): boolean {
    const place = (stream.id >>> 1) & this.#mask;
    if (this.#ring[place] === stream) this.#ring[place] = undefined;
    else if (this.#old === undefined || !this.#old.delete(stream.id)) return false;
    this.#count(stream, -1);
    if (!stream.peerReset) this.mayCross++;
    return true;
  }

  /** All streams, the oldest first. */
  list(): Stream[] {
    const recent = this.#ring.filter((stream) => stream !== undefined);
    return [...(this.#old?.values() ?? []), ...recent].sort((a, b) => a.id - b.id);
  }

  clear(): void {
    this.#ring.fill(undefined);
    this.#old = undefined;
    this.size = 0;
    this.ofPeer = 0;
    this.channels = 0;
    this.streaming = 0;
  }

  #count({ id, shape }: Stream, one: 1 | -1): void {
    this.size += one;
    if (!this.isOwn(id)) this.ofPeer += one;
    if (shape === Shape.CHANNEL) this.channels += one;
    else if (shape !== Shape.UNARY) this.streaming += one;
  }

  #grow(): void {
    const streams = this.#ring;
    this.#ring = new Array<Stream | undefined>(streams.length * 2).fill(undefined);
    this.#mask = this.#ring.length - 1;
    // What has places of its own in a ring has them in one of twice the size.
    for (const stream of streams) if (stream !== undefined) this.#ring[(stream.id >>> 1) & this.#mask] = stream;
    // An old array that is dead keeps alive what it holds until the next full garbage collection.
    streams.fill(undefined);
  }
}
