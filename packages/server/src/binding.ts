import { type Ends, pemFile, type TlsServerOptions, type Transport, tcp, tls, unix } from "@rap/transport";
import type { ServerCore } from "./server-core";
import type { ListenOptions, ServerOptions } from "./server-options";

/** The admission counts, over all listeners. */
const COUNTED = { maxConnections: Number.POSITIVE_INFINITY };

/** What a server binds to: a transport, and an address of it. What `listen` was given goes before the server's options. */
export function bindingOf(
  { host, port, path, transport, address }: ListenOptions,
  options: ServerOptions,
  { admission, limits }: ServerCore,
  ends: Ends,
): { transport: Transport; address: string } {
  if (transport !== undefined) return { transport, address: address ?? `${transport.scheme}://rap` };
  const socketPath = path ?? (port === undefined && host === undefined ? options.path : undefined);
  if (socketPath !== undefined) {
    return { transport: unix({ ...COUNTED, filter: admission.guard(false) }), address: `unix:${socketPath}` };
  }
  const hostName = host ?? options.host ?? "127.0.0.1";
  const where = `${hostName.includes(":") ? `[${hostName}]` : hostName}:${port ?? options.port ?? 9000}`;
  const server = tlsOf(options);
  if (server === undefined) {
    return { transport: tcp({ ...COUNTED, filter: admission.guard(false) }), address: `tcp://${where}` };
  }
  const { handshakeTimeout } = limits;
  const onDrop = (reason: Error): void => {
    if ((reason as NodeJS.ErrnoException).code === "ERR_TLS_HANDSHAKE_TIMEOUT") ends.count("handshakeTimeout");
    server.onDrop?.(reason);
  };
  const secured = { ...COUNTED, handshakeTimeout, ...server, onDrop, filter: admission.guard(true, server.filter) };
  return { transport: tls(secured), address: `tls://${where}` };
}

function tlsOf({ tls: settings, sslCertPath, sslKeyPath }: ServerOptions): TlsServerOptions | undefined {
  if (sslCertPath === undefined || sslKeyPath === undefined) return settings;
  return { ...settings, cert: pemFile("sslCertPath", sslCertPath), key: pemFile("sslKeyPath", sslKeyPath) };
}
