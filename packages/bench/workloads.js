const KiB = 1024;
const MiB = 1024 * KiB;

/** A workload that needs more than the default settings of rap says here which; everything else is as users get it. */
const crowd = {
  acceptBurst: 20_000,
  maxConnections: 20_000,
  maxConnectionsPerIp: 20_000,
  maxHandshakes: 20_000,
  maxHandshakesPerIp: 20_000,
};
const large = (size) => ({ maxMessageBytes: size + KiB });

/** At most so much of what has many points. */
const brief = { rounds: 3, warmUp: 500, ms: 500 };

/** Who is shown where every contender would be too many. */
const few = ["rap", "l2", "l2b", "grpc", "birpc", "socketio", "nats", "fastify"];

/**
 * What is measured. `operation` is what a client must be able to do; `kind` says how it is measured and shown, calls
 * if nothing else. A workload with `points` is measured once for each, with the fields of the point on top. `floor` is
 * what rap must reach, as a ratio to others in the same round; `rounds`, `warmUp` and `ms` are the most that it takes.
 */
const workloads = [
  {
    name: "W1",
    title: "unary `sum`, one at a time",
    unit: "calls/s",
    operation: "sum",
    inFlight: 1,
    floor: { l2: 0.85, peer: 0.95, grpc: 3 },
  },
  {
    name: "W2",
    title: "`sum`, 100 in flight",
    unit: "calls/s",
    operation: "sum",
    inFlight: 100,
    floor: { l2: 0.6, peer: 2.5, grpc: 25 },
  },
  {
    name: "W3",
    title: "`sum`, 1 000 in flight",
    unit: "calls/s",
    operation: "sum",
    inFlight: 1_000,
    floor: { l2: 0.6, peer: 3.5, grpc: 50 },
  },
  {
    name: "W4",
    title: "1 KiB nested object, 100 in flight",
    unit: "calls/s",
    operation: "object",
    inFlight: 100,
    floor: { l2: 0.95, peer: 1, grpc: 6 },
  },
  {
    name: "W5",
    title: "1 MiB binary, 8 in flight",
    unit: "MiB/s",
    operation: "binary",
    inFlight: 8,
    size: MiB,
    floor: { l2: 0.9, peer: 0.9, grpc: 5 },
  },
  {
    name: "W6",
    title: "a stream of up to 100 000 integers",
    unit: "items/s",
    operation: "items",
    floor: { l2b: 0.9, peer: 0.9, grpc: 5 },
  },
  {
    name: "W7",
    title: "duplex echo of up to 100 000 messages",
    unit: "messages/s",
    operation: "duplex",
    floor: { l2: 0.6, peer: 1.7, grpc: 6 },
  },
  {
    name: "W8",
    kind: "idle",
    title: "idle connections: memory of the server for each",
    unit: "KiB",
    operation: "idle",
    limits: crowd,
    axis: "connections",
    points: [
      { at: "2 000", connections: 2_000 },
      { at: "10 000", connections: 10_000 },
    ],
    rounds: 2,
  },
  {
    name: "W9",
    kind: "cold",
    title: "cold start: from the start of the client's process to its first finished call",
    unit: "ms",
    operation: "sum",
  },
  {
    name: "W10",
    kind: "mixed",
    title: "64 MiB results and small calls on one connection",
    unit: "calls/s",
    operation: "big",
    inFlight: 1,
    size: 64 * MiB,
    limits: large(64 * MiB),
    rounds: 3,
  },
  {
    name: "W11-connections",
    title: "connections of one client, 32 calls in flight on each",
    unit: "calls/s",
    operation: "sum",
    axis: "connections",
    points: [1, 4, 16, 64].map((connections) => ({ at: connections, connections, inFlight: 32 * connections })),
    only: few,
    ...brief,
  },
  {
    name: "W11-inflight",
    title: "calls in flight on one connection",
    unit: "calls/s",
    operation: "sum",
    axis: "calls in flight",
    points: [1, 10, 100, 1_000, 10_000].map((inFlight) => ({ at: inFlight, inFlight })),
    only: few,
    ...brief,
  },
  {
    name: "W11-payload",
    title: "bytes of a call's argument and of its result, 8 calls in flight",
    unit: "MiB/s",
    operation: "binary",
    inFlight: 8,
    limits: large(16 * MiB),
    axis: "bytes",
    points: [1, KiB, 64 * KiB, MiB, 16 * MiB].map((size) => ({ at: size, size })),
    only: few,
    ...brief,
  },
  {
    name: "W11-processes",
    title: "server processes behind one port (node:cluster), called by two clients with 8 connections each",
    unit: "calls/s",
    operation: "sum",
    inFlight: 256,
    connections: 8,
    clients: 2,
    axis: "server processes",
    points: [1, 2, 4].map((servers) => ({ at: servers, servers })),
    only: ["rap", "l2", "l2b", "grpc", "socketio", "fastify"],
    // Warmed up like the rest: a server that gets a quarter of the calls takes long to have its code optimised.
    rounds: brief.rounds,
    ms: brief.ms,
  },
];

module.exports = { workloads };
