import type { Road } from "./road";
import type { VirtualTime } from "./virtual-time";

/** What travels: bytes, the sender's end, or the news that there is no connection any more. */
export type Parcel = { readonly bytes: Uint8Array } | "end" | "reset";

interface Sent {
  readonly parcel: Parcel;
  arrivesAt: number;
}

/** One direction of a connection: what is put in comes out later, in order, and cut in other places. */
export class Pipe {
  readonly #time: VirtualTime;
  readonly #road: Road;
  readonly #deliver: (parcel: Parcel) => void;
  #sent: Sent[] = [];
  #lastArrival = 0;
  /** What was written in the course of one event leaves together. */
  #writtenIn = -1;
  #cancel: (() => void) | undefined;
  /** The reader does not read. */
  #held = true;
  /** Half of a cut: all that is put in is lost, and nobody is told. */
  silent = false;
  #closed = false;

  constructor(time: VirtualTime, road: Road, deliver: (parcel: Parcel) => void) {
    this.#time = time;
    this.#road = road;
    this.#deliver = deliver;
  }

  put(parcel: Parcel): void {
    const last = this.#sent.at(-1);
    if (typeof parcel === "object" && this.#writtenIn === this.#time.events && typeof last?.parcel === "object") {
      this.#sent[this.#sent.length - 1] = { ...last, parcel: { bytes: joined(last.parcel.bytes, parcel.bytes) } };
      return;
    }
    this.#writtenIn = this.#time.events;
    this.#lastArrival = Math.max(this.#lastArrival, this.#time.now() + this.#road.transit());
    this.#sent.push({ parcel, arrivesAt: this.#lastArrival });
    this.#await();
  }

  /** Loses what is on its way. */
  empty(): void {
    this.#sent = [];
    this.#cancel?.();
    this.#cancel = undefined;
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#await();
  }

  #await(): void {
    const [next] = this.#sent;
    if (next === undefined || this.#cancel !== undefined || this.#held) return;
    const at = Math.max(next.arrivesAt, this.#road.clearAt);
    this.#cancel = this.#time.after(at - this.#time.now(), () => {
      this.#cancel = undefined;
      if (this.silent) return;
      if (this.#time.now() >= this.#road.clearAt) this.#arrive(next);
      this.#await();
    });
  }

  #arrive(next: Sent): void {
    if (this.#sent[0] !== next) return;
    this.#sent.shift();
    const { parcel } = next;
    if (typeof parcel !== "object") return this.#deliver(parcel);
    let { bytes } = parcel;
    while (bytes.length > 0 && !this.#held) {
      const size = Math.min(bytes.length, this.#road.piece(bytes.length));
      const rest = bytes.subarray(size);
      // A copy, as the kernel makes: the ends must not share memory.
      this.#deliver({ bytes: new Uint8Array(bytes.subarray(0, size)) });
      bytes = rest;
      if (this.#road.chunking === "parts") break;
    }
    if (bytes.length > 0 && !this.#closed)
      this.#sent.unshift({ parcel: { bytes }, arrivesAt: this.#time.now() + 0.125 });
  }

  /** The reader is no more. */
  close(): void {
    this.#closed = true;
    this.#held = true;
    this.empty();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
