export {
  type LifecycleEvent,
  type ListenOptions,
  Server,
  type ServerOptions,
  type ServerState,
  type ServerStats,
} from "./server";
export { channel, type Connection, context, type MethodOptions, type RequestContext, rpc, type ServerSession, tryContext } from "@rap/core";
export { RapChannel, RapService, Rpc } from "./service";
export { worker } from "./worker";
export { createContainer, inject, injectable, type Logger, singleton } from "@rap/core";
export { type Channel, type Code, defineErrors, type Message, Metadata, type MetadataInit, RapError } from "@rap/protocol";
