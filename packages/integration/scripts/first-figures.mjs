// The call path next to a bare socket that echoes with the same codec ("L2" of docs/performance.md), server and client
// in processes of their own, rounds alternating, medians of the ratio in the same round.
//   npm run build && node packages/integration/scripts/first-figures.mjs [rounds] [seconds a round]
import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const [role, ...rest] = process.argv.slice(2);
const roles = { "server-rap": rapServer, "server-l2": echoServer, "client-rap": rapClient, "client-l2": echoClient };
if (roles[role] !== undefined) await roles[role](...rest);
else await main(Number(role ?? 5), Number(rest[0] ?? 2));

async function main(rounds, seconds) {
  const servers = {};
  for (const name of ["rap", "l2"]) servers[name] = await start(`server-${name}`);
  const loads = [
    ["W1", 1],
    ["W2", 100],
    ["W3", 1000],
  ];
  const table = { W1: [], W2: [], W3: [], W6: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [load, inFlight] of loads) {
      const order = round % 2 === 0 ? ["rap", "l2"] : ["l2", "rap"];
      const rates = {};
      for (const name of order) rates[name] = await measure(name, servers[name].port, inFlight, seconds);
      table[load].push(rates);
      console.log(
        `round ${round + 1} ${load}: rap ${k(rates.rap.rate)} l2 ${k(rates.l2.rate)} ratio ${(rates.rap.rate / rates.l2.rate).toFixed(2)}`,
      );
    }
    const items = { rap: await measure("rap", servers.rap.port, "stream", seconds) };
    table.W6.push(items);
    console.log(`round ${round + 1} W6: rap ${k(items.rap.rate)} items/s`);
  }
  console.log("\n| load | rap/s | L2/s | ratio (median) | client CPU µs/call rap | L2 |\n|---|---|---|---|---|---|");
  for (const [load, all] of Object.entries(table)) {
    const pick = (f) => median(all.map(f));
    const l2 =
      all[0].l2 === undefined
        ? ["", "", ""]
        : [k(pick((r) => r.l2.rate)), pick((r) => r.rap.rate / r.l2.rate).toFixed(2), pick((r) => r.l2.cpu).toFixed(2)];
    console.log(
      `| ${load} | ${k(pick((r) => r.rap.rate))} | ${l2[0]} | ${l2[1]} | ${pick((r) => r.rap.cpu).toFixed(2)} | ${l2[2]} |`,
    );
  }
  for (const { child } of Object.values(servers)) child.kill();
}

function k(n) {
  return `${(n / 1000).toFixed(1)} k`;
}

function median(list) {
  return list.sort((a, b) => a - b)[list.length >> 1];
}

function start(what, ...args) {
  const child = fork(fileURLToPath(import.meta.url), [what, ...args.map(String)]);
  return new Promise((resolve) => child.once("message", (message) => resolve({ child, ...message })));
}

async function measure(name, port, inFlight, seconds) {
  const { child, ...result } = await start(`client-${name}`, port, inFlight, seconds);
  child.kill();
  return result;
}

/** Calls `one` from `inFlight` chains for a second of warm-up and then `seconds`. */
async function drive(one, inFlight, seconds) {
  let count = 0;
  let stop = false;
  const chain = async () => {
    while (!stop) {
      await one(count);
      count++;
    }
  };
  const chains = Array.from({ length: inFlight }, chain);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const from = count;
  const cpu = process.cpuUsage();
  const begin = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const done = count - from;
  const elapsed = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpu);
  stop = true;
  await Promise.all(chains);
  process.send({ rate: (done / elapsed) * 1000, cpu: (user + system) / done });
}

async function rapServer() {
  const { Server } = require("@rap/server");
  const server = new Server();
  server.register({
    sum: (a, b) => a + b,
    async *items(n) {
      for (let i = 0; i < n; i++) yield i;
    },
  });
  const { port } = await server.listen({ port: 0 });
  process.send({ port });
}

async function rapClient(port, load, seconds) {
  const { Client } = require("@rap/client");
  const client = new Client();
  client.addConn("127.0.0.1", Number(port));
  await client.start();
  if (load !== "stream") {
    const sum = client.register("sum");
    await drive((i) => sum(i & 0xffff, 2), Number(load), Number(seconds));
    return;
  }
  const items = client.registerGen("items");
  let count = 0;
  const pass = async () => {
    for await (const _ of items(100_000)) count++;
  };
  await pass();
  count = 0;
  const cpu = process.cpuUsage();
  const begin = performance.now();
  while (performance.now() - begin < Number(seconds) * 1000) await pass();
  const { user, system } = process.cpuUsage(cpu);
  process.send({ rate: (count / (performance.now() - begin)) * 1000, cpu: (user + system) / count });
}

/** Length-prefixed frames of `[type, id, header, body]`, one write a turn: what any such peer must do at least. */
function framing(socket, onMessage) {
  const { Encoder, Decoder } = require("@msgpack/msgpack");
  const encoder = new Encoder();
  const decoder = new Decoder();
  let slab = Buffer.allocUnsafeSlow(65536);
  let from = 0;
  let at = 0;
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    if (at > from) socket.write(slab.subarray(from, at));
    from = at;
  };
  let rest;
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    if (rest !== undefined) chunk = Buffer.concat([rest, chunk]);
    let offset = 0;
    while (chunk.length - offset >= 4) {
      const end = offset + 4 + chunk.readUInt32BE(offset);
      if (end > chunk.length) break;
      onMessage(decoder.decode(chunk.subarray(offset + 4, end)));
      offset = end;
    }
    rest = offset < chunk.length ? chunk.subarray(offset) : undefined;
  });
  return (message) => {
    const body = encoder.encodeSharedRef(message);
    if (at + 4 + body.length > slab.length) {
      flush();
      slab = Buffer.allocUnsafeSlow(65536);
      from = at = 0;
    }
    slab.writeUInt32BE(body.length, at);
    slab.set(body, at + 4);
    at += 4 + body.length;
    if (!scheduled) {
      scheduled = true;
      process.nextTick(flush);
    }
  };
}

async function echoServer() {
  const server = createServer((socket) => {
    const send = framing(socket, (message) => send([2, message[1], "", message[3][0] + message[3][1]]));
  });
  server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
}

async function echoClient(port, inFlight, seconds) {
  const socket = connect(Number(port), "127.0.0.1");
  const pending = new Map();
  let id = 0;
  const send = framing(socket, (message) => {
    const resolve = pending.get(message[1]);
    pending.delete(message[1]);
    resolve(message[3]);
  });
  await drive(
    (i) =>
      new Promise((resolve) => {
        pending.set(++id, resolve);
        send([1, id, "sum", [i & 0xffff, 2]]);
      }),
    Number(inFlight),
    Number(seconds),
  );
}
