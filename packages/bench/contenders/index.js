const { join } = require("node:path");

/** Not asked of what differs only in how it handles a message: W1, W2, W4 and W6 show it. */
const VARIANT = ["W3", "W5", "W7", "W8", "W9", "W10"];

/** Rounds of those whom no ratio with a floor is about, or one that is far above it. */
const FEW = 3;

/**
 * Who is measured. A contender's file gives, for its options, `{ serve, connect, inProcess?, elsewhere? }`:
 *
 * - `serve({ limits })` starts a server and resolves with its address, anything that survives an IPC message.
 * - `connect(address)` resolves with what a client can do: `sum(a, b)`, `object(value)` and `binary(bytes)` (echoes),
 *   `big(size)` (that many bytes), `items(count, onItem)`, `duplex(count, onMessage)`, `close()`. A function that is
 *   missing is not measured. The first four give a promise, or call back what they get as their last argument.
 * - `inProcess`: server and client are in one process, and the address is not sent.
 * - `elsewhere()`: CPU seconds and memory that the server uses in other processes.
 *
 * `packages` are what a client installs, `skip` are workloads that it is not asked for, `rounds` are the most that it
 * takes part in, `gathers` says that its handler puts many items into one, which no floor is about, `streams` that
 * streams (and channels, if it does W7) are part of its calls: the other peers' W6 and W7 are messages without
 * back-pressure, or lines of a body. Libraries are loaded inside `serve` and `connect`, so that neither side pays for the
 * other's at a cold start.
 */
const contenders = [
  { name: "rap", kind: "rap", title: "rap", file: "rap.js", packages: ["@rap/client"] },
  {
    name: "rap-memory",
    kind: "rap",
    title: "rap in one process",
    rounds: FEW,
    file: "rap.js",
    options: { transport: "memory" },
    skip: VARIANT,
  },
  { name: "rap-tls", kind: "rap", title: "rap over TLS", file: "rap.js", options: { transport: "tls" } },
  {
    name: "rap-crypto",
    kind: "rap",
    title: "rap with plugin-crypto",
    file: "rap.js",
    options: { crypto: true },
    skip: VARIANT,
  },
  {
    name: "rap-msgpackr",
    kind: "rap",
    title: "rap with codec-msgpackr",
    rounds: FEW,
    file: "rap.js",
    options: { msgpackr: true },
    skip: VARIANT,
  },
  {
    name: "rap-layered",
    kind: "rap",
    title: "rap, a middleware and a processor",
    file: "rap.js",
    options: { layered: true },
    skip: VARIANT,
  },
  { name: "socket", kind: "limit", title: "bare socket", file: "socket.js", skip: ["W9"] },
  { name: "l1", kind: "limit", title: "L1 bare echo", rounds: FEW, file: "l1.js" },
  { name: "l2", kind: "limit", title: "L2 bare echo with msgpack", file: "l2.js", packages: ["@msgpack/msgpack"] },
  { name: "l2-tls", kind: "limit", title: "L2 over TLS", rounds: FEW, file: "l2.js", options: { secure: true } },
  {
    name: "l2b",
    kind: "limit",
    title: "L2b: L2 with a framework's state",
    file: "l2b.js",
    packages: ["@msgpack/msgpack"],
  },
  {
    name: "grpc",
    kind: "peer",
    title: "grpc-js",
    file: "../peers/grpc.js",
    streams: true,
    packages: ["@grpc/grpc-js", "@grpc/proto-loader"],
  },
  {
    name: "connect",
    kind: "peer",
    title: "connect-node",
    rounds: FEW,
    file: "../peers/connect.js",
    streams: true,
    packages: ["@connectrpc/connect", "@connectrpc/connect-node", "@bufbuild/protobuf"],
  },
  {
    name: "trpc",
    kind: "peer",
    title: "tRPC over ws",
    rounds: FEW,
    file: "../peers/trpc.js",
    streams: true,
    packages: ["@trpc/client", "ws"],
  },
  {
    name: "moleculer",
    kind: "peer",
    title: "Moleculer over TCP",
    rounds: FEW,
    file: "../peers/moleculer.js",
    streams: true,
    packages: ["moleculer"],
    // Its nodes connect to each other: thousands of clients would be a mesh, not connections of one server. Of W10 it does
    // not come to the end.
    skip: ["W8", "W10"],
  },
  {
    name: "socketio",
    kind: "peer",
    title: "socket.io with msgpack",
    file: "../peers/socketio.js",
    options: { msgpack: true },
    packages: ["socket.io-client", "socket.io-msgpack-parser"],
  },
  {
    name: "socketio-json",
    kind: "peer",
    title: "socket.io with JSON",
    file: "../peers/socketio.js",
    options: { msgpack: false },
    packages: ["socket.io-client"],
  },
  {
    name: "capnweb",
    kind: "peer",
    title: "capnweb",
    rounds: FEW,
    file: "../peers/capnweb.js",
    streams: true,
    packages: ["capnweb", "ws"],
  },
  {
    name: "birpc",
    kind: "peer",
    title: "birpc over ws with msgpack",
    file: "../peers/birpc.js",
    packages: ["birpc", "ws", "@msgpack/msgpack"],
  },
  {
    name: "nats",
    kind: "peer",
    title: "NATS request-reply",
    file: "../peers/nats.js",
    packages: ["@nats-io/transport-node"],
  },
  {
    name: "fastify",
    kind: "peer",
    title: "fastify, undici with pipelining",
    file: "../peers/fastify.js",
    packages: ["undici"],
  },
  {
    name: "fastify-pieces",
    kind: "peer",
    title: "fastify, 16 KiB of lines as one item",
    file: "../peers/fastify.js",
    options: { lineBytes: 16 * 1024 },
    gathers: true,
    skip: ["W1", "W2", "W4", ...VARIANT],
  },
];

/** The contender of a name, loaded. */
function load(name) {
  const { file, options = {} } = contenders.find((contender) => contender.name === name);
  return require(join(__dirname, file))(options);
}

module.exports = { contenders, load };
