import { nearest } from "./nearest";

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Every limit of rap with its default: durations in milliseconds, sizes in bytes, rates per second.
 * A server, a client and (where it says so) a function may loosen or tighten them; `docs/limits.md` has them as a table,
 * with the counter of each in `stats()`.
 */
export const LIMITS = Object.freeze({
  /**
   * A frame's payload, once the handshake is done. Over it: the connection closes with FRAME_TOO_LARGE. From 80 KiB on, so
   * that it has room for whatever an honest peer sends in one: the largest part of a message with all metadata there may be.
   */
  maxFrameBytes: 4 * MiB,
  /** A frame's payload before the handshake is done. Over it: the connection closes without an answer. */
  maxHandshakeBytes: 16 * KiB,
  /** One message (arguments, a result, a stream item), all its fragments together; told to the peer in the handshake. Over it: that call fails with RESOURCE_EXHAUSTED. */
  maxMessageBytes: 4 * MiB,
  /** Body bytes of one fragment; larger messages travel in several, interleaved fairly with others. Up to 16 KiB always go in one. */
  fragmentBytes: 64 * KiB,
  /** From accept (or dial) to the end of the rap handshake, TLS included. */
  handshakeTimeout: 5_000,
  /** From the first to the last byte of one frame. Over it: SLOW_FRAME. */
  frameTimeout: 30_000,
  /** From the first byte of a frame to when `frameBytesPerSecond` holds for it. */
  frameGrace: 5_000,
  /** Bytes a second that must have come of a frame since it began, once `frameGrace` is over. Below it: SLOW_FRAME. */
  frameBytesPerSecond: 1 * KiB,
  /** A server's connection without a call or a byte. Over it: goaway. */
  serverIdleTimeout: 300_000,
  /** A client's connection without a call or a byte: shorter than the server's, so the client closes first. */
  clientIdleTimeout: 240_000,
  /**
   * How long a server keeps a connection, a tenth more or less by chance. Over it: goaway, and what runs goes on to its end.
   * None by default: where a balancer spreads connections, those that live long stay with whom they first came to.
   */
  maxConnectionAge: Number.POSITIVE_INFINITY,
  /**
   * Silence after which a side with open calls or sessions sends a ping. It is told to the peer in the handshake, and both
   * sides go by the longer of their two.
   */
  keepaliveInterval: 30_000,
  /** Time in which a ping must be answered (any byte counts). Over it: all calls fail with UNAVAILABLE. */
  keepaliveTimeout: 10_000,
  /** Pings a peer may send in one burst. */
  pingBurst: 10,
  /** Pings a peer may send over time. */
  pingsPerSecond: 0.2,
  /** Overdrafts of the ping budget before goaway(TOO_MANY_PINGS). */
  pingStrikes: 3,
  /** Replies that the peer provoked (pong, reset) and the socket has not taken. Over it: that peer is not read from. */
  maxUnsentReplies: 100,
  /** Odd but legal frames (unknown stream, empty data, zero credit) in one burst. Over it: TOO_MANY_GLITCHES. */
  glitchBurst: 200,
  /** Odd but legal frames over time. */
  glitchesPerSecond: 20,
  /** Calls of one connection whose handler has not finished; told to the peer, whose client queues beyond it. Over it: that call is refused and never ran. */
  maxInFlight: 256,
  /** Streaming calls among them. */
  maxStreams: 128,
  /** Channels among them. */
  maxChannels: 64,
  /** Sessions of one connection. */
  maxSessions: 16,
  /** Calls of all connections of a server. Over it: that call is refused with a hint when to retry. */
  maxServerInFlight: 10_000,
  /**
   * Those among them of one IP address (IPv6: /64), also of its connections that are gone while their functions run: half of
   * `maxServerInFlight`, so that nobody alone keeps out all others. For peers on this machine it holds only where it is changed. Over it: that
   * call is refused with a hint when to retry.
   */
  maxInFlightPerIp: 5_000,
  /** Calls that wait in a client for a connection or a slot; each session has as many of its own. Over it: that call fails with RESOURCE_EXHAUSTED. */
  maxQueuedCalls: 100_000,
  /** Refused calls in one burst, for a client that ignores the limit told to it. Over it: goaway. */
  refusedBurst: 1_000,
  /** Refused calls over time. */
  refusedPerSecond: 100,
  /**
   * Calls that their caller ended before their time was over, and whose handler went on for more than 100 ms, in one burst.
   * Over it: goaway(ENHANCE_YOUR_CALM).
   */
  cancelBurst: 1_000,
  /** The same over time. */
  cancelsPerSecond: 33,
  /** Stream id at which a client drains a connection and dials anew; ids are never reused. */
  maxStreamId: 2 ** 30,
  /** Bytes a peer may send on one stream before it must wait. */
  streamWindowBytes: 256 * KiB,
  /** Messages a peer may send on one stream before it must wait. */
  streamWindowMessages: 256,
  /** Bytes a peer may send on all streams of a connection together before it must wait. */
  connectionWindowBytes: 4 * MiB,
  /**
   * Unsent bytes of a connection above which a server reads nothing more from it, and items of streams and channels wait,
   * whatever credit there is. Large messages wait from 256 KiB on.
   */
  writeQueueSoftBytes: 1 * MiB,
  /**
   * Unsent bytes of a connection above which it is destroyed: SLOW_CONSUMER. Large results wait for their turn before they
   * count: above as many bytes of those (a single one may be more) a server takes no further call on it.
   */
  writeQueueHardBytes: 16 * MiB,
  /** Time without one byte taken by a peer for whom bytes wait. Over it: SLOW_CONSUMER. */
  writeStallTimeout: 10_000,
  /**
   * Unsent bytes of all connections of a process that have this limit. The same for messages that wait for their turn or for
   * credit in a server, where they are more for as long as `writeStallTimeout`; above half of it each connection may have one
   * result that waits.
   */
  processWriteQueueBytes: 256 * MiB,
  /** Bytes of unfinished messages of all connections of a process that have this limit. */
  processReceiveBytes: 256 * MiB,
  /** Open connections of a server. Over it: a new one is dropped as it is accepted, before TLS. So for the next five. */
  maxConnections: 10_000,
  /**
   * Open connections of one IP address (IPv6: /64). This limit and the next four hold for peers on the same machine
   * only where they are changed: behind a proxy everyone is such a peer.
   */
  maxConnectionsPerIp: 256,
  /** Connections of one IP address whose handshake is not done, TLS included. */
  maxHandshakesPerIp: 32,
  /** Connections of a server whose handshake is not done, TLS included. */
  maxHandshakes: 512,
  /** Accepted connections of one IP address in one burst. */
  acceptBurst: 100,
  /** Accepted connections of one IP address over time. */
  acceptsPerSecond: 20,
  metadataEntries: 64,
  metadataKeyBytes: 128,
  metadataValueBytes: 4 * KiB,
  /** All of a call's metadata; an entry counts 32 bytes at least. */
  metadataBytes: 8 * KiB,
  /** A function's name, and a group's. Characters: letters, digits, `_ . $ / -` (a group has no `/`). */
  maxNameBytes: 256,
  /** Nesting of a value, encoding and decoding. */
  maxDepth: 64,
  /** Memory that decoding one message may take; eight times `maxMessageBytes` where that is more. */
  maxDecodeBytes: 32 * MiB,
  /** Entries of one map or object. */
  maxMapEntries: 65_536,
  /** A call's time when nobody says otherwise. */
  timeout: 30_000,
  /** The longest time a server gives a unary call, whatever the caller asks. */
  maxTimeout: 600_000,
  /** Time a generator has to finish its `finally` once its call is cancelled. */
  generatorReturnTimeout: 5_000,
  /** A dial's time, with all handshakes up to the end of rap's; `handshakeTimeout` may end it earlier. */
  connectTimeout: 5_000,
  reconnectInitialBackoff: 200,
  reconnectMaxBackoff: 30_000,
  reconnectMultiplier: 1.6,
  reconnectJitter: 0.2,
  /** Life after its handshake that a connection needs to reset the backoff. */
  reconnectResetAfter: 10_000,
  /** Time between the two steps of a goaway, at most. */
  goawayPause: 1_000,
  /** Time that running calls have when a server shuts down. */
  shutdownGrace: 30_000,
  /** Time between the abort of what still runs and the end of the sockets. */
  abortGrace: 2_000,
  /** Log lines about the calls of one connection, per second. */
  logLinesPerSecond: 10,
  /** Characters of a peer's string in a log line. */
  logStringLength: 256,
});

/**
 * The limits over which a call, a session or a message fails, and nothing else with it. `stats().refused` of a server or
 * client counts under these names.
 */
export const CALL_LIMITS = Object.freeze([
  "maxMessageBytes",
  "maxInFlight",
  "maxStreams",
  "maxChannels",
  "maxSessions",
  "maxServerInFlight",
  "maxInFlightPerIp",
  "maxQueuedCalls",
  "metadataEntries",
  "metadataKeyBytes",
  "metadataValueBytes",
  "metadataBytes",
  "maxNameBytes",
  "maxDepth",
  "maxDecodeBytes",
  "maxMapEntries",
  "timeout",
  "maxTimeout",
  "generatorReturnTimeout",
] as const satisfies readonly (keyof typeof LIMITS)[]);

/**
 * The limits over which a connection ends. `stats().ended` counts under these names those that this side ended; of the
 * numbers that make one budget together, the last.
 */
export const CONNECTION_LIMITS = Object.freeze([
  "maxFrameBytes",
  "maxHandshakeBytes",
  "handshakeTimeout",
  "connectTimeout",
  "frameTimeout",
  "frameBytesPerSecond",
  "serverIdleTimeout",
  "clientIdleTimeout",
  "maxConnectionAge",
  "keepaliveTimeout",
  "pingsPerSecond",
  "glitchesPerSecond",
  "maxInFlight",
  "refusedPerSecond",
  "cancelsPerSecond",
  "streamWindowBytes",
  "streamWindowMessages",
  "connectionWindowBytes",
  "writeQueueHardBytes",
  "writeStallTimeout",
  "processWriteQueueBytes",
  "processReceiveBytes",
] as const satisfies readonly (keyof typeof LIMITS)[]);

export type ConnectionLimit = (typeof CONNECTION_LIMITS)[number];

export type CallLimit = (typeof CALL_LIMITS)[number];

/** A counter, at 0, for each of {@link CALL_LIMITS}. */
export function noRefusals(): Record<CallLimit, number> {
  return Object.fromEntries(CALL_LIMITS.map((limit) => [limit, 0])) as Record<CallLimit, number>;
}

/**
 * The limits that are the same everywhere: metadata, names and log lines are made where no client or server with a table is
 * at hand. Their own numbers may be given, so that a whole table can be passed on.
 */
const FIXED: ReadonlySet<string> = new Set([
  "metadataEntries",
  "metadataKeyBytes",
  "metadataValueBytes",
  "metadataBytes",
  "maxNameBytes",
  "logStringLength",
] as const satisfies readonly (keyof typeof LIMITS)[]);

const DECODE_FACTOR = 8;

/** What the last part of a message costs of credit at least, and the size of any other part. */
const MIN_CHARGE = 256;

/**
 * The numbers that some limits can have. A window smaller than the charge of one message would let nothing through,
 * ever, and a larger one is no legal credit; a fragment that is smaller counts as a glitch, and a larger one may be
 * more than the peer takes in one frame. The largest frames of an honest peer are an OPEN with the longest target that it
 * can hold, 64 KiB, and a DATA with the largest fragment; beside either there is room for the metadata, 8.2 KiB.
 */
const RANGES: Readonly<Record<string, readonly [least: number, most: number] | undefined>> = {
  maxFrameBytes: [80 * KiB, 2 ** 32 - 1],
  fragmentBytes: [MIN_CHARGE, 64 * KiB],
  streamWindowBytes: [MIN_CHARGE, 2 ** 31 - 1],
  connectionWindowBytes: [MIN_CHARGE, 2 ** 31 - 1],
};

/** The whole table, with numbers of one's own. */
export type Limits = { readonly [K in keyof typeof LIMITS]: number };

/** Limits that differ from the defaults; two of them have another name as well. */
export interface LimitChanges extends Partial<Limits> {
  /** `maxInFlight`. */
  readonly maxConcurrentCalls?: number;
  /** `maxStreams`. */
  readonly maxConcurrentStreams?: number;
}

/**
 * The defaults with some numbers changed. Throws RangeError for a name that is no limit, a number that is not positive or out
 * of the limit's range, and another number for a limit that cannot be changed.
 */
export function limits(given: LimitChanges = {}): Limits {
  const changes = renamed(given);
  for (const [name, value] of Object.entries(changes)) {
    if (!Object.hasOwn(LIMITS, name)) throw unknownLimit(name);
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw rangeError(`limit ${name} must be a positive number, not ${String(value)}`);
    }
    const constant = LIMITS[name as keyof Limits];
    if (value !== undefined && value !== constant && FIXED.has(name)) {
      throw rangeError(`limit ${name} cannot be changed: it must be ${constant}, not ${value}`);
    }
    const [least, most] = RANGES[name] ?? [0, Number.POSITIVE_INFINITY];
    if (value !== undefined && !(value >= least && value <= most)) {
      throw rangeError(`limit ${name} must be from ${least} to ${most}, not ${value}`);
    }
  }
  const changed = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const { maxMessageBytes = LIMITS.maxMessageBytes, maxServerInFlight = LIMITS.maxServerInFlight } = changes;
  // What the peer is told that it may send must also be readable.
  const maxDecodeBytes = Math.max(LIMITS.maxDecodeBytes, DECODE_FACTOR * maxMessageBytes);
  const maxInFlightPerIp = Math.ceil(maxServerInFlight / 2);
  return Object.freeze({ ...LIMITS, maxDecodeBytes, maxInFlightPerIp, ...changed });
}

function renamed({ maxConcurrentCalls, maxConcurrentStreams, ...changes }: LimitChanges): Partial<Limits> {
  return {
    ...(maxConcurrentCalls !== undefined && { maxInFlight: maxConcurrentCalls }),
    ...(maxConcurrentStreams !== undefined && { maxStreams: maxConcurrentStreams }),
    ...changes,
  };
}

function unknownLimit(name: string): RangeError {
  const meant = nearest(name, Object.keys(LIMITS));
  const hint = meant === undefined ? "" : `: did you mean "${meant}"?`;
  return rangeError(`there is no limit called "${name.slice(0, 64)}"${hint}`);
}

function rangeError(message: string): RangeError {
  return Object.assign(new RangeError(message), { code: "ERR_RAP_LIMIT" });
}
