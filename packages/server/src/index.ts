export {
  CLOCK,
  CODEC,
  type Connection,
  type ConnMiddleware,
  channel,
  connMiddleware,
  context,
  type Envelope,
  LIMITS,
  type Lifecycle,
  type LifecycleEvent,
  LOGGER,
  type Logger,
  type MessageMiddleware,
  type MethodOptions,
  messageMiddleware,
  type Processor,
  RANDOM,
  type RequestContext,
  rpc,
  type ServerSession,
  type Token,
  tryContext,
} from "@rap/core";
export { type Container, createContainer, inject, injectable, singleton } from "@rap/core/container";
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
export { Server, type ServerState, type ServerStats } from "./server";
export type { ListenOptions, ServerOptions } from "./server-options";
export { RapChannel, RapService, Rpc } from "./service";
export { type WorkerPoolOptions, worker } from "./worker";
