export { Connection, type ConnectionHost, type ConnectionOptions, type ConnectionStats } from "./connection";
export { type MemoryOptions, memory } from "./memory";
export { Stream, type StreamSink } from "./stream";
export { type TcpOptions, tcp, type UnixOptions, unix } from "./tcp";
export { type TlsClientOptions, type TlsServerOptions, tls } from "./tls";
export { type Listener, type Peer, parseAddress, type Socket, type SocketHandler, type Transport } from "./transport";
export { TimerWheel, WheelEntry } from "./wheel";
