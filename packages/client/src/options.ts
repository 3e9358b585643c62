import {
  callScope,
  checkOption,
  given,
  type InheritedOptions,
  must,
  type OptionNames,
  optionError,
  runInScope,
} from "@rap/core";
import { Metadata, type MetadataInit } from "@rap/protocol";
import type { Session } from "./session";

/** Options of one call, of a function, or of all calls made inside `withCallOptions`. */
export interface CallOptions {
  /** Cancels the call, on the server too. One that has already fired fails the call without sending it. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds the call may take, waiting for a connection included; Infinity for no bound. Inside a handler it is
   * also bound by what is left to the call that is being handled. Default: the client's (30 s) for calls with one
   * result, none for streams and channels.
   */
  timeout?: number | undefined;
  /** Sent beside the arguments. */
  metadata?: MetadataInit | undefined;
  /** Whether to wait for a connection while there is none. Default true; false fails with UNAVAILABLE at once. */
  waitForReady?: boolean | undefined;
  /** The session that the call belongs to; null for none inside `withSession`. */
  session?: Session | null | undefined;
  /** Told what the server sent before its first reply. */
  onHeaders?: ((metadata: Metadata) => void) | undefined;
  /** Told what the server sent with the end of the call. */
  onTrailers?: ((metadata: Metadata) => void) | undefined;
  /** There is no retry by policy yet: false says what is so. */
  retry?: false | undefined;
}

/** Options of what is to come: an error until it is there, as one without effect would mislead. */
type PlannedOptions = { hedge?: unknown; idempotencyKey?: unknown; affinity?: unknown };

/** All options of a call. A timeout of which nothing is left is a call that fails. */
export const CALL_OPTIONS: OptionNames<CallOptions & PlannedOptions> = {
  signal: "signal",
  timeout: "left",
  metadata: must("a record of texts, or a Metadata", (value) => {
    return typeof value === "object" && value !== null && (!(Symbol.iterator in value) || "getAll" in value);
  }),
  waitForReady: "boolean",
  session: must("a session, or null", (value) => {
    return value === null || typeof (value as Partial<Session>).execute === "function";
  }),
  onHeaders: "function",
  onTrailers: "function",
  retry: "planned",
  hedge: "planned",
  idempotencyKey: "planned",
  affinity: "planned",
};

/**
 * Options over options: what is nearer to the call wins, metadata adds up. Throws a TypeError (`ERR_RAP_OPTION`) for an
 * option that does not exist or is not built yet, and for a value that it cannot have.
 */
export function mergeOptions(outer: CallOptions, inner: CallOptions): CallOptions {
  const merged: CallOptions = { ...outer };
  for (const [name, value] of Object.entries(checkRecord(inner))) {
    checkOption("a call", name, value, CALL_OPTIONS);
    if (value !== undefined) (merged as Record<string, unknown>)[name] = value;
  }
  if (outer.metadata !== undefined && inner.metadata !== undefined) {
    merged.metadata = joined(outer.metadata, inner.metadata);
  }
  return merged;
}

/**
 * Runs `fn` so that every call made inside, however deep, has these options unless it says otherwise itself. One inside
 * another adds its metadata, and its signal cancels as well. Throws a TypeError for an option that calls do not have, or
 * cannot have this value.
 */
export function withCallOptions<R>(options: CallOptions, fn: () => R): R {
  checkFunction(fn, "withCallOptions() takes a function");
  const outer = callScope.getStore()?.options ?? {};
  const merged = mergeOptions(outer, options);
  if (outer.signal !== undefined && options.signal !== undefined) {
    merged.signal = AbortSignal.any([outer.signal, options.signal]);
  }
  return runInScope({ options: merged }, fn);
}

/** Throws a TypeError (`ERR_RAP_OPTION`) for what is no record of options. */
export function checkRecord<T extends object>(options: T): T {
  if (typeof options !== "object" || options === null) {
    throw optionError(`the options of a call are a record, not ${given(options)}`);
  }
  return options;
}

/** Throws a TypeError (`ERR_RAP_CALL`) with this message for what is no function. */
export function checkFunction(fn: unknown, message: string): void {
  if (typeof fn !== "function") throw invalid("ERR_RAP_CALL", `${message}, not ${given(fn)}`);
}

/** A mistake in how the client is used. */
export function invalid(code: string, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}

/** `mergeOptions` for options that come from the surroundings of a call. */
export function inherit(own: CallOptions | undefined, from: InheritedOptions): CallOptions {
  return mergeOptions(from, own ?? {});
}

function joined(outer: MetadataInit, inner: MetadataInit): Metadata {
  const metadata = new Metadata(outer);
  const over = new Metadata(inner);
  for (const [key] of over) metadata.delete(key);
  for (const [key, value] of over) metadata.append(key, value);
  return metadata;
}
