import { runInScope, runOutOfScope } from "@rap/core";
import { type AnyFn, type Metadata, RapError, Shape } from "@rap/protocol";
import { type Connection, REFUSED, WheelEntry } from "@rap/transport";
import type { CallQueue, Waiting } from "./call-queue";
import type { Client } from "./client";
import { type CallOptions, checkFunction, checkRecord } from "./options";
import type { ClientCore } from "./pool";
import type { KindArgs, RemoteFn, RemoteService } from "./remote-function";
import { UnaryCall } from "./send";
import { targetOf } from "./target";
import { WaitingCalls } from "./waiting-calls";

/**
 * Calls that go over one connection to one server, which can keep state for them: `await using s = await
 * client.openSession()`. A session whose connection is gone fails its calls; it never moves to another server.
 */
export interface Session extends AsyncDisposable {
  /** Unguessable; the server sees it in `context().session`. */
  readonly id: string;
  /** Whether it takes no calls any more: it was closed, or its connection is going or gone. */
  readonly closed: boolean;
  /** Runs `fn` so that every call made inside belongs to the session. */
  run<R>(fn: () => R): R;
  /** Calls a registered function in the session. */
  invoke<A extends readonly unknown[], R>(fn: RemoteFn<A, R>, args: A, options?: CallOptions): R;
  /** Like a database cursor: a registered function, a name, or a thunk that makes calls. */
  execute<A extends readonly unknown[], R>(fn: RemoteFn<A, R>, args: A, options?: CallOptions): R;
  execute<R = unknown>(name: string, args: readonly unknown[], options?: CallOptions): Promise<R>;
  execute<R>(call: () => R): R;
  /** A group as one typed object, as `client.service`, in the session. */
  service<S>(group: string, ...rest: KindArgs<S>): RemoteService<S>;
  /** Ends the session; the server drops what it kept for it. */
  close(): Promise<void>;
}

/** The group of the server's functions that open and close sessions. */
const GROUP = "rap.session.v1";
/** Milliseconds that the end of a session may take; the server drops it with its connection anyway. */
const CLOSE_TIMEOUT = 2_000;
/** Milliseconds after which it is tried again, at the earliest, when the server refused it. */
const REFUSED_PAUSE = 100;

/** Opens a session on the least busy connection. */
export async function openSession(client: Client, core: ClientCore, options: CallOptions): Promise<ClientSession> {
  const target = targetOf(GROUP, "Open", { ...options, session: null });
  let call!: OpenCall;
  const id = await new Promise((resolve, reject) => {
    call = new OpenCall(core, target, Shape.UNARY, [], resolve, reject);
    call.onAbandoned = (opened) => void new ClientSession(client, core, opened, call.connection).close();
    call.launch();
  });
  return new ClientSession(client, core, String(id), call.connection);
}

/** Ends a session on the server, whatever has become of the call or the block that it was used in; gives the error if it failed. */
function closeOnServer(core: ClientCore, connection: Connection, id: string): Promise<RapError | undefined> {
  const target = targetOf(GROUP, "Close", { session: null, timeout: CLOSE_TIMEOUT });
  return runOutOfScope(
    () =>
      new Promise((resolve) => {
        new UnaryCall(core, target, Shape.UNARY, [id], () => resolve(undefined), resolve).launchOn(connection);
      }),
  );
}

/** A call that opens a session. One that its caller has given up is still heard to its end: what it opens is closed. */
class OpenCall extends UnaryCall {
  onAbandoned!: (id: string) => void;
  #opened: unknown;

  override cancel(error: RapError): void {
    this.fail(error);
  }

  override receive(body: unknown): void {
    this.#opened = body;
    super.receive(body);
  }

  override onEnd(trailers: Metadata | undefined): void {
    const abandoned = this.settled;
    super.onEnd(trailers);
    // Like any other end of a session it waits for room: beyond the server's limit it would be refused.
    if (abandoned && this.#opened !== undefined) this.onAbandoned(String(this.#opened));
  }
}

/** The session itself: the connection that its calls are pinned to, and those that wait for room on it. */
export class ClientSession implements Session {
  readonly id: string;
  /** The client that it belongs to. */
  readonly core: ClientCore;
  readonly #client: Client;
  readonly #connection: Connection;
  readonly #waiting = new WaitingCalls();
  /** The end of the session, when it has to wait. */
  readonly #ending = new Ending(
    () => void this.#end(),
    () => this.#endLater(),
  );
  #closed = false;
  #left = false;

  constructor(client: Client, core: ClientCore, id: string, connection: Connection) {
    this.#client = client;
    this.core = core;
    this.id = id;
    this.#connection = connection;
    connection.holds++;
    core.pool.sessions.add(this);
  }

  get closed(): boolean {
    return this.#closed || this.#connection.draining;
  }

  run<R>(fn: () => R): R {
    checkFunction(fn, "run() takes a function");
    return runInScope({ session: [this.core, this] }, fn);
  }

  invoke<A extends readonly unknown[], R>(fn: RemoteFn<A, R>, args: A, options?: CallOptions): R {
    return this.#client.invoke(fn, args, this.#with(options));
  }

  execute(what: AnyFn | string, args?: readonly unknown[], options?: CallOptions): never {
    if (typeof what !== "string") checkFunction(what, "execute() takes a function, or a name");
    const result =
      typeof what === "string"
        ? this.#client.invokeByName(what, args, this.#with(options))
        : args === undefined
          ? this.run(what as () => unknown)
          : this.#client.invoke(what, args as unknown[], this.#with(options));
    return result as never;
  }

  service<S>(group: string, ...rest: KindArgs<S>): RemoteService<S> {
    const [kinds, options] = rest as [kinds: never, options?: CallOptions];
    return this.#client.service<S>(group, ...([kinds, this.#with(options)] as unknown as KindArgs<S>));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.drop(closedError);
    if (this.#connection.hasRoom(Shape.UNARY)) return this.#end();
    // There is none while calls run: the server is told when there is, and nobody need wait for that.
    this.#endLater();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // From calls and the pool.

  /** The session's connection if it has room for a call of this shape. Throws RapError when it is gone. */
  pick(shape: Shape): Connection | undefined {
    if (this.#closed) throw closedError();
    if (this.#connection.draining) throw lostError();
    return this.#connection.hasRoom(shape) ? this.#connection : undefined;
  }

  /** Calls that wait for room. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Lets a call wait for room. Throws RapError when too many do already. */
  enqueue(call: Waiting): void {
    this.#waiting.add(call, this.core);
  }

  /** There may be room on the connection, or the connection may be gone. */
  serve(): void {
    const connection = this.#connection;
    if (connection.draining) this.#waiting.drop(lostError);
    if (this.#waiting.size > 0) this.#waiting.serve((shape) => (connection.hasRoom(shape) ? connection : undefined));
    if (connection.closed) this.#leave();
  }

  #with(options: CallOptions = {}): CallOptions {
    return { ...checkRecord(options), session: this };
  }

  async #end(): Promise<void> {
    if (!this.#connection.closed) {
      const error = await closeOnServer(this.core, this.#connection, this.id);
      // The server counts functions that outlive their time, too; or another call took the room while a processor had it.
      if (error?.reason === REFUSED && error.retryAfterMs !== -1 && !this.#connection.closed) {
        this.core.wheel.add(this.#ending, Math.max(error.retryAfterMs ?? 0, REFUSED_PAUSE));
        return;
      }
    }
    this.#leave();
  }

  #endLater(): void {
    this.#waiting.push(this.#ending);
    this.serve();
  }

  #leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.core.wheel.remove(this.#ending);
    this.#connection.holds--;
    this.core.pool.sessions.delete(this);
  }
}

/** The end of a session: waits for room like a call, and for its time after a refusal. */
class Ending extends WheelEntry implements Waiting {
  readonly shape = Shape.UNARY;
  readonly waitsForReady = true;
  queue: CallQueue | undefined = undefined;
  nextWaiting: Waiting | undefined = undefined;
  previousWaiting: Waiting | undefined = undefined;

  constructor(
    readonly begin: () => void,
    readonly waitForRoom: () => void,
  ) {
    super();
  }

  giveUp(): void {
    this.begin();
  }

  override expire(): void {
    this.waitForRoom();
  }
}

function closedError(): RapError {
  return new RapError("FAILED_PRECONDITION", "the session is closed", { maybeExecuted: false });
}

function lostError(): RapError {
  return new RapError("UNAVAILABLE", "the connection of the session is gone, and the session with it", {
    origin: "transport",
    maybeExecuted: false,
  });
}
