export { abortError, unlessAborted } from "./abort";
export { type Port, StreamChannel } from "./channel";
export type { Container } from "./container";
export {
  type CallScope,
  type Connection,
  callScope,
  context,
  type Dependent,
  type InheritedOptions,
  type RequestContext,
  runInScope,
  runOutOfScope,
  type ServerSession,
  tryContext,
} from "./context";
export {
  channel,
  checkArguments,
  checkMethodOptions,
  contractOf,
  isChannel,
  type MethodOptions,
  rpc,
} from "./function";
export { Gate } from "./gate";
export type { Host } from "./host";
export { Inbox, InboxIterator } from "./inbox";
export { formatIp, ipNetwork, isIpv4, parseIp } from "./ip";
export {
  addEvents,
  checkInTime,
  type LifecycleEvent,
  type LifecycleEvents,
  lifecycleEvents,
  loadError,
  runEvents,
  startParts,
  stopParts,
} from "./lifecycle";
export { defaultLogger, type Logger } from "./logger";
export {
  type Arrival,
  type ConnMiddleware,
  checkMiddleware,
  connMiddleware,
  type Lifecycle,
  type MessageMiddleware,
  messageMiddleware,
  runConnMiddleware,
  runMessageMiddleware,
} from "./middleware";
export { checkOption, checkOptions, type OptionNames } from "./option-names";
export {
  type Check,
  given,
  isPort,
  listOf,
  must,
  oneOf,
  optionError,
  wholeNumber,
  withMethods,
} from "./option-values";
export { PrivateFunctions } from "./private-functions";
export {
  type Envelope,
  isPromise,
  type MessageTarget,
  type ProcessedCall,
  ProcessedSink,
  type Processor,
  ProcessorChain,
} from "./processor";
export { CLOCK, CODEC, LIMITS, LOGGER, RANDOM, registered, type Token } from "./tokens";
export { warn } from "./warning";
