import type { Connection, Logger, RequestContext, ServerSession } from "@rap/core";
import {
  type CallKind,
  decodeMetadata,
  isMetadataError,
  Metadata,
  type OpenHead,
  RapError,
  Shape,
} from "@rap/protocol";
import type { ServerCall } from "./answer";
import type { ServerConnection } from "./server-connection";
import { SESSION_KEY } from "./sessions";

const KINDS: readonly CallKind[] = ["unary", "server_stream", "client_stream", "bidi_stream", "channel"];

/** What a function, and what is around it, sees of its call. Made when somebody looks at it, or the call is a channel. */
export class CallContext implements RequestContext {
  readonly #call: ServerCall;
  #metadata: Metadata | undefined;
  #log: Logger | undefined;
  #values: Map<symbol, unknown> | undefined;
  #headers: Metadata | undefined;
  #trailers: Metadata | undefined;

  /** `metadata`: what the caller sent, if it sent any. */
  constructor(call: ServerCall, metadata: Metadata | undefined) {
    this.#call = call;
    this.#metadata = metadata;
  }

  /** For a call that came with metadata. Throws what the caller is told if it is no good. */
  static read(call: ServerCall, { metadataStart, metadataEnd }: OpenHead, bytes: Uint8Array): CallContext {
    const metadata = readMetadata(bytes, metadataStart, metadataEnd, call.connection);
    const id = metadata.get(SESSION_KEY);
    if (id !== undefined) {
      call.session = call.connection.session(id);
      // Not the function's: it may pass its metadata on, to a server that knows no such session.
      metadata.delete(SESSION_KEY);
    }
    return new CallContext(call, metadata);
  }

  /** The call behind a context: not for functions to find. */
  static callOf(context: CallContext): ServerCall {
    return context.#call;
  }

  /** What goes before the result, if anybody asked for it. */
  static headersOf(context: CallContext | undefined): Metadata | undefined {
    return context === undefined ? undefined : context.#headers;
  }

  /** What goes after the result, if anybody asked for it. */
  static trailersOf(context: CallContext | undefined): Metadata | undefined {
    return context === undefined ? undefined : context.#trailers;
  }

  get id(): string {
    const { connection, stream } = this.#call;
    return `${connection.id}-${stream.id}`;
  }

  get kind(): CallKind {
    return KINDS[this.#call.stream.shape]!;
  }

  get method(): string {
    return this.#call.method.name;
  }

  get name(): string {
    return this.#call.method.name;
  }

  get group(): string {
    return this.#call.method.group;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  get deadline(): { remaining(): number } | undefined {
    const call = this.#call;
    return call.remaining() === undefined ? undefined : { remaining: () => call.remaining()! };
  }

  get metadata(): Metadata {
    this.#metadata ??= new Metadata();
    return this.#metadata;
  }

  get responseHeaders(): Metadata {
    this.#headers ??= new Metadata();
    return this.#headers;
  }

  get responseTrailers(): Metadata {
    this.#trailers ??= new Metadata();
    return this.#trailers;
  }

  get session(): ServerSession | undefined {
    const call = this.#call;
    // A stream outside a session has one of its own, which ends with it.
    if (call.stream.shape !== Shape.UNARY) call.session ??= call.connection.ownSession();
    return call.session;
  }

  get conn(): Connection {
    return this.#call.connection;
  }

  get connection(): Connection {
    return this.#call.connection;
  }

  get log(): Logger {
    if (this.#log === undefined) {
      const { connection, method } = this.#call;
      const { logger } = connection.server;
      this.#log = logger.child?.({ method: method.target, call: this.id }) ?? logger;
    }
    return this.#log;
  }

  get values(): Map<symbol, unknown> {
    this.#values ??= new Map();
    return this.#values;
  }
}

function readMetadata(bytes: Uint8Array, start: number, end: number, connection: ServerConnection): Metadata {
  try {
    return decodeMetadata(bytes, start, end);
  } catch (error) {
    if (isMetadataError(error) && error.limit !== undefined) connection.onRefused(error.limit);
    throw new RapError("INVALID_ARGUMENT", (error as Error).message, { cause: error, maybeExecuted: false });
  }
}
