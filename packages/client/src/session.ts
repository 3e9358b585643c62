import { runInScope } from "@rap/core";
import { type AnyFn, RapError, Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";
import { CallQueue, type Waiting } from "./call-queue";
import type { Client } from "./client";
import type { CallOptions } from "./options";
import type { KindArgs, RemoteFn, RemoteService } from "./remote-function";

/**
 * Calls that go over one connection to one server, which can keep state for them: `await using s = await
 * client.openSession()`. A session whose connection is gone fails its calls; it never moves to another server.
 */
export interface Session extends AsyncDisposable {
  /** Unguessable; the server sees it in `context().session`. */
  readonly id: string;
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

/** The session itself: the connection that its calls are pinned to, and those that wait for room on it. */
export class ClientSession implements Session {
  readonly id: string;
  readonly #client: Client;
  readonly #connection: Connection;
  readonly #ended: (session: ClientSession) => void;
  readonly #end: (id: string) => Promise<unknown>;
  readonly #queues = [Shape.UNARY, Shape.SERVER_STREAM, Shape.CHANNEL].map((shape) => new CallQueue(shape));
  #closed = false;
  #left = false;

  constructor(
    client: Client,
    id: string,
    connection: Connection,
    end: (id: string) => Promise<unknown>,
    ended: (session: ClientSession) => void,
  ) {
    this.#client = client;
    this.id = id;
    this.#connection = connection;
    this.#end = end;
    this.#ended = ended;
    connection.holds++;
  }

  get closed(): boolean {
    return this.#closed || this.#connection.closed;
  }

  run<R>(fn: () => R): R {
    return runInScope({ clientSession: this }, fn);
  }

  invoke<A extends readonly unknown[], R>(fn: RemoteFn<A, R>, args: A, options: CallOptions = {}): R {
    return this.#client.invoke(fn, args, { ...options, session: this });
  }

  execute(what: AnyFn | string, args?: readonly unknown[], options: CallOptions = {}): never {
    const result =
      typeof what === "string"
        ? this.#client.invokeByName(what, args ?? [], { ...options, session: this })
        : args === undefined
          ? this.run(what as () => unknown)
          : this.#client.invoke(what, args as unknown[], { ...options, session: this });
    return result as never;
  }

  service<S>(group: string, ...rest: KindArgs<S>): RemoteService<S> {
    const [kinds, options] = rest as [kinds: never, options?: CallOptions];
    return this.#client.service<S>(group, ...([kinds, { ...options, session: this }] as unknown as KindArgs<S>));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#drop(closedError());
    if (!this.#connection.closed) await this.#end(this.id).catch(() => undefined);
    this.#leave();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // From calls and the pool.

  /** The session's connection if it has room for a call of this shape. Throws RapError when it is gone. */
  pick(shape: Shape): Connection | undefined {
    if (this.#closed) throw closedError();
    if (this.#connection.draining) throw this.#lost();
    return this.#connection.hasRoom(shape) ? this.#connection : undefined;
  }

  /** Lets a call wait for room. */
  enqueue(call: Waiting): void {
    this.#queue(call.shape).push(call);
  }

  /** There may be room on the connection, or the connection may be gone. */
  serve(): void {
    if (this.#connection.draining) this.#drop(this.#lost());
    for (const queue of this.#queues) {
      while (queue.size > 0 && this.#connection.hasRoom(queue.shape)) queue.shift()?.begin(this.#connection);
    }
    if (this.#connection.closed) this.#leave();
  }

  #leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#connection.holds--;
    this.#ended(this);
  }

  #queue(shape: Shape): CallQueue {
    return this.#queues[shape === Shape.UNARY ? 0 : shape === Shape.CHANNEL ? 2 : 1]!;
  }

  #drop(error: RapError): void {
    for (const queue of this.#queues) {
      for (let call = queue.shift(); call !== undefined; call = queue.shift()) call.giveUp(error);
    }
  }

  #lost(): RapError {
    return new RapError("UNAVAILABLE", "the connection of the session is gone, and the session with it", {
      origin: "transport",
      maybeExecuted: false,
    });
  }
}

function closedError(): RapError {
  return new RapError("FAILED_PRECONDITION", "the session is closed", { maybeExecuted: false });
}
