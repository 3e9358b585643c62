export type { AnyFn, Awaitable, CallKind, Channel, Message, ReadOptions, Stream } from "./channel";
export { type Clock, systemClock, type Timer } from "./clock";
export { CODES, type Code, codeFromNumber, isCode } from "./code";
export {
  type Codec,
  CodecError,
  type CodecLimit,
  LARGE_BYTES,
  type LargeMessage,
  largeTail,
  MAX_HEAD_BYTES,
  OWNED_BYTES,
} from "./codec";
export {
  checkErrorDef,
  defineErrors,
  type ErrorData,
  type ErrorDef,
  type ErrorFactories,
  type ErrorFactory,
} from "./define-errors";
export type { MsgpackEngine } from "./engine";
export { type ErrorOrigin, messageOf, RapError, type RapErrorInit } from "./error";
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
export {
  copyBytes,
  FrameReader,
  type FrameSink,
  FramingError,
  NO_BYTES,
  readU16,
  readU32,
  writeHead,
  writeU16,
  writeU32,
} from "./framing";
export {
  CALL_LIMITS,
  type CallLimit,
  CONNECTION_LIMITS,
  type ConnectionLimit,
  LIMITS,
  type LimitChanges,
  type Limits,
  limits,
  noRefusals,
} from "./limits";
export {
  decodeMetadata,
  encodeMetadata,
  isMetadataError,
  Metadata,
  type MetadataInit,
  type MetadataValue,
  toMetadata,
} from "./metadata";
export { type CodecLimits, type MsgpackOptions, msgpack } from "./msgpack";
export { nearest } from "./nearest";
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
export { type Random, randomId, systemRandom } from "./random";
export { isSchema } from "./schema";
export { RECORD_BYTES, type RecordCipher, type SecureAnswer, type SecureLayer, type SecureOffer } from "./secure";
export { decodeError, type ErrorWords, encodeError, peersError } from "./wire-error";
