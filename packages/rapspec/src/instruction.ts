import type { Code, Limits } from "@rap/protocol";
import type { Tagged } from "./tagged";

/** A way from a client to a server. `memory` is one inside the peer's own process. */
export type Link = "tcp" | "tls" | "mutual tls" | "unix" | "memory" | "crypto" | "crypto over tls";

export const LINKS: readonly Link[] = ["tcp", "tls", "mutual tls", "unix", "memory", "crypto", "crypto over tls"];

/** How a link is secured: PEM texts for TLS, a secret of 16 characters for the key `id` of a crypto link. */
export interface Secrets {
  tls?: { cert?: string; key?: string; ca?: string };
  key?: string;
}

/** Shapes as instructions name them. */
export type ShapeName = "unary" | "stream" | "client stream" | "bidi stream" | "channel";

/** Metadata as JSON; bytes under keys that end in `-bin`. */
export type TaggedMetadata = readonly (readonly [string, Tagged])[];

/** One line that the suite writes to the implementation under test, which its `id` belongs to. */
export type Instruction =
  /** Serve the functions of the suite; answered with `{address}`. */
  | ({ op: "serve"; link?: Link; limits?: Partial<Limits> } & Secrets)
  /** Connect a client to an address; answered with `{}` or `{error}`. */
  | ({ op: "connect"; address: string; link?: Link; limits?: Partial<Limits> } & Secrets)
  /**
   * Make a call with the client `of`. Its lines are `{headers}`, `{item}` and, at the end, `{trailers}` and one of
   * `{result}`, `{end}` and `{error}`. With `read` false nothing that comes is taken before an instruction `read`.
   */
  | {
      op: "call";
      of: number;
      shape: ShapeName;
      function: string;
      args?: readonly Tagged[];
      timeout?: number;
      metadata?: TaggedMetadata;
      read?: false;
    }
  /** Of the call `of`: send an item or message, end this side's direction, cancel, begin to read. Answered with `{}`. */
  | { op: "send"; of: number; value: Tagged }
  | { op: "end" | "cancel" | "read"; of: number }
  /** Let the function `stubborn` finish wherever the server `of` runs it. Answered with `{}`. */
  | { op: "release"; of: number }
  /** What the server or client `of` has; `stop` stops it first, at once. Answered with {@link Stats}. */
  | { op: "stats" | "stop"; of: number };

/** What a server or client has now. What an implementation cannot tell it leaves out. */
export interface Stats {
  /** Connections that are open. */
  connections?: number;
  /** Calls whose function has not finished. */
  inFlight?: number;
  /** Anything else that must be 0 when nothing happens: timers, calls that wait. */
  left?: number;
  /** Memory of the process. */
  bytes?: number;
}

/** One line that the implementation under test writes. */
export interface Answer extends Stats {
  /** The number of the instruction. */
  id: number;
  /** The implementation cannot do that; the case counts as skipped. */
  unsupported?: string;
  address?: string;
  headers?: TaggedMetadata;
  trailers?: TaggedMetadata;
  item?: Tagged;
  result?: Tagged;
  end?: true;
  error?: { code: Code; message: string; reason?: string; data?: Tagged; maybeExecuted?: boolean };
}
