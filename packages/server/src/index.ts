export {
  type Connection,
  type ConnMiddleware,
  channel,
  connMiddleware,
  context,
  type Envelope,
  type LifecycleEvent,
  type Logger,
  type MessageMiddleware,
  type MethodOptions,
  messageMiddleware,
  type Processor,
  type RequestContext,
  rpc,
  type ServerSession,
  tryContext,
} from "@rap/core";
export { createContainer, inject, injectable, singleton } from "@rap/core/container";
export {
  type Channel,
  type Code,
  defineErrors,
  type Message,
  Metadata,
  type MetadataInit,
  RapError,
} from "@rap/protocol";
export type { LoadedOptions } from "./administration";
export type { MethodDescription } from "./describe";
export type { HealthStatus } from "./health";
export type { LoadOptions } from "./modules";
export { type Method, REGISTRY, Registry } from "./registry";
export {
  type ListenOptions,
  Server,
  type ServerOptions,
  type ServerState,
  type ServerStats,
} from "./server";
export { RapChannel, RapService, Rpc } from "./service";
export { worker } from "./worker";
