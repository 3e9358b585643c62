import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import type { FrameCipher, SecureExchange } from "@rap/protocol";
import type { Envelope, Processor } from "../src";
import { processorCompliance } from "../src/compliance";

processorCompliance("that only looks", { client: () => ({}), server: () => ({ onRequest: (message) => message }) });

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
  readonly secure = {
    extension: 0x8001,
    offer: (): SecureExchange => new Exchange("client"),
    answer: (): SecureExchange => new Exchange("server"),
  };
}

class Exchange implements SecureExchange {
  readonly bytes = randomBytes(16);

  constructor(readonly side: "client" | "server") {}

  finish(_peer: Uint8Array, clientHello: Uint8Array, serverHello: Uint8Array): FrameCipher {
    const key = (from: string) =>
      createHmac("sha256", "known to both").update(from).update(clientHello).update(serverHello);
    const [mine, theirs] = this.side === "client" ? ["client", "server"] : ["server", "client"];
    return new Cipher(key(mine as string).digest(), key(theirs as string).digest());
  }
}

class Cipher implements FrameCipher {
  readonly overhead = 16;
  #sealed = 0n;
  #opened = 0n;

  constructor(
    readonly mine: Buffer,
    readonly theirs: Buffer,
  ) {}

  seal(head: Uint8Array, payload: Uint8Array): Uint8Array {
    const cipher = createCipheriv("aes-256-gcm", this.mine, nonce(this.#sealed++), { authTagLength: 16 }).setAAD(head);
    return Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  }

  open(head: Uint8Array, payload: Uint8Array): Uint8Array {
    const cipher = createDecipheriv("aes-256-gcm", this.theirs, nonce(this.#opened++), { authTagLength: 16 });
    cipher.setAAD(head).setAuthTag(payload.subarray(payload.length - 16));
    return Buffer.concat([cipher.update(payload.subarray(0, -16)), cipher.final()]);
  }

  close(): void {}
}

function nonce(sequence: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(sequence, 4);
  return bytes;
}

processorCompliance("that makes connections secure", { client: () => new Sealed(), server: () => new Sealed() });
