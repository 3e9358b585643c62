const { join } = require("node:path");

/**
 * Who is measured. A contender's file gives, for its options, `{ serve, connect, inProcess? }`:
 *
 * - `serve(settings)` starts a server and resolves with its address, anything that survives an IPC message.
 * - `connect(address)` resolves with what a client can do: `sum(a, b)`, `object(value)` and `binary(bytes)` (echoes),
 *   `big(size)` (that many bytes), `items(count, onItem)`, `duplex(count, onMessage)`, `close()`. A function that is
 *   missing is not measured. The first four give a promise, or call back what they get as their last argument.
 *
 * Libraries are loaded inside `serve` and `connect`, so that neither side pays for the other's at a cold start.
 */
const contenders = [
  { name: "rap", kind: "rap", title: "rap", file: "rap.js", options: {} },
  { name: "rap-memory", kind: "rap", title: "rap in one process", file: "rap.js", options: { transport: "memory" } },
  { name: "rap-tls", kind: "rap", title: "rap over TLS", file: "rap.js", options: { transport: "tls" } },
  {
    name: "rap-layered",
    kind: "rap",
    title: "rap, a middleware and a processor",
    file: "rap.js",
    options: { layered: true },
  },
  { name: "l1", kind: "limit", title: "L1 bare echo", file: "l1.js", options: {} },
  { name: "l2", kind: "limit", title: "L2 bare echo with msgpack", file: "l2.js", options: {} },
  { name: "l2-tls", kind: "limit", title: "L2 over TLS", file: "l2.js", options: { secure: true } },
  { name: "l2b", kind: "limit", title: "L2b: L2 with a framework's state", file: "l2b.js", options: {} },
];

/** The contender of a name, loaded. */
function load(name) {
  const { file, options } = contenders.find((contender) => contender.name === name);
  return require(join(__dirname, file))(options);
}

module.exports = { contenders, load };
