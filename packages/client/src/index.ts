export {
  CLOCK,
  CODEC,
  type Envelope,
  type LifecycleEvent,
  type Processor,
  RANDOM,
  type Token,
} from "@rap/core";
export {
  type Channel,
  type Code,
  defineErrors,
  type Message,
  Metadata,
  type MetadataInit,
  RapError,
  type Stream,
} from "@rap/protocol";
export { Client, type ClientStats } from "./client";
export type { ClientOptions } from "./client-options";
export type { Interceptor, OutgoingCall } from "./interceptor";
export { type CallOptions, withCallOptions } from "./options";
export type { ClientEvent } from "./pool";
export type {
  KindOf,
  Kinds,
  Remote,
  RemoteChannel,
  RemoteFn,
  RemoteService,
} from "./remote-function";
export { safe } from "./safe";
export type { Session } from "./session";
