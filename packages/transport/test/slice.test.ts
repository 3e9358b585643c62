import { expect, test } from "@jest/globals";
import { type Frame, GoawayCode, type SecureLayer, Shape } from "@rap/protocol";
import { pattern, type RawPeer, World } from "./link";
import { toy } from "./toy-layer";

/** So many calls with a body of so many bytes, the first of them with this id. */
function calls(count: number, target: string, first = 1, bytes = 10): Frame[] {
  return Array.from({ length: count }, (_, n) => {
    const id = first + 2 * n;
    return { kind: "open", id, shape: Shape.UNARY, target, body: pattern(bytes), end: true };
  });
}

/** Connections of a server at which each call takes so many milliseconds; `handled` has all targets in order. */
async function server(
  peers: number,
  link: { highWaterMark?: number; chunk?: number; secure?: SecureLayer } = {},
  took = 0.1,
) {
  const { secure } = link;
  const world = new World(link);
  const handled: string[] = [];
  const links = [];
  for (let n = 0; n < peers; n++) {
    const link = await world.rawReady("server", { limits: { maxInFlight: 10_000 }, secure });
    const { host } = link;
    const { onOpen } = host;
    host.onOpen = (stream, head, bytes) => {
      world.clock.advance(took);
      const sink = onOpen.call(host, stream, head, bytes);
      handled.push(host.targets.at(-1)!);
      return sink;
    };
    links.push(link);
  }
  /** Until all that was sent is handled. */
  const settle = async () => {
    for (let before = -1; before !== handled.length; ) {
      before = handled.length;
      await world.settle();
    }
  };
  return { world, links, handled, settle };
}

test("a peer whose frames take long takes turns with others", async () => {
  const { links, handled, settle } = await server(2);
  const [many, few] = links;
  many!.peer.send(...calls(300, "many"));
  few!.peer.send(...calls(40, "few"));
  await settle();
  expect(handled).toHaveLength(340);
  expect(handled.indexOf("few")).toBeLessThan(40);
  expect(handled.lastIndexOf("few")).toBeLessThan(120);
  expect(handled.slice(-200)).toEqual(new Array(200).fill("many"));
});

test("reads that follow each other at once count together", async () => {
  const { links, handled, settle } = await server(2);
  const [many, few] = links;
  for (let n = 0; n < 100; n++) many!.peer.send(...calls(3, "many", 1 + 6 * n, 6_000));
  few!.peer.send(...calls(40, "few"));
  await settle();
  expect(handled).toHaveLength(340);
  expect(handled.lastIndexOf("few")).toBeLessThan(120);
});

test("reads that follow each other at once count together also where each ends within a record", async () => {
  const { links, handled, settle } = await server(2, { chunk: 18_000, secure: toy().layer });
  const [many, few] = links;
  for (let n = 0; n < 100; n++) many!.peer.send(...calls(3, "many", 1 + 6 * n, 6_000));
  few!.peer.send(...calls(40, "few"));
  await settle();
  expect(handled).toHaveLength(340);
  expect(handled.lastIndexOf("few")).toBeLessThan(120);
});

test("a part of a record that comes later is of a turn of its own", async () => {
  const { world, links, settle } = await server(2);
  for (const { peer } of links) peer.send(...calls(1, "f"));
  await settle();
  const { connection } = links[0]!;
  let held = 0;
  connection.hold = () => void held++;
  world.clock.advance(5);
  connection.onData(new Uint8Array(0));
  expect(held).toBe(0);
});

test("many small reads in one turn count together, each of which is handled whole", async () => {
  const { links, handled, settle } = await server(2);
  const [many, few] = links;
  for (let n = 0; n < 100; n++) many!.peer.send(...calls(3, "many", 1 + 6 * n));
  few!.peer.send(...calls(40, "few"));
  await settle();
  expect(handled).toHaveLength(340);
  expect(handled.lastIndexOf("few")).toBeLessThan(120);
});

test("what a peer has sent before its end is handled", async () => {
  const { links, handled, settle } = await server(1);
  const { peer, host } = links[0]!;
  peer.send(...calls(300, "f"));
  peer.socket.end();
  await settle();
  expect([handled.length, host.events.length]).toEqual([300, 2]);
});

test("what was read before the socket broke is handled, in turns with others", async () => {
  const { links, handled, settle } = await server(2);
  const { peer, host, connection } = links[0]!;
  peer.send(...calls(300, "f"));
  links[1]!.peer.send(...calls(40, "few"));
  const { onOpen } = host;
  host.onOpen = (...args) => {
    if (handled.length === 5) connection.socket.destroy(new Error("cut"));
    return onOpen!.apply(host, args);
  };
  await settle();
  expect([handled.length, host.events.at(-1)]).toEqual([340, "close: the connection was lost: cut"]);
  expect(handled.lastIndexOf("few")).toBeLessThan(120);
});

test("a connection that is closed while the rest of a read waits sees the end of its peer", async () => {
  const { links, handled, settle } = await server(1);
  const { peer, host, connection } = links[0]!;
  const { onOpen } = host;
  host.onOpen = (...args) => {
    if (handled.length === 30) connection.close(GoawayCode.NO_ERROR, "enough");
    return onOpen!.apply(host, args);
  };
  let ended = false;
  const { onClose } = connection;
  connection.onClose = (error) => {
    ended = true;
    onClose.call(connection, error);
  };
  peer.send(...calls(300, "f"));
  await settle();
  peer.socket.end();
  await settle();
  expect([handled.length, ended]).toEqual([31, true]);
});

test("a peer that does not take its answers is not read on in a later turn, but once it takes them", async () => {
  const { links, handled, settle } = await server(1, { highWaterMark: 100 });
  const { peer, host } = links[0]!;
  const { onOpen } = host;
  host.onOpen = (...args) => {
    onOpen!.apply(host, args);
    throw new Error("refused");
  };
  peer.socket.pause();
  peer.send(...calls(600, "f"));
  await settle();
  expect(handled.length).toBeGreaterThan(100);
  expect(handled.length).toBeLessThan(200);
  peer.socket.resume();
  await settle();
  expect(handled).toHaveLength(600);
});

/** How many calls of one peer are handled before each of another, who calls again once it was heard. */
async function flooded(send: (peer: RawPeer, count: number) => void): Promise<number[]> {
  const { links, handled, settle } = await server(2, {}, 0.01);
  const [many, few] = links;
  let sent = 0;
  const call = () => few!.peer.send(...calls(1, "few", 1 + 2 * sent++));
  const { host } = few!;
  const { onOpen } = host;
  host.onOpen = (...args) => {
    if (sent < 60) call();
    return onOpen!.apply(host, args);
  };
  send(many!.peer, 2_000);
  call();
  await settle();
  expect(handled).toHaveLength(2_060);
  return handled
    .join(" ")
    .split("few")
    .map((text) => text.split("many").length - 1);
}

test("a peer that sends more than its slices for long has short ones while another calls", async () => {
  const between = await flooded((peer, count) => peer.send(...calls(count, "many")));
  expect(Math.min(...between.slice(1, 5))).toBeGreaterThan(32);
  expect(between.slice(20, 50)).toEqual(new Array(30).fill(16));
});

test("a peer whose many small reads are more than its slices for long has two of them at a time", async () => {
  const between = await flooded((peer, count) => {
    for (let n = 0; n < count; n += 5) peer.send(...calls(5, "many", 1 + 2 * n));
  });
  expect(Math.min(...between.slice(2, 6))).toBeGreaterThan(32);
  expect(between.slice(20, 50)).toEqual(new Array(30).fill(10));
});
