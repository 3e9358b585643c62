import { GoawayCode, Shape } from "@rap/protocol";
import { charge, ReceiveWindow, SendWindow } from "./credit";
import { MIN_FRAGMENT } from "./outbox";
import type { Stream } from "./stream";
import { Violation } from "./violation";

/** The credit of one stream, in the directions in which items are streamed. A unary call has none. */
export class StreamCredit {
  readonly #stream: Stream;
  /** For what this side streams. */
  readonly sending: SendWindow | undefined;
  /** For what the peer streams. */
  readonly #receiving: ReceiveWindow | undefined;
  /** Whole messages that the reader has not taken. */
  #unread = 0;
  /** What unread messages and parts hold. */
  #held = 0;
  /** The share of it that belongs to the message that is not whole. */
  #heldParts = 0;

  /** `incoming`: whether it was the peer who opened the stream. */
  constructor(stream: Stream, incoming: boolean) {
    this.#stream = stream;
    const { limits, peer } = stream.connection;
    const upstream = stream.shape !== Shape.SERVER_STREAM;
    const downstream = stream.shape !== Shape.CLIENT_STREAM;
    if (incoming ? downstream : upstream) {
      this.sending = new SendWindow(peer.streamWindowBytes, peer.streamWindowMessages);
    }
    if (incoming ? upstream : downstream) {
      this.#receiving = new ReceiveWindow(limits.streamWindowBytes, limits.streamWindowMessages);
    }
  }

  /** Takes the credit for a whole message, if there is enough and the peer takes what it is sent. */
  pay(bytes: number): boolean {
    const window = this.sending;
    if (window === undefined) return true;
    const { credit, pressure } = this.#stream.connection;
    // It is the peer who says how much credit there is: what it does not take has to wait all the same.
    if (pressure.isBehind) return false;
    const all = credit.sending;
    const cost = charge(bytes, true, MIN_FRAGMENT);
    if (window.messages < 1 || window.bytes < cost || all.bytes < cost) return false;
    window.messages--;
    window.bytes -= cost;
    all.bytes -= cost;
    return true;
  }

  /** Takes the credit for as many as possible of the next `want` bytes of a message of which `left` are left; else -1. */
  payPart(want: number, left: number): number {
    const window = this.sending;
    if (window === undefined) return want;
    const shared = this.#stream.connection.credit;
    const all = shared.sending;
    const credit = Math.min(window.bytes, all.bytes);
    const cost = charge(left, true, MIN_FRAGMENT);
    let size = want;
    if (want === left && credit >= cost) size = left;
    else if (credit >= MIN_FRAGMENT && left > MIN_FRAGMENT) size = Math.min(want, credit, left - 1);
    else size = -1;
    if (window.messages < 1) size = -1;
    if (size < 0) {
      if (all.bytes <= window.bytes) shared.wait(this.#stream);
      return -1;
    }
    const paid = size === left ? cost : size;
    window.bytes -= paid;
    all.bytes -= paid;
    if (size === left) window.messages--;
    return size;
  }

  /** Counts a frame's bytes against both windows; gives what they cost. */
  charge(size: number, last: boolean): number {
    const window = this.#receiving;
    if (window === undefined) return 0;
    const stream = this.#stream;
    const cost = charge(size, last, MIN_FRAGMENT);
    stream.connection.credit.charge(cost);
    if (!window.receive(cost, last ? 1 : 0)) {
      const text = `stream ${stream.id} has no credit for what was sent on it`;
      throw new Violation(GoawayCode.FLOW_CONTROL_ERROR, text, window.overdrawn);
    }
    if (stream.sink === undefined) this.#giveBack(cost, last ? 1 : 0);
    else this.#held += cost;
    return cost;
  }

  /** A part that cost so much is kept. While no whole message waits, the peer may go on with it. */
  keep(cost: number): void {
    if (this.#unread === 0) this.#release(cost, 0);
    else this.#heldParts += cost;
  }

  /** The last part came: gives what the whole message costs until it is taken. */
  whole(cost: number): number {
    const whole = cost + this.#heldParts;
    this.#heldParts = 0;
    // Arguments cost nothing, and nobody says that they were taken.
    if (whole > 0) this.#unread++;
    return whole;
  }

  /** The reader took a message. */
  consumed(cost: number): void {
    this.#unread--;
    if (this.#stream.sink === undefined) return;
    this.#release(cost, 1);
    if (this.#unread === 0 && this.#heldParts > 0) {
      const parts = this.#heldParts;
      this.#heldParts = 0;
      this.#release(parts, 0);
    }
  }

  /** Nobody reads any more: gives back all that is held. */
  giveUp(): void {
    if (this.#held > 0) this.#giveBack(this.#held, this.#unread);
    this.#held = 0;
  }

  /**
   * Credit of what nobody reads. While the end of a channel waits behind its messages for credit, its peer may wait for
   * credit, too, before it reads on: so that it does, it may send what is dropped here.
   */
  #giveBack(bytes: number, messages: number): void {
    const { connection, shape, pending } = this.#stream;
    if (shape === Shape.CHANNEL && pending.at(-1)?.end === true) this.#grant(bytes, messages);
    else connection.credit.release(bytes);
  }

  #release(bytes: number, messages: number): void {
    this.#held -= bytes;
    this.#grant(bytes, messages);
  }

  #grant(bytes: number, messages: number): void {
    const stream = this.#stream;
    const { credit } = stream.connection;
    credit.release(bytes);
    if (this.#receiving!.release(bytes, messages) && !stream.remoteDone) {
      const grant = this.#receiving!.grant();
      credit.grant(stream.id, grant.bytes, grant.messages);
    }
  }
}
