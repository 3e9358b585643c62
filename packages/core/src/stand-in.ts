import { type AnyFn, LIMITS, Metadata, systemClock } from "@rap/protocol";
import { createContainer } from "./container";
import type { Connection, RequestContext } from "./context";
import type { Host } from "./host";
import type { Logger } from "./logger";

/** A server as far as plugins see it; like a server, it refuses a name that is taken. */
export function testHost(): Host {
  const taken = new Set<string>();
  return {
    container: createContainer(),
    logger: SILENT,
    clock: systemClock,
    limits: LIMITS,
    connections: () => [],
    register(fns: Readonly<Record<string, AnyFn>>, { group = "default" } = {}) {
      const names = Object.keys(fns).map((name) => `${group}/${name}`);
      const known = names.find((name) => taken.has(name));
      if (known !== undefined) throw Object.assign(new TypeError(`${known} is taken`), { taken: true });
      for (const name of names) taken.add(name);
    },
  };
}

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
let connections = 0;

/** A connection of which only `changes` matter. */
export function connection(changes: Partial<Connection>): Connection {
  return {
    id: `c${++connections}`,
    remoteAddress: "192.0.2.1",
    remotePort: 40_000,
    local: false,
    authorized: false,
    peerCertificate: undefined,
    metadata: undefined,
    state: new Map(),
    close: async () => {},
    ...changes,
  };
}

/** A call of that shape. */
export function callContext(kind: RequestContext["kind"]): RequestContext {
  const conn = connection({});
  return {
    id: "1",
    kind,
    method: "method",
    name: "method",
    group: "group",
    signal: new AbortController().signal,
    deadline: undefined,
    metadata: new Metadata(),
    responseHeaders: new Metadata(),
    responseTrailers: new Metadata(),
    session: undefined,
    conn,
    connection: conn,
    log: SILENT,
    values: new Map(),
  };
}
