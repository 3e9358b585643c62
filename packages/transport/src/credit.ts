/** What a frame with the last part of a message costs against the windows; the parts before cost their bytes. */
export function charge(bytes: number, last: boolean, least: number): number {
  return last && bytes < least ? least : bytes;
}

/**
 * The receiving side of a credit window: counts what the peer may still send and says when it is time to grant more.
 * Credit is given back in steps of half a window, when the reader took a message, and at once for the parts of a
 * message that is not whole while no whole one waits: so a message larger than the window still gets through.
 *
 * A window that many readers share gives it back in smaller steps as soon as that doubles what the peer may send. In
 * steps of half a window the readers that sleep on more than the other half would stop all others.
 */
export class ReceiveWindow {
  readonly #windowMessages: number;
  readonly #stepBytes: number;
  /** What the peer may still send. */
  #bytes: number;
  #messages: number;
  /** Taken by the reader, not yet granted again. */
  #freeBytes = 0;
  #freeMessages = 0;

  /** `stepBytes`: the smallest grant that is worth a frame. Default half of the window. */
  constructor(windowBytes: number, windowMessages: number, stepBytes = windowBytes / 2) {
    this.#windowMessages = windowMessages;
    this.#stepBytes = stepBytes;
    this.#bytes = windowBytes;
    this.#messages = windowMessages;
  }

  /** Counts what came; false when the peer had no credit for it. */
  receive(bytes: number, messages: number): boolean {
    this.#bytes -= bytes;
    this.#messages -= messages;
    return this.#bytes >= 0 && this.#messages >= 0;
  }

  /** Which of its limits a stream's peer has not kept to, when `receive` was false. */
  get overdrawn(): "streamWindowBytes" | "streamWindowMessages" {
    return this.#bytes < 0 ? "streamWindowBytes" : "streamWindowMessages";
  }

  /** Counts what the reader took; true when `grant` should be called. */
  release(bytes: number, messages: number): boolean {
    this.#freeBytes += bytes;
    this.#freeMessages += messages;
    const free = this.#freeBytes;
    return (free >= this.#stepBytes && free >= this.#bytes) || this.#freeMessages * 2 >= this.#windowMessages;
  }

  /** What to grant the peer now. */
  grant(): { bytes: number; messages: number } {
    const granted = { bytes: this.#freeBytes, messages: this.#freeMessages };
    this.#bytes += granted.bytes;
    this.#messages += granted.messages;
    this.#freeBytes = 0;
    this.#freeMessages = 0;
    return granted;
  }
}

/** The sending side of a window. */
export class SendWindow {
  constructor(
    public bytes: number,
    public messages: number,
  ) {}

  /** Adds credit; false when the sum is more than 2³¹−1, which no honest peer grants. */
  add(bytes: number, messages: number): boolean {
    this.bytes += bytes;
    this.messages += messages;
    return this.bytes <= 0x7fffffff && this.messages <= 0x7fffffff;
  }
}
