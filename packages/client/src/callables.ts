import { checkOptions, given, isChannel, type OptionNames, StreamChannel } from "@rap/core";
import { type AnyFn, type Awaitable, type Channel, RapError, Shape } from "@rap/protocol";
import { type Interceptor, intercept } from "./interceptor";
import { CALL_OPTIONS, type CallOptions, checkFunction, invalid, mergeOptions } from "./options";
import type { ClientCore } from "./pool";
import { ChannelCall } from "./remote-channel";
import { RemoteStream, StreamCall } from "./remote-stream";
import { type CallArguments, UnaryCall } from "./send";
import { checkGroup, type Target, targetOf } from "./target";
import { isSource } from "./upload";

/** How a function is called. */
export type Kind = "unary" | "stream" | "channel";

/** The functions of servers as functions of this process, and the way from a call of one to the wire. */
export class Callables {
  readonly #core: ClientCore;
  readonly #interceptors: readonly Interceptor[];
  /** What each of them stands for. */
  readonly #known = new WeakMap<object, { kind: Kind; target: Target }>();

  /** `interceptors` may grow. */
  constructor(core: ClientCore, interceptors: readonly Interceptor[]) {
    this.#core = core;
    this.#interceptors = interceptors;
  }

  /** One function, by its name. */
  named(kind: Kind, name: unknown, options: CallOptions & { group?: string }): unknown {
    checkOptions("a remote function", options, REMOTE_OPTIONS);
    const { group, ...call } = options;
    return this.#make(kind, targetOf(group, name, mergeOptions({}, call)));
  }

  /** One function, by the function itself or a stub of it. */
  of(fn: AnyFn, options: CallOptions & { name?: string; group?: string }): unknown {
    checkOptions("register()", options, FUNCTION_OPTIONS);
    const { name = fn.name, group, ...call } = options;
    return this.#make(kindOf(fn), targetOf(group, name, mergeOptions({}, call)));
  }

  /** All functions of a group, each made when it is asked for. */
  group(group: string, kinds: Readonly<Record<string, Kind>>, own: CallOptions = {}): object {
    checkKinds(group, kinds);
    const options = mergeOptions({}, own);
    checkGroup(group);
    const functions = new Map<string, unknown>();
    return new Proxy(Object.create(null) as object, {
      get: (_, name) => {
        // What a promise, a logger or JSON looks for on any object is no remote function.
        if (typeof name !== "string" || NOT_REMOTE.has(name)) return undefined;
        if (!functions.has(name)) {
          const kind = Object.hasOwn(kinds, name) ? kinds[name]! : "unary";
          functions.set(name, this.#make(kind, targetOf(group, name, options)));
        }
        return functions.get(name);
      },
    });
  }

  /** Calls one that was made here, or any function by its own name in the default group. */
  invoke(fn: AnyFn, args: CallArguments, options: CallOptions | undefined): unknown {
    const { kind, target } = this.#known.get(fn) ?? {
      kind: kindOf(fn),
      target: targetOf(undefined, fn.name, undefined),
    };
    const called = options === undefined ? target : withOptions(target, options);
    if (kind === "unary") return this.unary(called, args);
    if (kind === "stream") return this.#stream(called, args);
    throw invalid("ERR_RAP_CALL", `${target.text} is a channel: call it, or open() it`);
  }

  /** Calls a function for one result. */
  unary(target: Target, args: CallArguments): Promise<unknown> {
    if (this.#interceptors.length === 0) return this.#sendUnary(target, args);
    return intercept(this.#interceptors, target, args, (...changed) => this.#sendUnary(...changed));
  }

  #make(kind: Kind, target: Target): unknown {
    const call =
      kind === "unary"
        ? (...args: unknown[]) => this.unary(target, args)
        : kind === "stream"
          ? (...args: unknown[]) => this.#stream(target, args)
          : (handler: (channel: Channel) => Awaitable<void>) => this.#runChannel(target, handler);
    const remote = Object.assign(call, {
      with: (options: CallOptions) => this.#make(kind, withOptions(target, options)),
      rpcName: target.text,
      ...(kind === "channel" && {
        open: (options?: CallOptions) => this.#open(options === undefined ? target : withOptions(target, options)),
      }),
    });
    this.#known.set(remote, { kind, target });
    return remote;
  }

  #stream(target: Target, args: CallArguments): RemoteStream<unknown> {
    if (this.#interceptors.length === 0) return new RemoteStream(this.#sendStream(target, args));
    // An interceptor may take its time, the caller gets its stream at once.
    return new RemoteStream(
      intercept(this.#interceptors, target, args, (...changed) => new RemoteStream(this.#sendStream(...changed))),
    );
  }

  #open(target: Target): Promise<Channel> {
    if (this.#interceptors.length === 0) return this.#sendOpen(target);
    return intercept(this.#interceptors, target, [], (changed) => this.#sendOpen(changed)) as Promise<Channel>;
  }

  #sendUnary(target: Target, args: CallArguments): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const shape = Array.isArray(args) && args.some(isSource) ? Shape.CLIENT_STREAM : Shape.UNARY;
      new UnaryCall(this.#core, target, shape, args, resolve, reject).launch();
    });
  }

  #sendStream(target: Target, args: CallArguments): StreamCall {
    const call = new StreamCall(this.#core, target, args);
    call.launch();
    return call;
  }

  #sendOpen(target: Target): Promise<Channel> {
    return new Promise((resolve, reject) => {
      new ChannelCall(this.#core, target, resolve, reject).launch();
    });
  }

  async #runChannel(target: Target, handler: (channel: Channel) => Awaitable<void>): Promise<void> {
    checkFunction(handler, `${target.text} is a channel: give it a function of the channel, or open() it`);
    const channel = await this.#open(target);
    try {
      await handler(channel);
    } catch (error) {
      await channel.close(
        RapError.is(error) ? error : new RapError("CANCELLED", "the caller's side of the channel failed"),
      );
      throw error;
    }
    await channel.close();
    // The function failed, and the handler did not come across it.
    if (channel instanceof StreamChannel && channel.untold !== undefined) throw channel.untold;
  }
}

const REMOTE_OPTIONS: OptionNames<CallOptions & { group?: string }> = { ...CALL_OPTIONS, group: true };
const FUNCTION_OPTIONS: OptionNames<CallOptions & { name?: string; group?: string }> = {
  ...REMOTE_OPTIONS,
  name: "name",
};

/** Names that the language, a logger or a test looks for on any object. */
const NOT_REMOTE = new Set([
  "then",
  "catch",
  "finally",
  "toJSON",
  "inspect",
  "constructor",
  "toString",
  "valueOf",
  "asymmetricMatch",
  "nodeType",
  "$$typeof",
]);

function checkKinds(group: string, kinds: Readonly<Record<string, Kind>>): void {
  if (typeof kinds !== "object" || kinds === null || Array.isArray(kinds)) {
    const message = `the second argument of service() is a record like { statement: "stream" }, not ${given(kinds)}`;
    throw invalid("ERR_RAP_REGISTER", message);
  }
  for (const [name, kind] of Object.entries(kinds)) {
    if (kind !== "unary" && kind !== "stream" && kind !== "channel") {
      throw invalid("ERR_RAP_REGISTER", `${group}/${name} is "unary", "stream" or "channel", not ${String(kind)}`);
    }
  }
}

function withOptions(target: Target, options: CallOptions): Target {
  return { ...target, options: mergeOptions(target.options ?? {}, options) };
}

/** How a function is called, as far as the value says. */
function kindOf(fn: AnyFn): Kind {
  if (isChannel(fn)) return "channel";
  return Object.prototype.toString.call(fn) === "[object AsyncGeneratorFunction]" ? "stream" : "unary";
}
