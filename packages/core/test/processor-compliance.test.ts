import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { HEAD_BYTES, Kind, type RecordCipher, type SecureLayer, writeHead } from "@rap/protocol";
import type { Envelope, Processor } from "../src";
import { processorCompliance } from "../src/compliance";

processorCompliance("that only looks", {
  client: () => ({ kind: "processor" }),
  server: () => ({ onRequest: (message) => message }),
});

/** Turns bodies into text and back, each end its own direction. */
const write = async (message: Envelope) => ({ ...message, body: [JSON.stringify([message.body], bytesToText)] });
const read = async (message: Envelope) => ({
  ...message,
  body: JSON.parse((message.body as [string])[0], textToBytes)[0],
});
const bytesToText = (_: string, value: unknown) => (value instanceof Uint8Array ? { bytes: [...value] } : value);
const textToBytes = (_: string, value: any) => (value?.bytes === undefined ? value : Uint8Array.from(value.bytes));

processorCompliance("that changes bodies, asynchronously", {
  client: () => ({ onRequest: write, onResponse: read }),
  server: () => ({ onRequest: read, onResponse: write }),
});

/** The smallest secure layer there is: a key known to both, made fresh by a random number of each. For the suite only. */
class Sealed implements Processor {
  readonly kind = "processor";
  readonly secure: SecureLayer = {
    offer() {
      const offer = randomBytes(16);
      return { bytes: offer, finish: (answer) => new Cipher(keys(offer, answer)) };
    },
    answer(offer) {
      const answer = randomBytes(16);
      return { bytes: answer, cipher: new Cipher(keys(offer, answer).reverse()) };
    },
  };
}

/** The keys of both directions, the client's first. */
function keys(offer: Uint8Array, answer: Uint8Array): Buffer[] {
  const key = (from: string) => createHmac("sha256", "known to both").update(from).update(offer).update(answer);
  return [key("client").digest(), key("server").digest()];
}

class Cipher implements RecordCipher {
  readonly overhead = 16;
  #sealed = 0n;
  #opened = 0n;
  #keys: readonly Buffer[];

  /** This side's key and then the other's. */
  constructor(both: readonly Buffer[]) {
    this.#keys = both;
  }

  seal(bytes: Uint8Array): Uint8Array {
    const head = new Uint8Array(HEAD_BYTES);
    writeHead(head, 0, bytes.length + this.overhead, Kind.SEALED, 0, 0);
    const cipher = createCipheriv("aes-256-gcm", this.#keys[0] as Buffer, nonce(this.#sealed++), { authTagLength: 16 });
    cipher.setAAD(head);
    return Buffer.concat([head, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }

  open(frame: Uint8Array): Uint8Array {
    const key = this.#keys[1] as Buffer;
    const cipher = createDecipheriv("aes-256-gcm", key, nonce(this.#opened++), { authTagLength: 16 });
    cipher.setAAD(frame.subarray(0, HEAD_BYTES)).setAuthTag(frame.subarray(frame.length - 16));
    return Buffer.concat([cipher.update(frame.subarray(HEAD_BYTES, -16)), cipher.final()]);
  }

  close(): void {
    this.#keys = [];
  }
}

function nonce(sequence: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(sequence, 4);
  return bytes;
}

processorCompliance("that makes connections secure", { client: () => new Sealed(), server: () => new Sealed() });
