import { type Container, checkOptions, type LifecycleEvent, listOf, must, type OptionNames } from "@rap/core";
import type { LimitChanges, MetadataInit } from "@rap/protocol";
import type { TlsClientOptions, Transport } from "@rap/transport";

export interface ClientOptions {
  /** Addresses to call: `"tcp://host:port"`, `"tls://host:port"`, `"unix:/path"`. More can be added with `addConn`. */
  target?: string | readonly string[];
  /** TLS to every `host:port`, with Node's own option names. The host's name is verified. Minimum TLS 1.2. */
  tls?: TlsClientOptions;
  /** File of the certificate to trust, beside or instead of `tls`, whose `ca` it replaces. */
  sslCertPath?: string;
  /** Run before the client connects; one that throws keeps it from starting. */
  startEvents?: readonly LifecycleEvent[];
  /** Run after the client has stopped; one that throws is reported as a warning. */
  stopEvents?: readonly LifecycleEvent[];
  /** Milliseconds a call with one result may take. Default 30 000. */
  timeout?: number;
  /**
   * Pings while calls or sessions are open and nothing comes; false for none, from the server neither. Default
   * `{ interval: 30_000, timeout: 10_000 }`.
   */
  keepalive?: { interval?: number; timeout?: number } | false;
  /** Milliseconds before the first and between later tries to reconnect, at most. Default `{ initial: 200, max: 30_000 }`. */
  reconnect?: { initial?: number; max?: number };
  /**
   * Asks every server for its health, and sends no new calls to one that does not serve: `true` for the server as a
   * whole, or the name of a service. Default false.
   */
  health?: boolean | string;
  /** Sent with the handshake; the server sees it on the connection. */
  metadata?: MetadataInit;
  /** Limits that differ from the defaults. */
  limits?: LimitChanges;
  /** Further ways to connect, by the scheme of an address. */
  transports?: readonly Transport[];
  /** Where codec, clock and randomness come from if they are registered there. */
  container?: Container;
  /** There is no retry by policy yet: false says what is so. */
  retry?: false;
}

const addresses = listOf("name", "an address, or a list of them");

const transport = must("a transport with a scheme and the method dial", (value) => {
  const { scheme, dial } = (value ?? {}) as Partial<Transport>;
  return typeof scheme === "string" && typeof dial === "function";
});

const CLIENT_OPTIONS: OptionNames<ClientOptions & PlannedClientOptions> = {
  target: (value, what) => {
    if (typeof value !== "string") addresses(value, what);
  },
  tls: "object",
  sslCertPath: "name",
  startEvents: true,
  stopEvents: true,
  timeout: "time",
  health: must(
    "a boolean, or the name of a service",
    (value) => typeof value === "boolean" || typeof value === "string",
  ),
  keepalive: (value) => {
    if (value !== false) checkOptions("keepalive", value as object, { interval: "time", timeout: "time" });
  },
  reconnect: (value) => checkOptions("reconnect", value as object, { initial: "time", max: "time" }),
  metadata: true,
  limits: "object",
  transports: listOf(transport),
  container: "container",
  balancer: "planned",
  pool: "planned",
  retry: "planned",
  retryBudget: "planned",
};

/** Options of what is to come: an error until it is there, as one without effect would mislead. */
type PlannedClientOptions = { balancer?: unknown; pool?: unknown; retryBudget?: unknown };

/** Throws a TypeError (`ERR_RAP_OPTION`) for an option that no client has, or a value that it cannot have. */
export function checkClientOptions(options: ClientOptions): void {
  checkOptions("Client", options, CLIENT_OPTIONS);
}
