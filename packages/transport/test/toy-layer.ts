import { HEAD_BYTES, Kind, type RecordCipher, type SecureLayer, writeHead } from "@rap/protocol";

/** Bytes of a record beside its head and what it holds. */
export const OVERHEAD = 5;

/** Counts records and flips their bits: enough to see that all passes through it, and in order. */
export class ToyCipher implements RecordCipher {
  readonly overhead = OVERHEAD;
  sealed = 0;
  opened = 0;
  closed = false;
  largest = 0;
  /** Records after which no more are sealed. */
  last = Number.POSITIVE_INFINITY;

  seal(bytes: Uint8Array): Uint8Array {
    if (this.sealed === this.last) throw new Error("the key is used up");
    this.largest = Math.max(this.largest, bytes.length);
    const frame = new Uint8Array(HEAD_BYTES + OVERHEAD + bytes.length);
    writeHead(frame, 0, OVERHEAD + bytes.length, Kind.SEALED, 0, 0);
    frame[HEAD_BYTES] = this.sealed++;
    frame.set(
      bytes.map((byte) => byte ^ 0xff),
      HEAD_BYTES + OVERHEAD,
    );
    return frame;
  }

  open(frame: Uint8Array): Uint8Array {
    if (frame[HEAD_BYTES] !== (this.opened++ & 0xff)) throw new Error("out of order");
    return frame.slice(HEAD_BYTES + OVERHEAD).map((byte) => byte ^ 0xff);
  }

  close(): void {
    this.closed = true;
  }
}

/** A layer whose ciphers are in `ciphers`; `answer` may be held up or refuse. */
export function toy(answering: () => Promise<void> | void = () => {}, reply = "answer") {
  const ciphers: ToyCipher[] = [];
  const cipher = () => {
    const made = new ToyCipher();
    ciphers.push(made);
    return made;
  };
  const layer: SecureLayer = {
    offer: () => ({
      bytes: Buffer.from("offer"),
      finish(answer) {
        if (Buffer.from(answer).toString() !== "answer") throw new Error("no answer");
        return cipher();
      },
    }),
    async answer(offer) {
      await answering();
      if (Buffer.from(offer).toString() !== "offer") throw new Error("no offer");
      return { bytes: Buffer.from(reply), cipher: cipher() };
    },
  };
  return { layer, ciphers };
}
