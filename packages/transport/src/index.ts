export { type Listener, parseAddress, type Peer, type Socket, type SocketHandler, type Transport } from "./transport";
export { type MemoryOptions, memory } from "./memory";
export { type TcpOptions, tcp, type UnixOptions, unix } from "./tcp";
export { type TlsClientOptions, type TlsServerOptions, tls } from "./tls";
export { Connection, type ConnectionHost, type ConnectionOptions, type ConnectionStats } from "./connection";
export { Stream, type StreamSink } from "./stream";
export { TimerWheel, WheelEntry } from "./wheel";
