import { types } from "node:util";

const EXPLANATIONS: Readonly<Record<string, string | undefined>> = {
  ERR_SSL_HTTP_REQUEST: "the peer speaks HTTP, not TLS",
  ERR_SSL_NO_APPLICATION_PROTOCOL: "the peers share no ALPN protocol",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "the peer does not speak TLS",
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "the peer showed no certificate",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "the peer refused our certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "the peer refused our certificate, which has expired",
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: "the peers share no ALPN protocol",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: "the peers share no TLS version",
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "the peer does not trust who signed our certificate",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: "the peer wants a certificate from us",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "the peers share no TLS version",
  ERR_SSL_WRONG_VERSION_NUMBER: "the peer does not speak TLS",
  ERR_TLS_HANDSHAKE_TIMEOUT: "the peer did not finish the TLS handshake in time",
};

/**
 * An error of Node's in words that a person understands, with the same `code` and the original as `cause`; itself where
 * it is clear already. OpenSSL's messages name a source line, and one for several addresses has no message at all.
 */
export function explained(error: Error): Error {
  const { code = "", reason, errors } = error as { code?: string; reason?: string; errors?: Error[] };
  const text = EXPLANATIONS[code] ?? reason ?? errors?.map(({ message }) => message).join(", ");
  return text === undefined ? error : Object.assign(new Error(text, { cause: error }), { code });
}

/** An {@link explained} error that says what failed at which address. */
export function addressError(action: string, address: string, value: unknown): Error {
  const error: Error & { code?: string } = explained(toError(value));
  const { message, code = "ECONNABORTED", cause = error } = error;
  return Object.assign(new Error(`cannot ${action} ${address}: ${message}`, { cause }), { code, address });
}

/** The error of a peer that let `closeTimeout` pass. */
export function closeTimeoutError(ms: number): Error {
  return Object.assign(new Error(`the peer did not finish within ${ms} ms`), { code: "ETIMEDOUT" });
}

/** Whatever was thrown, as an error. */
export function toError(value: unknown): Error {
  // Not instanceof: in a vm context, as in Jest, Node's own errors are of another realm.
  return types.isNativeError(value) ? value : new Error("a value that is not an error was thrown", { cause: value });
}
