import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { Client } from "@rap/client";
import { type Clock, type Limits, limits } from "@rap/protocol";
import { memory, type Peer, tcp } from "@rap/transport";
import fc from "fast-check";
import { certificates } from "../../transport/test/certificates";
import { connMiddleware, Server, type ServerOptions } from "../src";
import { Admission, type Seat } from "../src/admission";

/** A clock that stands still until it is moved. */
class Stopped implements Clock {
  time = 1_000;
  now = (): number => this.time;
  setTimeout = (): undefined => undefined;
  clearTimeout(): void {}
}

const peer = (address: string, local = false): Peer => ({
  address,
  port: 1,
  localAddress: "192.0.2.1",
  local,
  encrypted: false,
  authorized: false,
  certificate: undefined,
});

function admission(changes: Partial<Limits>, clock = new Stopped()): Admission {
  return new Admission(limits(changes), clock, []);
}

/** How many of `count` are let in. */
function admitted(door: Admission, count: number, from: (index: number) => Peer): Seat[] {
  return Array.from({ length: count }, (_, index) => door.enter(from(index), false)).filter(
    (seat) => seat !== undefined,
  );
}

describe("a server's admission", () => {
  test.each([
    ["maxConnections", { maxConnections: 5 }, (index: number) => peer(`192.0.2.${index}`)],
    ["maxHandshakes", { maxHandshakes: 5 }, (index: number) => peer(`192.0.2.${index}`)],
    ["maxConnectionsPerIp", { maxConnectionsPerIp: 5 }, () => peer("192.0.2.7")],
    ["maxHandshakesPerIp", { maxHandshakesPerIp: 5 }, () => peer("192.0.2.7")],
    ["acceptsPerSecond", { acceptBurst: 5 }, () => peer("192.0.2.7")],
  ] as const)("lets in as many as %s says, and counts the others", (name, changes, from) => {
    for (const [count, over] of [
      [4, 0],
      [5, 0],
      [6, 1],
    ] as const) {
      const door = admission(changes);
      expect(admitted(door, count, from)).toHaveLength(count - over);
      expect(door.rejected).toEqual({ ...admission({}).rejected, [name]: over });
    }
  });

  test.each([
    [{}, 5_000, Infinity],
    [{ maxServerInFlight: 99 }, 50, Infinity],
    [{ maxServerInFlight: 99, maxInFlightPerIp: 7 }, 7, 7],
  ])("with %j gives an address %d calls, and this machine %d", (changes, far, near) => {
    const door = admission(changes);
    const shares = [peer("192.0.2.7"), peer("127.0.0.1", true)].map(
      (from) => door.enter(from, false)!.source!.maxInFlight,
    );
    expect(shares).toEqual([far, near]);
  });

  test("has room again when a handshake is done, a connection is gone, or time has passed", () => {
    const clock = new Stopped();
    const door = admission(
      { maxHandshakesPerIp: 1, maxConnectionsPerIp: 2, acceptBurst: 3, acceptsPerSecond: 2 },
      clock,
    );
    const first = door.enter(peer("192.0.2.7"), false)!;
    expect(door.enter(peer("192.0.2.7"), false)).toBeUndefined();
    door.ready(first);
    const second = door.enter(peer("192.0.2.7"), false)!;
    door.ready(second);
    expect(door.enter(peer("192.0.2.7"), false)).toBeUndefined();
    door.leave(first);
    door.leave(door.enter(peer("192.0.2.7"), false)!);
    expect(door.enter(peer("192.0.2.7"), false)).toBeUndefined();
    expect(door.rejected).toMatchObject({ maxHandshakesPerIp: 1, maxConnectionsPerIp: 1, acceptsPerSecond: 1 });
    // An address without a connection is remembered, or to leave would fill the budget.
    door.leave(second);
    expect(door.enter(peer("192.0.2.7"), false)).toBeUndefined();
    clock.time += 500;
    expect(door.enter(peer("192.0.2.7"), false)).toBeDefined();
  });

  test("counts an IPv6 /64 as one address, and IPv4 by whichever name", () => {
    const door = admission({ maxConnectionsPerIp: 2 });
    expect(admitted(door, 3, (index) => peer(`2001:db8::${index}`))).toHaveLength(2);
    expect(admitted(door, 3, (index) => peer(`2001:db8:0:${index + 1}::1`))).toHaveLength(3);
    expect(admitted(door, 3, (index) => peer(index === 1 ? "::ffff:192.0.2.7" : "192.0.2.7"))).toHaveLength(2);
  });

  test("spares peers on this machine as long as the limits are the defaults, except that of all connections", () => {
    const door = admission({});
    expect(admitted(door, 1_000, () => peer("127.0.0.1", true))).toHaveLength(1_000);
    expect(admitted(door, 1, () => peer("192.0.2.7"))).toHaveLength(0);
    expect(admitted(admission({}), 40, () => peer("127.0.0.1"))).toHaveLength(32);
    expect(admitted(admission({ maxConnections: 3 }), 9, () => peer("memory", true))).toHaveLength(3);
    expect(admitted(admission({ acceptsPerSecond: 1 }), 101, () => peer("127.0.0.1", true))).toHaveLength(100);
  });

  test("forgets addresses without a connection when there are too many, the longest gone first", () => {
    const door = admission({ acceptBurst: 1, acceptsPerSecond: 0.001 });
    const address = (index: number) => peer(`10.0.${index >> 8}.${index & 255}`);
    for (let index = 0; index <= 10_000; index++) door.leave(door.enter(address(index), false)!);
    expect(door.enter(address(1), false)).toBeUndefined();
    expect(door.enter(address(10_000), false)).toBeUndefined();
    expect(door.enter(address(0), false)).toBeDefined();
  });

  test("comes back to zero after any churn, and never lets in more than the limits say", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("enter" as const), from: fc.nat(3) }),
      fc.record({ do: fc.constantFrom("ready" as const, "leave" as const), seat: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const door = admission({ maxConnections: 7, maxConnectionsPerIp: 4, maxHandshakesPerIp: 2, maxHandshakes: 5 });
        const seats: Seat[] = [];
        for (const each of steps) {
          if (each.do === "enter") {
            const seat = door.enter(peer(`192.0.2.${each.from}`), false);
            if (seat !== undefined) seats.push(seat);
          } else {
            const seat = seats[each.seat % Math.max(1, seats.length)];
            if (seat !== undefined) door[each.do](seat);
          }
          const open = seats.filter(({ state }) => state !== "left");
          const shaking = open.filter(({ state }) => state === "handshake");
          expect(door.counts).toMatchObject({ open: open.length, handshakes: shaking.length });
          expect(open.length <= 7 && shaking.length <= 5).toBe(true);
          for (const { source } of open) {
            expect(source!.open).toBe(open.filter((other) => other.source === source).length);
            expect(source!.open <= 4 && source!.handshakes <= 2).toBe(true);
          }
        }
        for (const seat of seats) door.leave(seat);
        expect(door.counts).toEqual({ open: 0, handshakes: 0, addresses: 0 });
      }),
      { numRuns: 300 },
    );
  });
});

describe("a server", () => {
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function listening(options: ServerOptions): Promise<Server> {
    const server = new Server({ port: 0, ...options });
    await server.listen();
    stops.push(() => server.shutdown({ graceMs: 0 }));
    return server;
  }

  /** A connected socket that says nothing. */
  async function silent(server: Server): Promise<Socket> {
    const { hostname, port } = new URL(server.address!);
    const socket = connect(Number(port), hostname)
      .on("error", () => {})
      .resume();
    stops.push(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  }

  async function started(server: Server): Promise<Client> {
    const client = new Client({ target: server.address! });
    stops.push(() => client.stop({ graceMs: 0 }));
    await client.start();
    return client;
  }

  test("drops the connection over a limit as it is accepted, and goes on with the others", async () => {
    const server = await listening({ limits: { maxHandshakesPerIp: 2 } });
    const [first] = [await silent(server), await silent(server)];
    await once(await silent(server), "close");
    expect(server.stats()).toMatchObject({ handshakes: 2, rejected: { maxHandshakesPerIp: 1 } });
    first!.destroy();
    await until(() => server.stats().handshakes === 1);
    await started(server);
    expect(server.stats()).toMatchObject({ handshakes: 1, connections: 2 });
  });

  test("tells the client of it as a connection that was lost", async () => {
    const server = await listening({ limits: { maxConnectionsPerIp: 1 } });
    const client = await started(server);
    await expect(started(server)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(server.stats().rejected.maxConnectionsPerIp).toBeGreaterThan(0);
    await client.stop();
    await until(() => server.stats().connections === 0);
    // A place is free once the socket itself is gone, which may be a moment later.
    for (let tries = 0; tries < 100; tries++) {
      const again = await started(server).catch(() => undefined);
      if (again !== undefined) return;
    }
    throw new Error("the place did not become free");
  });

  test("counts before TLS: who does not begin with it takes a place, and gives it back", async () => {
    const { server: tls, ca } = await certificates();
    const server = await listening({ tls: { ...tls, filter: ({ port }) => port > 0 }, limits: { maxHandshakes: 1 } });
    const socket = await silent(server);
    await until(() => server.stats().handshakes === 1);
    await once(await silent(server), "close");
    expect(server.stats().rejected.maxHandshakes).toBe(1);
    socket.resetAndDestroy();
    await until(() => server.stats().handshakes === 0);
    const client = new Client({ target: server.address!, tls: { ca } });
    stops.push(() => client.stop());
    await client.start();
    expect(server.stats()).toMatchObject({ handshakes: 0, connections: 1 });
  });

  test("counts who does not come to the end of the TLS handshake in time, like any other handshake", async () => {
    const { server: tls } = await certificates();
    const told: string[] = [];
    const onDrop = ({ message }: Error) => void told.push(message);
    const server = await listening({ tls: { ...tls, onDrop }, limits: { handshakeTimeout: 50 } });
    await once(await silent(server), "close");
    await until(() => server.stats().handshakes === 0);
    expect(server.stats()).toMatchObject({ connections: 0, ended: { handshakeTimeout: 1 } });
    expect(told).toEqual(["the peer did not finish the TLS handshake in time"]);
  });

  test("counts over all its listeners, and those of a transport that it was given", async () => {
    const server = await listening({ limits: { maxConnections: 2 } });
    const second = await server.listen({ port: 0 });
    const transport = memory();
    await server.listen({ transport, address: "memory://third" });
    const own = tcp();
    const { port } = await server.listen({ transport: own, address: "tcp://127.0.0.1:0" });
    const sockets = [await silent(server), await tcp().dial(`tcp://127.0.0.1:${second.port}`)];
    await until(() => server.stats().handshakes === 2);
    for (const dial of [() => transport.dial("memory://third"), () => own.dial(`tcp://127.0.0.1:${port}`)]) {
      const { socket, closed } = startedSocket(await dial());
      await closed;
      socket.destroy();
    }
    expect(server.stats().rejected.maxConnections).toBe(2);
    for (const socket of sockets) socket.destroy();
    await until(() => server.stats().handshakes === 0);
    const { socket } = startedSocket(await transport.dial("memory://third"));
    await until(() => server.stats().handshakes === 1);
    socket.destroy();
    await until(() => server.stats().handshakes === 0);
  });

  test("a middleware's filter drops connections before their first byte, and is told what comes", async () => {
    const arrivals: unknown[] = [];
    let open = false;
    const server = new Server({ port: 0 }).loadMiddleware([
      {
        ...connMiddleware(async (_conn, next) => next()),
        filter(arrival) {
          arrivals.push({ ...arrival, remotePort: 0 });
          return open;
        },
      },
    ]);
    await server.listen();
    stops.push(() => server.shutdown({ graceMs: 0 }));
    await once(await silent(server), "close");
    expect(server.stats()).toMatchObject({ rejected: { filtered: 1 }, handshakes: 0 });
    open = true;
    await started(server);
    const from = { remoteAddress: "127.0.0.1", remotePort: 0, local: true, tls: false };
    expect(arrivals).toEqual([from, from]);
  });

  test("comes back to zero after connections of every kind came and went", async () => {
    const server = await listening({ limits: { maxHandshakes: 50 } });
    for (let round = 0; round < 3; round++) {
      const sockets = await Promise.all(Array.from({ length: 40 }, () => silent(server)));
      for (const [index, socket] of sockets.entries()) {
        if (index % 4 === 0) socket.end("GET / HTTP/1.1\r\n\r\n");
        else if (index % 4 === 1) socket.resetAndDestroy();
        else if (index % 4 === 2) socket.end();
        else socket.destroy();
      }
      const clients = await Promise.all([started(server), started(server)]);
      for (const client of clients) await client.stop();
    }
    await until(() => server.stats().handshakes === 0 && server.stats().connections === 0);
    expect(server.stats().rejected).toEqual(admission({}).rejected);
  });
});

function startedSocket<S extends { start(handler: object): void }>(socket: S): { socket: S; closed: Promise<unknown> } {
  const closed = new Promise((resolve) => {
    socket.start({ onData: () => {}, onDrain: () => {}, onClose: resolve });
  });
  return { socket, closed };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
