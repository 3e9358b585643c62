export { type ClientCryptoOptions, ClientCryptoProcessor } from "./client-crypto";
export type { FreshnessOptions, NonceStore } from "./freshness";
export { type Key, passphraseKey } from "./key";
export { Keyring, type Validity } from "./keyring";
export type { RekeyOptions } from "./record";
export { type ServerCryptoOptions, ServerCryptoProcessor } from "./server-crypto";
export type { Suite } from "./suite";
