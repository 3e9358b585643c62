import { randomBytes } from "node:crypto";
import {
  checkOptions,
  given,
  type Host,
  type Logger,
  type OptionNames,
  PrivateFunctions,
  type Processor,
  withMethods,
} from "@rap/core";
import { type Clock, messageOf, RapError, type SecureAnswer, type SecureLayer, systemClock } from "@rap/protocol";
import {
  answerTag,
  decodeOffer,
  deriveSecrets,
  encodeAnswer,
  KeyShare,
  type Offer,
  offerTag,
  sameTag,
  transcriptOf,
} from "./exchange";
import { Freshness, type FreshnessOptions } from "./freshness";
import { type Key, keyError } from "./key";
import { Keyring, type KnownKey } from "./keyring";
import { Direction, Records, type RekeyOptions, rekeyLimits } from "./record";
import { type Suite, suitesOf } from "./suite";

export interface ServerCryptoOptions extends FreshnessOptions {
  /** What may seal records; of those that are here the client's preference counts. Default both. */
  suites?: readonly Suite[];
  /** When this side goes on to its next key. */
  rekey?: RekeyOptions;
}

const OPTIONS: OptionNames<ServerCryptoOptions> = {
  timeout: true,
  nonceTimeout: true,
  nonceStore: withMethods("a store", "add"),
  maxNonces: true,
  now: "function",
  clock: "clock",
  suites: true,
  rekey: true,
};

/**
 * Encrypts all connections of a server with keys that it shares with its clients, and refuses every client without
 * one: `server.loadProcessor([new ServerCryptoProcessor({ demo_id: key })])`. What it refuses is told nothing, and is
 * logged at debug level.
 */
export class ServerCryptoProcessor implements Processor {
  readonly kind = "processor";
  readonly secure: SecureLayer;
  /** The keys, to change them while the server runs. */
  readonly keyring = new Keyring();
  readonly #freshness: Freshness;
  readonly #suites: readonly Suite[];
  readonly #rekey: Required<RekeyOptions>;
  readonly #clock: Clock;
  readonly #functions: PrivateFunctions;
  #logger: Logger | undefined;

  /**
   * `keys` by their ids; more can be added to the `keyring`, also with a time in which they are valid. Throws a TypeError
   * or RangeError for a bad argument.
   */
  constructor(keys: Readonly<Record<string, Key>>, options: ServerCryptoOptions = {}) {
    checkOptions("ServerCryptoProcessor", options, OPTIONS);
    this.#add(keys);
    this.#freshness = new Freshness(options);
    this.#suites = suitesOf(options.suites);
    this.#rekey = rekeyLimits(options.rekey);
    this.#clock = options.clock ?? systemClock;
    this.secure = {
      offer: () => {
        throw sideError();
      },
      answer: (offer, binding) => this.#answer(offer, binding),
    };
    this.#functions = new PrivateFunctions("ServerCryptoProcessor", {
      getCryptoKeyIdList: () => this.keyring.ids(),
      addCryptoKeys: (keys: Readonly<Record<string, Key>>) => argument(() => this.#add(keys)),
      removeCryptoKey: (id: string) => this.keyring.remove(id),
      modifyCryptoTimeout: (ms: number) =>
        argument(() => {
          this.#freshness.timeout = ms;
        }),
      modifyCryptoNonceTimeout: (ms: number) =>
        argument(() => {
          this.#freshness.nonceTimeout = ms;
        }),
    });
  }

  onStart(host?: Host): void {
    if (host === undefined) throw sideError();
    this.#logger = host.logger;
    if (this.keyring.ids().length === 0)
      host.logger.warn({}, "ServerCryptoProcessor has no key yet: nobody can connect");
    this.#functions.register(host);
  }

  /** All of them or, when one is bad, none. */
  #add(keys: Readonly<Record<string, Key>>): void {
    if (typeof keys !== "object" || keys === null || Symbol.iterator in keys)
      throw keyError("keys are a record of keys by their ids");
    for (const keyring of [new Keyring(), this.keyring]) {
      for (const [id, key] of Object.entries(keys)) keyring.add(id, key);
    }
  }

  async #answer(bytes: Uint8Array, binding: Uint8Array | undefined): Promise<SecureAnswer> {
    try {
      const { message: offer, body, tag } = decodeOffer(bytes);
      const key = this.keyring.find(offer.keyId);
      const genuine = sameTag(tag, offerTag(key.offerKey, body, offer.bound ? binding : undefined));
      const suite = offer.suites.find((each) => this.#suites.includes(each));
      const refusal = this.#whyRefused(offer, key, genuine, suite, binding);
      if (refusal !== undefined || suite === undefined) throw new Error(refusal);
      if (!(await this.#admit(key, offer))) throw new Error("it was here before");
      return this.#accept(key, suite, offer, bytes, offer.bound ? binding : undefined);
    } catch (error) {
      this.#logger?.debug({ reason: messageOf(error) }, "a client was refused");
      throw error;
    }
  }

  /** Whether an offer is new. A store that cannot say is the operator's trouble, and is not only logged for who looks closely. */
  async #admit(key: KnownKey, offer: Offer): Promise<boolean> {
    try {
      const admitted: unknown = await this.#freshness.admit(key.id, offer.random, offer.time);
      // A Set has an `add` as well, and what that gives would let every nonce through.
      if (typeof admitted !== "boolean") throw new TypeError(`add() gave ${given(admitted)} instead of true or false`);
      return admitted;
    } catch (error) {
      this.#logger?.error({ err: error }, "the nonce store of ServerCryptoProcessor failed");
      throw error;
    }
  }

  /** For the log: all of it was found out before any of it is looked at, so that the peer can tell nothing apart. */
  #whyRefused(
    offer: Offer,
    key: KnownKey,
    genuine: boolean,
    suite: Suite | undefined,
    binding: Uint8Array | undefined,
  ): string | undefined {
    const now = this.#freshness.now();
    const inTime = this.#freshness.inTime(offer.time);
    if (offer.bound && binding === undefined) return "it is bound to a TLS connection that ends elsewhere";
    if (!genuine) return "its key is not known, or is another";
    if (now < key.notBefore || now > key.notAfter) return "its key is not valid now";
    if (!inTime) return `its clock and ours differ by ${Math.abs(now - offer.time)} ms`;
    return suite === undefined ? "it offers no suite that is allowed" : undefined;
  }

  #accept(key: KnownKey, suite: Suite, offer: Offer, bytes: Uint8Array, binding: Uint8Array | undefined): SecureAnswer {
    const random = randomBytes(32);
    const share = new KeyShare();
    const shared = share.agree(offer.share);
    const body = encodeAnswer({ suite, time: this.#freshness.now(), random, share: share.bytes });
    const transcript = transcriptOf(bytes, body, binding);
    const secrets = deriveSecrets(key.secret, shared, offer.random, random, transcript);
    shared.fill(0);
    const cipher = new Records(
      new Direction(suite, "server", secrets.server, this.#clock),
      new Direction(suite, "client", secrets.client, this.#clock),
      this.#rekey,
      key,
    );
    return { bytes: Buffer.concat([body, answerTag(secrets.confirm, transcript)]), cipher };
  }
}

/** A bad argument is the caller's mistake. */
function argument(step: () => void): void {
  try {
    step();
  } catch (error) {
    throw new RapError("INVALID_ARGUMENT", messageOf(error));
  }
}

function sideError(): TypeError {
  return Object.assign(new TypeError("ServerCryptoProcessor is for a server: a client takes ClientCryptoProcessor"), {
    code: "ERR_RAP_CRYPTO",
  });
}
