export { type Code, CODES, codeFromNumber, isCode } from "./code";
export { messageOf, RapError, type ErrorOrigin, type RapErrorInit } from "./error";
export {
  defineErrors,
  type ErrorData,
  type ErrorDef,
  type ErrorFactories,
  type ErrorFactory,
} from "./define-errors";
export { Metadata, type MetadataInit, type MetadataValue, decodeMetadata, encodeMetadata, toMetadata } from "./metadata";
export type { AnyFn, Awaitable, CallKind, Channel, Message, ReadOptions, Stream } from "./channel";
export { type Codec, CodecError } from "./codec";
export { msgpack, type CodecLimits } from "./msgpack";
export { LIMITS, type Limits, limits } from "./limits";
export { type Clock, systemClock, type Timer } from "./clock";
export { type Random, randomId, systemRandom } from "./random";
export {
  Flag,
  type Frame,
  GoawayCode,
  goawayName,
  HEAD_BYTES,
  type Hello,
  Kind,
  MAX_STREAM_ID,
  MINOR_VERSION,
  OPTIONAL_KIND,
  PREAMBLE,
  ResetFlag,
  SHAPE_MASK,
  SHAPE_SHIFT,
  Shape,
} from "./frame";
export { copyBytes, FrameReader, type FrameSink, FramingError, readU16, readU32, writeHead, writeU16, writeU32 } from "./framing";
export {
  blockEnd,
  decodeFrame,
  decodeGoaway,
  decodeHello,
  encodeFrame,
  encodeGoaway,
  encodeHello,
  metadataBlock,
  type OpenHead,
  openHead,
  openSize,
  PayloadError,
  readOpen,
  utf8,
  writeOpen,
} from "./payload";
export { decodeError, encodeError } from "./wire-error";
