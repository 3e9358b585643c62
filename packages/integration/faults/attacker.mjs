// Hostile peers in a process of their own, so that what they cost is not measured at the one who looks on.
import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { Kind } from "@rap/protocol";
import { answer, options } from "./child.mjs";
import { random } from "./random.mjs";
import { HELLO, openFrame, PING, RawPeer, rawFrame, resetFrame } from "./raw-peer.mjs";
import { pause } from "./token.mjs";

const { port, tlsPort } = options();

/** Runs `job` for each of `count`, so many at once. */
async function crowd(count, atOnce, job) {
  let next = 0;
  const lane = async () => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** Sends bytes on a new connection and tells how long it took to be closed, and how many bytes came back. */
async function closedIn(bytes, { greeted = false, wait = 2_000 } = {}) {
  const peer = await RawPeer.connect(port);
  if (greeted) peer.greet();
  const began = performance.now();
  peer.write(bytes);
  const closed = await Promise.race([peer.closed, pause(wait)]);
  peer.destroy();
  return { took: closed === undefined ? Infinity : closed - began, received: peer.received, goaway: peer.goaway };
}

const big = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

/** F1: lengths that announce what never comes. */
async function lengths() {
  const limit = 4 * 1024 * 1024;
  const over = [limit + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1];
  const results = [];
  for (const length of over) {
    for (const kind of [Kind.OPEN, Kind.DATA, Kind.PING, Kind.GOAWAY]) {
      results.push(await closedIn(rawFrame(kind, 0, 1, undefined, length), { greeted: true }));
    }
    results.push(await closedIn(Buffer.concat([HELLO.subarray(0, 6), rawFrame(Kind.HELLO, 0, 0, undefined, length)])));
  }
  for (const prefix of [big(0), big(2 ** 31 - 1), big(2 ** 32 - 1), Buffer.from("ffffffffffffffff", "hex")]) {
    results.push(await closedIn(Buffer.concat([prefix, Buffer.alloc(64)])));
  }
  // As many at the limit itself, which are taken at their word by nobody.
  const waiting = await Promise.all(Array.from({ length: 200 }, () => RawPeer.connect(port)));
  for (const peer of waiting) {
    peer.greet();
    peer.write(rawFrame(Kind.OPEN, 0, 1, Buffer.alloc(1_000), limit));
  }
  await pause(500);
  for (const peer of waiting) peer.destroy();
  return results;
}

/** F2: sockets that say nothing, or a byte a second, at every stage. */
async function slow(count, watch) {
  const kinds = {
    silent: async () => connect(port, "127.0.0.1"),
    "a byte a second": async () => dribble(connect(port, "127.0.0.1"), HELLO),
    "half a hello": async () => {
      const socket = connect(port, "127.0.0.1");
      socket.write(HELLO.subarray(0, 20));
      return socket;
    },
    "silent before TLS": async () => connect(tlsPort, "127.0.0.1"),
    "silent in TLS": async () =>
      connectTls({ port: tlsPort, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["rap/1"] }),
    "half a frame": async () => {
      const socket = connect(port, "127.0.0.1");
      socket.write(HELLO);
      return dribble(socket, rawFrame(Kind.OPEN, 0, 1, Buffer.alloc(50), 1_000));
    },
  };
  const names = Object.keys(kinds);
  let closed = 0;
  const sockets = [];
  for (let i = 0; i < count; i++) {
    const socket = await kinds[names[i % names.length]]();
    sockets.push(
      socket
        .on("error", () => {})
        .on("close", () => closed++)
        .on("data", () => {}),
    );
  }
  await pause(watch);
  const share = closed / count;
  for (const socket of sockets) socket.destroy();
  return share;
}

function dribble(socket, bytes) {
  let at = 0;
  const timer = setInterval(
    () => (socket.destroyed ? clearInterval(timer) : socket.write(bytes.subarray(at, ++at))),
    1_000,
  );
  return socket.on("close", () => clearInterval(timer));
}

/** Messages that explode when they are decoded. */
const BOMBS = [
  Buffer.from("ddffffffff", "hex"),
  Buffer.from("dd01ffffff", "hex"),
  Buffer.concat(Array.from({ length: 64 }, () => Buffer.from("dd01ffffff", "hex"))),
  Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from("dcffff", "hex"))),
  Buffer.alloc(100_000, 0x91),
  Buffer.concat([Buffer.from("dd000fffff", "hex"), Buffer.alloc(0xfffff, 0x80)]),
  Buffer.concat([Buffer.from("dd001fffff", "hex"), Buffer.alloc(2 * 0x1fffff, Buffer.from("c400", "hex"))]),
  Buffer.from("dfffffffff", "hex"),
  Buffer.from("dbffffffff", "hex"),
  Buffer.from("c6ffffffff", "hex"),
  Buffer.from("c9ffffffff01", "hex"),
  Buffer.from("91c1", "hex"),
  Buffer.concat([Buffer.from("9181a9", "hex"), Buffer.from("__proto__"), Buffer.from("80", "hex")]),
  Buffer.concat([Buffer.from("91d9ff", "hex"), Buffer.alloc(255, 0xc0)]),
  Buffer.concat([Buffer.from("91c7ff78", "hex"), Buffer.alloc(255, 0x2b)]),
  Buffer.from("9100".repeat(3), "hex"),
];

/** F3: each bomb as arguments, and as the first thing that is said; then mutants of a good call. */
async function bombs(mutants, seed) {
  const { upTo } = random(seed);
  let slowest = 0;
  let accepted = 0;
  for (const bomb of BOMBS) {
    const hello = rawFrame(Kind.HELLO, 0, 0, bomb.subarray(0, 16_000));
    const { took } = await closedIn(Buffer.concat([HELLO.subarray(0, 6), hello]), { wait: 500 });
    slowest = Math.max(slowest, took);
    const peer = await RawPeer.connect(port);
    peer.greet();
    await answered(peer);
    const began = performance.now();
    peer.write(openFrame(1, "echo", undefined, { body: bomb }));
    while (peer.open && !peer.frames.some(({ kind }) => kind === "reset" || kind === "data")) await pause(1);
    slowest = Math.max(slowest, performance.now() - began);
    if (peer.frames.some(({ kind }) => kind === "data")) accepted++;
    peer.destroy();
  }
  const good = openFrame(1, "echo", [
    { caller: "x", n: 1, pad: Buffer.alloc(16), list: [1, "two", 3.5, null, [true]] },
  ]);
  let peer;
  for (let i = 0; i < mutants; i++) {
    if (peer === undefined || !peer.open) {
      peer = await RawPeer.connect(port);
      peer.greet();
    }
    const mutant = Buffer.from(good);
    mutant.writeUInt32BE(2 * i + 1, 6);
    for (let flips = 1 + upTo(4); flips > 0; flips--) mutant[10 + upTo(mutant.length - 10)] = upTo(256);
    await peer.push(mutant);
  }
  peer.destroy();
  return { slowest, accepted };
}

/** Waits until the peer has been heard. */
async function answered(peer) {
  const before = peer.frames.length;
  peer.write(PING);
  while (peer.open && !peer.frames.slice(before).some(({ kind }) => kind === "pong")) await pause(1);
}

/**
 * F4: a million frames of one kind, with nothing read. `stuck`: for a second nothing was taken. A server that goes on
 * taking, however slowly, has eight seconds.
 */
async function flood(what, count) {
  const frames = {
    pings: () => PING,
    cancels: (i) => resetFrame(2 * i + 1),
    "empty frames": () => rawFrame(Kind.DATA, 0, 1),
    "tiny calls": (i) => openFrame(2 * i + 1, "add", [1, 2]),
    "odd optional frames": () => rawFrame(0x99, 0, 0),
  };
  const peer = await RawPeer.connect(port);
  peer.greet();
  peer.pause();
  let sent = 0;
  let stuck = false;
  const end = performance.now() + 8_000;
  while (sent < count && peer.open && !stuck && performance.now() < end) {
    const batch = Array.from({ length: 500 }, (_, i) => frames[what](sent + i));
    sent += 500;
    const taken = peer.push(Buffer.concat(batch)).then(() => false);
    stuck = await Promise.race([taken, pause(1_000).then(() => true)]);
  }
  // Who does not read does not hear of the end, either.
  peer.socket.resume();
  await Promise.race([peer.closed, pause(3_000)]);
  const { open, goaway } = peer;
  peer.destroy();
  return { sent, stuck, open, goaway };
}

/** F5: calls opened and cancelled at once, on another connection whenever one is closed. */
/** From an address of its own: what one address may have is no matter of others. */
async function rapidCancel(count) {
  let sent = 0;
  let slowest = 0;
  const goaways = new Set();
  let connections = 0;
  while (sent < count) {
    const peer = await RawPeer.connect(port, { localAddress: "127.0.0.2" });
    connections++;
    peer.greet();
    const began = performance.now();
    let own = 0;
    while (sent < count && peer.open) {
      const batch = [];
      for (let i = 0; i < 200; i++, own++, sent++) {
        batch.push(openFrame(2 * own + 1, "stubborn", [1_000]), resetFrame(2 * own + 1));
      }
      await peer.push(Buffer.concat(batch));
      await new Promise(setImmediate);
    }
    if (!peer.open) {
      slowest = Math.max(slowest, (await peer.closed) - began);
      goaways.add(peer.goaway);
    }
    peer.destroy();
  }
  return { slowest, connections, goaways: [...goaways].join() };
}

/** F6: peers that want a gigabyte each, as one stream or as results, and read nothing, or a KiB a second. */
async function slowReaders(count, wait, kind) {
  const peers = await Promise.all(Array.from({ length: count }, () => RawPeer.connect(port)));
  const ends = peers.map(async (peer, i) => {
    peer.greet();
    if (kind === "250 results") {
      for (let id = 1; id < 500; id += 2) peer.call(id, "blob", [4_000_000]);
    } else {
      const size = kind === "items of 15 KiB" ? 15_000 : 65_536;
      peer.call(1, "big", [size, Math.ceil(2 ** 30 / size)], { shape: "server_stream" });
      peer.credit(1, 2 ** 30, 2 ** 30);
    }
    peer.credit(0, 2 ** 30, 0);
    peer.pause();
    const timer = i % 2 === 0 ? undefined : setInterval(() => peer.socket.read(1_024), 1_000);
    await pause(wait);
    clearInterval(timer);
    // Who does not read does not hear of the end, either.
    peer.socket.resume();
    await Promise.race([peer.closed, pause(1_000)]);
    const { open } = peer;
    peer.destroy();
    return open;
  });
  return Promise.all(ends);
}

/** F7: connections that come and go by FIN, by RST, and half. */
async function churn(count) {
  const began = performance.now();
  await crowd(count, 64, async (i) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    // A reset before the server has accepted.
    if (i % 4 === 3)
      await new Promise((resolve) =>
        socket.once("connect", () => resolve(socket.resetAndDestroy())).once("close", resolve),
      );
    else {
      await once(socket, "connect").catch(() => {});
      if (i % 4 === 0) socket.end();
      else if (i % 4 === 1) socket.end(HELLO.subarray(0, 1 + (i % HELLO.length)));
      else socket.write(HELLO, () => socket.resetAndDestroy());
      socket.resume();
      await Promise.race([once(socket, "close").catch(() => {}), pause(3_000)]);
      socket.destroy();
    }
  });
  return count / ((performance.now() - began) / 1_000);
}

const FOREIGN = {
  HTTP: Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  "HTTP/2": Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  TLS: Buffer.from("16030100c8010000c40303", "hex"),
  SSH: Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"),
  Redis: Buffer.from("*1\r\n$4\r\nPING\r\n"),
};

/** F15: garbage before, within and after the handshake, and foreign protocols. */
async function garbage(count, seed) {
  const { upTo } = random(seed);
  let most = 0;
  for (const bytes of Object.values(FOREIGN)) most = Math.max(most, (await closedIn(bytes)).received);
  await crowd(count, 32, async () => {
    const peer = await RawPeer.connect(port).catch(() => undefined);
    if (peer === undefined) return;
    const noise = Buffer.from(Array.from({ length: 1 + upTo(200) }, () => upTo(256)));
    const stage = upTo(3);
    if (stage === 0) peer.write(noise);
    else if (stage === 1) {
      const hello = Buffer.from(HELLO);
      for (let flips = 1 + upTo(5); flips > 0; flips--) hello[upTo(hello.length)] = upTo(256);
      peer.write(hello);
    } else peer.write(Buffer.concat([HELLO, openFrame(1, "add", [1, 2]), noise]));
    await Promise.race([peer.closed, pause(30)]);
    most = Math.max(most, peer.received);
    peer.destroy();
  });
  return most;
}

answer({ lengths, slow, bombs, flood, rapidCancel, slowReaders, churn, garbage });
