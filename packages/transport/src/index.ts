export { Bucket } from "./bucket";
export { Connection } from "./connection";
export type { ConnectionHost, ConnectionOptions, ConnectionStats } from "./connection-host";
export { type EndReason, Ends } from "./ends";
export { type MemoryOptions, type MemoryTransport, memory } from "./memory";
export type { AcceptOptions } from "./net-listener";
export type { SocketOptions } from "./net-socket";
export { noPauses, type PauseLimit } from "./pressure";
export { REFUSED, Refusal, refusal } from "./refusal";
export { Stream, type StreamSink } from "./stream";
export { type TcpOptions, tcp, type UnixOptions, unix } from "./tcp";
export { ALPN, pemFile, type TlsClientOptions, type TlsOptions, type TlsServerOptions, tls } from "./tls";
export {
  type Address,
  DEFAULT_PORT,
  formatAddress,
  type Listener,
  type Peer,
  parseAddress,
  type Socket,
  type SocketHandler,
  type Transport,
} from "./transport";
export { TimerWheel, Watch, WheelEntry } from "./wheel";
