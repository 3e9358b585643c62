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
export { Client, type ClientStats, safe, withCallOptions } from "./client";
export type { ClientOptions } from "./client-options";
export type { Interceptor, OutgoingCall } from "./interceptor";
export type { CallOptions } from "./options";
export type { ClientEvent } from "./pool";
export type {
  KindOf,
  Kinds,
  Remote,
  RemoteChannel,
  RemoteFn,
  RemoteService,
} from "./remote-function";
export type { Session } from "./session";
