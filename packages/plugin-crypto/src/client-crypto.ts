import { randomBytes } from "node:crypto";
import { checkOptions, type Host, type OptionNames, type Processor } from "@rap/core";
import { type Clock, type RecordCipher, type SecureLayer, type SecureOffer, systemClock } from "@rap/protocol";
import {
  answerTag,
  decodeAnswer,
  deriveSecrets,
  encodeOffer,
  KeyShare,
  offerTag,
  sameTag,
  transcriptOf,
} from "./exchange";
import { Freshness } from "./freshness";
import type { Key } from "./key";
import { type KnownKey, known } from "./keyring";
import { Direction, Records, type RekeyOptions, rekeyLimits } from "./record";
import { type Suite, suitesOf } from "./suite";

export interface ClientCryptoOptions {
  /** Milliseconds that the time in a server's answer may differ from ours, in either direction. Default 60 000. */
  timeout?: number;
  /** Milliseconds that the nonces of servers' answers are remembered; never less than twice `timeout`. Default 120 000. */
  interval?: number;
  /** What may seal records, in order of preference. Default `["aes-256-gcm"]`. */
  suites?: readonly Suite[];
  /**
   * Over TLS, whether the exchange counts only on that very TLS connection. False where something between client and
   * server ends TLS. Default true.
   */
  bindTls?: boolean;
  /** When this side goes on to its next key. */
  rekey?: RekeyOptions;
  /** Measures how long things take. Default: the machine's clock. */
  clock?: Clock;
  /** Wall time in milliseconds since 1970. Default `Date.now`. */
  now?: () => number;
}

const OPTIONS: OptionNames<ClientCryptoOptions> = {
  timeout: true,
  interval: true,
  suites: true,
  bindTls: "boolean",
  rekey: true,
  clock: "clock",
  now: "function",
};

/**
 * Encrypts all connections of a client with a key that it shares with the server, and connects to no server without
 * that key: `client.loadProcessor([new ClientCryptoProcessor("demo_id", key)])`.
 */
export class ClientCryptoProcessor implements Processor {
  readonly kind = "processor";
  readonly secure: SecureLayer;
  readonly #freshness: Freshness;
  readonly #suites: readonly Suite[];
  readonly #bindTls: boolean;
  readonly #rekey: Required<RekeyOptions>;
  readonly #clock: Clock;
  #key: KnownKey;

  /** `keyId` names the key to the server, in the clear. Throws a TypeError or RangeError for a bad argument. */
  constructor(keyId: string, key: Key, options: ClientCryptoOptions = {}) {
    checkOptions("ClientCryptoProcessor", options, OPTIONS);
    const { timeout, interval, clock = systemClock, now } = options;
    this.#key = known(keyId, key);
    this.#freshness = new Freshness({
      clock,
      ...(timeout !== undefined && { timeout }),
      ...(interval !== undefined && { nonceTimeout: interval }),
      ...(now !== undefined && { now }),
    });
    this.#suites = suitesOf(options.suites, ["aes-256-gcm"]);
    this.#bindTls = options.bindTls ?? true;
    this.#rekey = rekeyLimits(options.rekey);
    this.#clock = clock;
    this.secure = {
      offer: (binding) => this.#offer(this.#bindTls ? binding : undefined),
      answer: () => {
        throw sideError();
      },
    };
  }

  /** Connects with another key from now on; connections that are open stay. */
  useKey(keyId: string, key: Key): this {
    this.#key = known(keyId, key);
    return this;
  }

  onStart(host?: Host): void {
    if (host !== undefined) throw sideError();
  }

  #offer(binding: Uint8Array | undefined): SecureOffer {
    const key = this.#key;
    const random = randomBytes(32);
    const share = new KeyShare();
    const body = encodeOffer({
      bound: binding !== undefined,
      suites: this.#suites,
      keyId: key.id,
      time: this.#freshness.now(),
      random,
      share: share.bytes,
    });
    const bytes = Buffer.concat([body, offerTag(key.offerKey, body, binding)]);
    return { bytes, finish: (answer) => this.#finish(key, share, random, bytes, binding, answer) };
  }

  #finish(
    key: KnownKey,
    share: KeyShare,
    random: Uint8Array,
    offer: Uint8Array,
    binding: Uint8Array | undefined,
    bytes: Uint8Array,
  ): RecordCipher {
    const { message: answer, body, tag } = decodeAnswer(bytes);
    const shared = share.agree(answer.share);
    const transcript = transcriptOf(offer, body, binding);
    const secrets = deriveSecrets(key.secret, shared, random, answer.random, transcript);
    shared.fill(0);
    const genuine = sameTag(tag, answerTag(secrets.confirm, transcript));
    if (!genuine || !this.#suites.includes(answer.suite)) throw new Error("the answer is not genuine");
    // A client remembers in memory, so there is no promise here.
    const fresh = this.#freshness.inTime(answer.time) && this.#freshness.admit(key.id, answer.random, answer.time);
    if (!fresh) throw new Error("the answer is not fresh");
    return new Records(
      new Direction(answer.suite, "client", secrets.client, this.#clock),
      new Direction(answer.suite, "server", secrets.server, this.#clock),
      this.#rekey,
      key,
    );
  }
}

function sideError(): TypeError {
  return Object.assign(new TypeError("ClientCryptoProcessor is for a client: a server takes ServerCryptoProcessor"), {
    code: "ERR_RAP_CRYPTO",
  });
}
