import {
  type Check,
  type Container,
  checkOptions,
  given,
  isPort,
  type LifecycleEvent,
  type Logger,
  listOf,
  must,
  type OptionNames,
  optionError,
  withMethods,
} from "@rap/core";
import type { LimitChanges } from "@rap/protocol";
import type { TlsServerOptions, Transport } from "@rap/transport";
import type { LoadOptions } from "./modules";
import type { WorkerPoolOptions } from "./worker";

export interface ServerOptions {
  /** Address to listen on. Default `"127.0.0.1"`. */
  host?: string;
  /** Port to listen on, 0 for any free one. Default 9000. */
  port?: number;
  /** Unix socket to listen on instead of a port. */
  path?: string;
  /** Serves TLS, with Node's own option names; `requestCert` and `ca` make it mutual. Minimum TLS 1.2. */
  tls?: TlsServerOptions;
  /** File of the certificate chain, beside or instead of `tls`, whose own it replaces. */
  sslCertPath?: string;
  /** File of the private key, likewise. */
  sslKeyPath?: string;
  /** Run before the server listens; one that throws keeps it from starting. */
  startEvents?: readonly LifecycleEvent[];
  /** Run after the server has stopped; one that throws is logged. */
  stopEvents?: readonly LifecycleEvent[];
  /** Signals on which `runForever` drains; false for none. Default SIGINT and SIGTERM. */
  signals?: readonly NodeJS.Signals[] | false;
  /** Milliseconds that running calls have when the server stops. Default 30 000. */
  drainTimeout?: number;
  /** Threads of functions with the option `worker`. Default: one per core; each but the last ends after 30 s without work. */
  workers?: WorkerPoolOptions;
  /** Any pino-shaped logger. Default: warnings and errors to standard error. */
  logger?: Logger;
  /** Limits that differ from the defaults. */
  limits?: LimitChanges;
  /** Serves `rap.health.v1`: `Check`, `Watch`, `List`. Default true. */
  health?: boolean;
  /** Serves `rap.reflection.v1`, which describes all that the caller may call. Default false. */
  reflection?: boolean;
  /**
   * Lets local callers load functions from modules in these folders while the server runs, by the private functions
   * `registry/load` and `registry/reload`. That is code which runs in this process: the folders must not be writable
   * for anybody who may not run code here. Default: neither function is there.
   */
  load?: LoadOptions;
  /** Sends message and stack of any error to the caller. For development; default false. */
  exposeErrors?: boolean;
  /** Where services are resolved from, and codec, clock, logger … if they are registered there. */
  container?: Container;
}

export interface ListenOptions {
  host?: string;
  port?: number;
  path?: string;
  /** Stops the server when it fires. */
  signal?: AbortSignal;
  /** Another way to accept connections, with an address of its scheme: `createTestPair` listens in memory. */
  transport?: Transport;
  address?: string;
}

/** A port to listen on. */
const port = must("a whole number from 0 to 65535", (value) => isPort(value, 0));

/** Also those that only other platforms have, as a program may be for several. */
const signal: Check = (value, what) => {
  if (/^SIG(?!KILL$|STOP$)[A-Z0-9]{2,}$/.test(String(value))) return;
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 32)) : given(value);
  throw optionError(`${what} is a signal that a process can listen to, not ${shown}`);
};

const signals = listOf(signal, "a list of signals, or false");

const SERVER_OPTIONS: OptionNames<ServerOptions> = {
  host: "name",
  port,
  path: "name",
  tls: "object",
  sslCertPath: "name",
  sslKeyPath: "name",
  startEvents: true,
  stopEvents: true,
  signals: (value, what) => {
    if (value !== false) signals(value, what);
  },
  drainTimeout: "wait",
  workers: true,
  logger: "logger",
  limits: "object",
  health: "boolean",
  reflection: "boolean",
  load: true,
  exposeErrors: "boolean",
  container: "container",
};

const LISTEN_OPTIONS: OptionNames<ListenOptions> = {
  host: "name",
  port,
  path: "name",
  signal: "signal",
  transport: withMethods("a transport", "listen"),
  address: "name",
};

/** Throws a TypeError (`ERR_RAP_OPTION`, `ERR_RAP_TLS`) for an option that no server has, or a value that it cannot have. */
export function checkServerOptions(options: ServerOptions): void {
  checkOptions("Server", options, SERVER_OPTIONS);
  const { sslCertPath, sslKeyPath, tls } = options;
  if ((sslCertPath === undefined) !== (sslKeyPath === undefined))
    throw tlsError("sslCertPath and sslKeyPath go together");
  if (tls !== undefined && sslCertPath === undefined && !hasCertificate(tls)) {
    throw tlsError("tls of Server has no certificate: it needs cert and key, or pfx (or sslCertPath and sslKeyPath)");
  }
}

/** Without one every handshake would fail, and nobody would say why. */
function hasCertificate({ cert, key, privateKeyIdentifier, pfx, SNICallback }: TlsServerOptions): boolean {
  const own = cert !== undefined && (key ?? privateKeyIdentifier) !== undefined;
  return own || pfx !== undefined || SNICallback !== undefined;
}

function tlsError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_TLS" });
}

/** The same for `listen()`. */
export function checkListenOptions(options: ListenOptions): void {
  checkOptions("listen()", options, LISTEN_OPTIONS);
  if (options.address !== undefined && options.transport === undefined) {
    throw optionError("the option address of listen() goes with a transport: there are host and port, or path");
  }
}
