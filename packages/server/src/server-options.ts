import {
  type Container,
  checkOptions,
  type LifecycleEvent,
  type Logger,
  type OptionNames,
  optionError,
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
  /** File of the certificate chain, instead of `tls`. */
  sslCertPath?: string;
  /** File of the private key, instead of `tls`. */
  sslKeyPath?: string;
  /** Run before the server listens; one that throws keeps it from starting. */
  startEvents?: readonly LifecycleEvent[];
  /** Run after the server has stopped; one that throws is logged. */
  stopEvents?: readonly LifecycleEvent[];
  /** Signals on which `runForever` drains; false for none. Default SIGINT and SIGTERM. */
  signals?: readonly NodeJS.Signals[] | false;
  /** Milliseconds that running calls have when the server stops. Default 30 000. */
  drainTimeout?: number;
  /** Threads of functions with the option `worker`. Default: one per core, each ends after 30 s without work. */
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

const SERVER_OPTIONS: OptionNames<ServerOptions> = {
  host: "string",
  port: true,
  path: "string",
  tls: "object",
  sslCertPath: "string",
  sslKeyPath: "string",
  startEvents: true,
  stopEvents: true,
  signals: true,
  drainTimeout: "number",
  workers: true,
  logger: true,
  limits: "object",
  health: "boolean",
  reflection: "boolean",
  load: true,
  exposeErrors: "boolean",
  container: "object",
};

const LISTEN_OPTIONS: OptionNames<ListenOptions> = {
  host: "string",
  port: true,
  path: "string",
  signal: "object",
  transport: "object",
  address: "string",
};

/** Throws a TypeError (`ERR_RAP_OPTION`) for an option that no server has, or a value of another type. */
export function checkServerOptions(options: ServerOptions): void {
  checkOptions("Server", options, SERVER_OPTIONS);
  const { signals = false, drainTimeout = 0, logger } = options;
  if (signals !== false && !Array.isArray(signals)) throw optionError("signals of Server is a list of names, or false");
  if (logger !== undefined && !isLogger(logger)) {
    throw optionError("logger of Server has the methods debug, info, warn and error, as pino's have");
  }
  if (!(drainTimeout >= 0)) throw optionError(`drainTimeout of Server is 0 or more milliseconds, not ${drainTimeout}`);
}

/** By its methods: there are loggers that are functions (Roarr's). */
function isLogger(value: Logger | null): boolean {
  const { debug, info, warn, error } = value ?? ({} as Partial<Logger>);
  return [debug, info, warn, error].every((method) => typeof method === "function");
}

/** The same for `listen()`. */
export function checkListenOptions(options: ListenOptions): void {
  checkOptions("listen()", options, LISTEN_OPTIONS);
}
