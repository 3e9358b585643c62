import { Flag, type Frame, HEAD_BYTES, type Hello, Kind, ResetFlag, SHAPE_MASK, SHAPE_SHIFT, Shape } from "./frame";
import { copyBytes, NO_BYTES, readU16, readU32, writeHead, writeU16, writeU32 } from "./framing";
import { decodeMetadata, encodeMetadata, type Metadata } from "./metadata";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A frame whose payload is not what its kind says. The connection it came on is of no more use. */
export class PayloadError extends Error {
  override readonly name: string = "PayloadError";
}

/** An OPEN's payload, as positions in the bytes it came in. One object serves all frames of a connection. */
export interface OpenHead {
  shape: Shape;
  targetStart: number;
  targetEnd: number;
  /** Remaining milliseconds; 0 when there is no deadline. */
  timeout: number;
  /** The metadata block; none when the two are equal. */
  metadataStart: number;
  metadataEnd: number;
  /** Position of the streamed argument; -1 when there is none. */
  streamArg: number;
  bodyStart: number;
}

/** An `OpenHead` to fill. */
export function openHead(): OpenHead {
  return {
    shape: Shape.UNARY,
    targetStart: 0,
    targetEnd: 0,
    timeout: 0,
    metadataStart: 0,
    metadataEnd: 0,
    streamArg: -1,
    bodyStart: 0,
  };
}

/** Reads an OPEN's payload into `head`. Throws PayloadError. */
export function readOpen(bytes: Uint8Array, start: number, end: number, flags: number, head: OpenHead): void {
  const shape = (flags & SHAPE_MASK) >> SHAPE_SHIFT;
  if (shape > Shape.CHANNEL) throw new PayloadError(`OPEN has the unknown shape ${shape}`);
  if (end - start < 2) throw new PayloadError("OPEN is cut short");
  head.shape = shape as Shape;
  head.targetStart = start + 2;
  let at = head.targetStart + readU16(bytes, start);
  head.targetEnd = at;
  head.timeout = 0;
  if ((flags & Flag.DEADLINE) !== 0) {
    if (at + 4 > end) throw new PayloadError("OPEN is cut short");
    head.timeout = readU32(bytes, at);
    if (head.timeout === 0) throw new PayloadError("OPEN has a deadline of 0 ms");
    at += 4;
  }
  head.metadataStart = head.metadataEnd = at;
  if ((flags & Flag.METADATA) !== 0) {
    if (at + 2 > end) throw new PayloadError("OPEN is cut short");
    head.metadataStart = at + 2;
    at = head.metadataEnd = at + 2 + readU16(bytes, at);
  }
  head.streamArg = -1;
  if (shape === Shape.CLIENT_STREAM || shape === Shape.BIDI_STREAM) {
    if (at + 1 > end) throw new PayloadError("OPEN is cut short");
    head.streamArg = bytes[at]!;
    at += 1;
  }
  if (at > end) throw new PayloadError("OPEN is cut short");
  head.bodyStart = at;
}

/** Bytes of an OPEN's payload before its body. */
export function openSize(
  target: Uint8Array,
  timeout: number,
  metadata: Uint8Array | undefined,
  streamArg: number,
): number {
  const metadataBytes = metadata === undefined ? 0 : 2 + metadata.length;
  return 2 + target.length + (timeout > 0 ? 4 : 0) + metadataBytes + (streamArg >= 0 ? 1 : 0);
}

/** Writes that part; flags for it are the caller's. */
export function writeOpen(
  buffer: Uint8Array,
  start: number,
  target: Uint8Array,
  timeout: number,
  metadata: Uint8Array | undefined,
  streamArg: number,
): void {
  writeU16(buffer, start, target.length);
  copyBytes(target, buffer, start + 2);
  let at = start + 2 + target.length;
  if (timeout > 0) {
    writeU32(buffer, at, timeout);
    at += 4;
  }
  if (metadata !== undefined) {
    writeU16(buffer, at, metadata.length);
    copyBytes(metadata, buffer, at + 2);
    at += 2 + metadata.length;
  }
  if (streamArg >= 0) buffer[at] = streamArg;
}

/** Where the block that a METADATA flag announces ends; `start` when there is none. Throws PayloadError. */
export function blockEnd(bytes: Uint8Array, start: number, end: number): number {
  const blockEnd = start + 2 > end ? end + 1 : start + 2 + readU16(bytes, start);
  if (blockEnd > end) throw new PayloadError("a metadata block is cut short");
  return blockEnd;
}

/** A metadata block with its length before it, as frames other than HEADERS carry it. */
export function metadataBlock(metadata: Metadata | undefined): Uint8Array {
  if (metadata === undefined) return NO_BYTES;
  const block = encodeMetadata(metadata);
  const bytes = new Uint8Array(2 + block.length);
  writeU16(bytes, 0, block.length);
  bytes.set(block, 2);
  return bytes;
}

/** A HELLO's payload. */
export function encodeHello(hello: Hello): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(hello.minor, hello.codecs.length)];
  for (const codec of hello.codecs) parts.push(Uint8Array.of(codec.length), encoder.encode(codec));
  const numbers = new Uint8Array(HELLO_NUMBERS.length * 4);
  HELLO_NUMBERS.forEach((name, index) => {
    writeU32(numbers, index * 4, Math.min(hello[name], 0xffffffff));
  });
  const info = encoder.encode(hello.info);
  parts.push(numbers, u16(info.length), info);
  const metadata = hello.metadata === undefined ? NO_BYTES : encodeMetadata(hello.metadata);
  parts.push(u16(metadata.length), metadata);
  for (const [type, bytes] of hello.extensions) parts.push(u16(type), u16(bytes.length), bytes);
  return concat(parts);
}

const HELLO_NUMBERS = [
  "maxMessageBytes",
  "streamWindowBytes",
  "streamWindowMessages",
  "connectionWindowBytes",
  "maxInFlight",
  "maxStreams",
  "maxChannels",
  "keepaliveInterval",
] as const;
type HelloNumbers = Record<(typeof HELLO_NUMBERS)[number], number>;

/** Everybody's, as a connection keeps its peer's HELLO and hardly any has one. */
const NO_EXTENSIONS = new Map<number, Uint8Array>();

/** Reads a HELLO's payload. Throws PayloadError. */
export function decodeHello(bytes: Uint8Array, start: number, end: number): Hello {
  let at = start;
  const take = (count: number): Uint8Array => {
    if (at + count > end) throw new PayloadError("HELLO is cut short");
    at += count;
    return bytes.subarray(at - count, at);
  };
  const minor = take(1)[0]!;
  // A connection keeps it, and an array that grew would have room for 17.
  const codecs = Array.from({ length: take(1)[0]! }, () => utf8(take(take(1)[0]!)));
  const numbers = Object.fromEntries(HELLO_NUMBERS.map((name) => [name, readU32(take(4), 0)])) as HelloNumbers;
  const info = utf8(take(readU16(take(2), 0)));
  const block = take(readU16(take(2), 0));
  const metadata = block.length === 0 ? undefined : metadataOf(block, 0, block.length);
  const extensions = at < end ? new Map<number, Uint8Array>() : NO_EXTENSIONS;
  while (at < end) {
    const type = readU16(take(2), 0);
    extensions.set(type, Uint8Array.from(take(readU16(take(2), 0))));
  }
  return { minor, codecs, ...numbers, info, metadata, extensions };
}

/** Characters of a GOAWAY's reason. */
const MAX_REASON_LENGTH = 256;

/** A GOAWAY's payload: the last stream id that was or will be handled, why, and words for a person. */
export function encodeGoaway(lastId: number, code: number, reason: string): Uint8Array {
  const head = new Uint8Array(5);
  writeU32(head, 0, lastId);
  head[4] = code;
  return concat([head, encoder.encode(reason.slice(0, MAX_REASON_LENGTH))]);
}

export function decodeGoaway(
  bytes: Uint8Array,
  start: number,
  end: number,
): { lastId: number; code: number; reason: string } {
  if (end - start < 5) throw new PayloadError("GOAWAY is cut short");
  // A person reads the reason, so no more of it is taken than may be sent.
  const reason = utf8(bytes.subarray(start + 5, end)).slice(0, MAX_REASON_LENGTH);
  return { lastId: readU32(bytes, start), code: bytes[start + 4]!, reason };
}

/** One frame as bytes: for tests, tools and ports. The connection writes its frames in place instead. */
export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case "hello":
      return build(Kind.HELLO, 0, 0, [encodeHello(frame.hello)]);
    case "ping":
      return build(Kind.PING, 0, 0, [frame.data]);
    case "pong":
      return build(Kind.PONG, 0, 0, [frame.data]);
    case "goaway":
      return build(Kind.GOAWAY, 0, 0, [encodeGoaway(frame.lastId, frame.code, frame.reason)]);
    case "exchange":
      return build(Kind.EXCHANGE, 0, 0, [frame.payload]);
    case "sealed":
      return build(Kind.SEALED, frame.flags, 0, [frame.payload]);
    case "open": {
      const metadata = frame.metadata === undefined ? undefined : encodeMetadata(frame.metadata);
      const flags =
        messageFlags(frame) | (frame.timeout === undefined ? 0 : Flag.DEADLINE) | (frame.shape << SHAPE_SHIFT);
      const fields = [encoder.encode(frame.target), frame.timeout ?? 0, metadata, frame.streamArg ?? -1] as const;
      const prefix = new Uint8Array(openSize(...fields));
      writeOpen(prefix, 0, ...fields);
      return build(Kind.OPEN, flags, frame.id, [prefix, frame.body]);
    }
    case "headers":
      return build(Kind.HEADERS, 0, frame.id, [encodeMetadata(frame.metadata)]);
    case "data":
      return build(Kind.DATA, messageFlags(frame), frame.id, [metadataBlock(frame.metadata), frame.body]);
    case "end":
      return build(Kind.END, messageFlags(frame), frame.id, [metadataBlock(frame.metadata)]);
    case "reset": {
      const flags = frame.flags | (frame.metadata === undefined ? 0 : ResetFlag.METADATA);
      return build(Kind.RESET, 0, frame.id, [
        Uint8Array.of(frame.code, flags),
        metadataBlock(frame.metadata),
        frame.body,
      ]);
    }
    case "credit": {
      const payload = new Uint8Array(8);
      writeU32(payload, 0, frame.bytes);
      writeU32(payload, 4, frame.messages);
      return build(Kind.CREDIT, 0, frame.id, [payload]);
    }
  }
}

/** A frame that a `FrameReader` found, read whole. Throws PayloadError; undefined for an unknown kind. */
export function decodeFrame(
  kind: number,
  flags: number,
  id: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): Frame | undefined {
  switch (kind) {
    case Kind.HELLO:
      return { kind: "hello", hello: decodeHello(bytes, start, end) };
    case Kind.PING:
    case Kind.PONG: {
      const name = kind === Kind.PING ? "PING" : "PONG";
      if (end - start !== 8) throw new PayloadError(`${name} is not 8 bytes long`);
      return { kind: kind === Kind.PING ? "ping" : "pong", data: copyOf(bytes, start, end) };
    }
    case Kind.GOAWAY:
      return { kind: "goaway", ...decodeGoaway(bytes, start, end) };
    case Kind.EXCHANGE:
      return { kind: "exchange", payload: copyOf(bytes, start, end) };
    case Kind.SEALED:
      return { kind: "sealed", flags, payload: copyOf(bytes, start, end) };
    case Kind.OPEN: {
      const head = openHead();
      readOpen(bytes, start, end, flags, head);
      return {
        kind: "open",
        id,
        shape: head.shape,
        target: utf8(bytes.subarray(head.targetStart, head.targetEnd)),
        body: copyOf(bytes, head.bodyStart, end),
        ...(head.timeout > 0 && { timeout: head.timeout }),
        ...((flags & Flag.METADATA) !== 0 && { metadata: metadataOf(bytes, head.metadataStart, head.metadataEnd) }),
        ...(head.streamArg >= 0 && { streamArg: head.streamArg }),
        ...ends(flags),
      };
    }
    case Kind.HEADERS:
      return { kind: "headers", id, metadata: metadataOf(bytes, start, end) };
    case Kind.DATA:
    case Kind.END: {
      const at = (flags & Flag.METADATA) !== 0 ? blockEnd(bytes, start, end) : start;
      const metadata = at > start && { metadata: metadataOf(bytes, start + 2, at) };
      if (kind === Kind.END) return { kind: "end", id, ...metadata };
      return { kind: "data", id, body: copyOf(bytes, at, end), ...metadata, ...ends(flags) };
    }
    case Kind.RESET: {
      if (end - start < 2) throw new PayloadError("RESET is cut short");
      const bits = bytes[start + 1]!;
      const at = (bits & ResetFlag.METADATA) !== 0 ? blockEnd(bytes, start + 2, end) : start + 2;
      const metadata = at > start + 2 && { metadata: metadataOf(bytes, start + 4, at) };
      return {
        kind: "reset",
        id,
        code: bytes[start]!,
        flags: bits & ~ResetFlag.METADATA,
        body: copyOf(bytes, at, end),
        ...metadata,
      };
    }
    case Kind.CREDIT:
      if (end - start !== 8) throw new PayloadError("CREDIT is not 8 bytes long");
      return { kind: "credit", id, bytes: readU32(bytes, start), messages: readU32(bytes, start + 4) };
    default:
      return undefined;
  }
}

/** Text from a peer. Throws PayloadError when it is not UTF-8. */
export function utf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new PayloadError("a text is not UTF-8");
  }
}

/** Not `slice`: that of a Buffer is a view. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(bytes.subarray(start, end));
}

function metadataOf(bytes: Uint8Array, start: number, end: number): Metadata {
  try {
    return decodeMetadata(bytes, start, end);
  } catch (error) {
    throw new PayloadError((error as Error).message);
  }
}

function messageFlags(frame: { metadata?: Metadata; more?: boolean; end?: boolean }): number {
  return (frame.more ? Flag.MORE : 0) | (frame.end ? Flag.END : 0) | (frame.metadata === undefined ? 0 : Flag.METADATA);
}

function ends(flags: number): { more?: true; end?: true } {
  return { ...((flags & Flag.MORE) !== 0 && { more: true }), ...((flags & Flag.END) !== 0 && { end: true }) };
}

function build(kind: number, flags: number, id: number, parts: Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const head = new Uint8Array(HEAD_BYTES);
  writeHead(head, 0, size, kind, flags, id);
  return concat([head, ...parts]);
}

function u16(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  writeU16(bytes, 0, value);
  return bytes;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
