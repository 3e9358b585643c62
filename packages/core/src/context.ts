import { AsyncLocalStorage } from "node:async_hooks";
import type { CallKind, Metadata, MetadataInit, RapError } from "@rap/protocol";
import type { Logger } from "./logger";

/** What is known of the peer behind a call. */
export interface Connection {
  readonly id: string;
  /** IP address, path of the Unix socket, or `"memory"`. */
  readonly remoteAddress: string;
  /** 0 where there are no ports. */
  readonly remotePort: number;
  /** Whether the peer is on this machine, as the kernel sees it: the rule that private functions go by. */
  readonly local: boolean;
  /** Whether a TLS peer showed a certificate that was verified. */
  readonly authorized: boolean;
  readonly peerCertificate: unknown;
  /** What the peer sent with its handshake. */
  readonly metadata: Metadata | undefined;
  /** Anything the application wants to keep for as long as the connection lives. */
  readonly state: Map<string, unknown>;
  /** Lets the peer go; it is told the reason. */
  close(reason?: string): Promise<void>;
}

/** What is kept for a session on the server, until it ends or its connection dies. */
export interface ServerSession {
  readonly id: string;
  readonly state: Map<string, unknown>;
}

/** The call that is being handled. */
export interface RequestContext {
  readonly id: string;
  readonly kind: CallKind;
  /** The function's registered name. */
  readonly method: string;
  /** The same as `method`. */
  readonly name: string;
  readonly group: string;
  /** Fires when the caller cancels, its time is over, or it is gone. `reason` is a `RapError` that says which. */
  readonly signal: AbortSignal;
  /** Time left, or undefined when the call has no deadline. */
  readonly deadline: { remaining(): number } | undefined;
  /** What the caller sent beside its arguments. */
  readonly metadata: Metadata;
  /** Sent before the first reply; set it before then. */
  readonly responseHeaders: Metadata;
  /** Sent with the end of the call. */
  readonly responseTrailers: Metadata;
  readonly session: ServerSession | undefined;
  readonly conn: Connection;
  /** The same as `conn`. */
  readonly connection: Connection;
  readonly log: Logger;
  /** Values that middleware hands on to the handler. */
  readonly values: Map<symbol, unknown>;
}

/** Something that ends when the call it was made in is cancelled. */
export interface Dependent {
  onScopeCancel(error: RapError): void;
}

/** Options that `withCallOptions` gives to every call made inside. */
export interface InheritedOptions {
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: MetadataInit | undefined;
}

/** What calls inherit from where they are made. */
export interface CallScope {
  /** The request that is being handled there. */
  readonly context: RequestContext | undefined;
  readonly options: InheritedOptions | undefined;
  /** The sessions that calls belong to unless they say otherwise, by the client that makes them. */
  readonly sessions: ReadonlyMap<object, object> | undefined;
  /** Milliseconds that the calls may take at most; undefined: no bound. */
  remaining(): number | undefined;
  /** Tells `dependent` when the surrounding call is cancelled (at once if it is already); give it back when done. */
  addDependent(dependent: Dependent): void;
  removeDependent(dependent: Dependent): void;
}

/** Carries the scope through awaits, timers and callbacks. */
export const callScope = new AsyncLocalStorage<CallScope>();

/** The call that is being handled, from anywhere inside the handler. Throws a TypeError outside of one. */
export function context(): RequestContext {
  const found = tryContext();
  if (found !== undefined) return found;
  throw Object.assign(new TypeError("context() is only there inside a function that rap called"), {
    code: "ERR_RAP_NO_CONTEXT",
  });
}

/** The same, undefined outside of a handler. */
export function tryContext(): RequestContext | undefined {
  return callScope.getStore()?.context;
}

/**
 * Runs `fn` so that every call made inside has these options, or this session if it is made by this client, unless it
 * says otherwise itself.
 */
export function runInScope<R>(
  { options, session }: { options?: InheritedOptions; session?: readonly [client: object, session: object] },
  fn: () => R,
): R {
  const outer = callScope.getStore();
  const scope: CallScope = {
    context: outer?.context,
    options: options === undefined ? outer?.options : { ...outer?.options, ...options },
    sessions: session === undefined ? outer?.sessions : new Map([...(outer?.sessions ?? []), session]),
    remaining: () => outer?.remaining(),
    addDependent: (dependent) => outer?.addDependent(dependent),
    removeDependent: (dependent) => outer?.removeDependent(dependent),
  };
  return callScope.run(scope, fn);
}

/** Runs `fn` as outside of any call: what it does inherits no deadline, no cancellation and no session. */
export function runOutOfScope<R>(fn: () => R): R {
  return callScope.run(undefined as never, fn);
}
