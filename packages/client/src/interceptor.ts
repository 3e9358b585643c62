import type { Metadata, MetadataValue } from "@rap/protocol";
import { type CallOptions, mergeOptions } from "./options";
import type { CallArguments } from "./send";
import type { Target } from "./target";

/** A call on its way out; an interceptor may change its arguments and options. */
export interface OutgoingCall {
  readonly method: string;
  readonly group: string;
  /** By position; none where `named` is there, unless an interceptor puts some here: then those are sent. */
  args: readonly unknown[];
  /** By name, where they were given so. */
  named?: Readonly<Record<string, unknown>> | undefined;
  options: CallOptions;
  readonly attempt: number;
}

/**
 * Wraps every call of a client, the first loaded outermost. `next(call)` gives the result: for a call that streams
 * the stream, for a channel the channel.
 */
export type Interceptor = (call: OutgoingCall, next: (call: OutgoingCall) => Promise<unknown>) => Promise<unknown>;

/** Takes a call through a list of interceptors and then to `send`. */
export function intercept(
  list: readonly Interceptor[],
  target: Target,
  args: CallArguments,
  send: (target: Target, args: CallArguments) => Awaited<unknown>,
): Promise<unknown> {
  const { name, group } = target;
  const options: CallOptions = { ...target.options };
  const { metadata } = options;
  if (metadata !== undefined && Symbol.iterator in metadata) options.metadata = recordOf(metadata);
  const byName = isByName(args);
  const positional: readonly unknown[] = byName ? [] : args;
  const run = async (index: number, call: OutgoingCall): Promise<unknown> => {
    const interceptor = list[index];
    if (interceptor === undefined) {
      const sent = call.args === positional ? (call.named ?? positional) : call.args;
      return send({ ...target, options: mergeOptions({}, call.options) }, sent);
    }
    return interceptor(call, (changed = call) => run(index + 1, changed));
  };
  return run(0, { method: name, group, args: positional, ...(byName && { named: args }), options, attempt: 1 });
}

function isByName(args: CallArguments): args is Readonly<Record<string, unknown>> {
  return !Array.isArray(args);
}

/** Metadata as a plain record, which can be spread. */
function recordOf(metadata: Metadata): Record<string, readonly MetadataValue[]> {
  return Object.fromEntries([...metadata].map(([key]) => [key, metadata.getAll(key)]));
}
