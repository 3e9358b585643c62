import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { Client } from "@rap/client";
import { ClientCryptoProcessor, ServerCryptoProcessor } from "@rap/plugin-crypto";
import { certificates } from "./certificates.mjs";
import { Child } from "./child.mjs";
import { inTurn, outcome } from "./crashes.mjs";
import { FaultyProxy } from "./proxy.mjs";
import { ms } from "./report.mjs";
import { pause, until } from "./token.mjs";

const KEY = "0123456789abcdef";
/** The end of what a client offers is an HMAC over all before it. */
const TAG_BYTES = 32;
/** A message's time may differ from the server's by so many milliseconds: the default. */
const WINDOW = 60_000;
const NEVER = { initial: 600_000, max: 600_000 };

const clientOf = (target, key, options = {}) => {
  const client = new Client({ target, reconnect: NEVER, ...options });
  return key === undefined ? client : client.loadProcessor([new ClientCryptoProcessor("id", key)]);
};

/** F16: TLS given up at every stage, and certificates that are no good. */
async function tlsCases(report) {
  const pki = await certificates();
  const mutual = { ...pki.server, ca: pki.ca, requestCert: true, rejectUnauthorized: true };
  const server = await Child.start("./server.mjs", { tls: mutual });
  const plain = await Child.start("./server.mjs");
  const fds = server.fds;
  const proxy = await FaultyProxy.to(server.hello.port);
  const good = new Client({ target: proxy.address.replace("tcp", "tls"), tls: { ca: pki.ca, ...pki.client } });
  await good.start();
  await good.invokeByName("add", [1, 2]);
  await good.stop();
  const length = { ...proxy.seen };
  await proxy.close();
  // Given up after each so many bytes, by reset and by end.
  const cuts = [];
  for (const direction of ["up", "down"]) {
    for (let at = 1; at <= length[direction]; at += 13)
      cuts.push({ [direction]: { [at % 2 === 0 ? "rst" : "fin"]: at } });
  }
  let odd = 0;
  await inTurn(cuts, 16, async (faults) => {
    const cut = await FaultyProxy.to(server.hello.port, faults);
    const client = new Client({
      target: cut.address.replace("tcp", "tls"),
      tls: { ca: pki.ca, ...pki.client },
      reconnect: NEVER,
    });
    const result = await outcome(client.start().then(() => client.invokeByName("add", [1, 2], { timeout: 2_000 })));
    if (result.value !== 3 && result.code !== "UNAVAILABLE") odd++;
    await client.stop({ graceMs: 0 });
    await cut.close();
  });
  report.equal(
    "F16",
    `TLS given up after so many bytes (${cuts.length} cases): other outcomes than an answer or UNAVAILABLE`,
    odd,
    0,
  );
  const bad = {
    "no certificate of the client": { tls: { ca: pki.ca } },
    "a client's certificate that nobody signed": { tls: { ca: pki.ca, ...pki.selfSigned } },
    "an authority that is not trusted": { tls: { ...pki.client } },
    "TLS 1.1 at most": { tls: { ca: pki.ca, ...pki.client, minVersion: "TLSv1", maxVersion: "TLSv1.1" } },
  };
  const codes = [];
  for (const [name, options] of Object.entries(bad)) {
    const client = new Client({ target: server.hello.address, reconnect: NEVER, ...options });
    const result = await outcome(client.start().then(() => client.invokeByName("add", [1, 2])));
    codes.push(`${name}: ${result.code ?? "succeeds"}`);
    await client.stop({ graceMs: 0 });
  }
  for (const [name, identity] of [
    ["an expired certificate", pki.expired],
    ["another host's", pki.elsewhere],
    ["one that nobody signed", pki.selfSigned],
  ]) {
    const wrong = await Child.start("./server.mjs", { tls: identity });
    const client = new Client({ target: wrong.hello.address, tls: { ca: pki.ca }, reconnect: NEVER });
    codes.push(`${name}: ${(await outcome(client.start())).code ?? "succeeds"}`);
    await client.stop({ graceMs: 0 });
    await wrong.end();
  }
  for (const [name, target, options] of [
    ["plain at a TLS port", server.hello.address.replace("tls", "tcp"), {}],
    ["TLS at a plain port", plain.hello.address.replace("tcp", "tls"), { tls: { ca: pki.ca } }],
  ]) {
    const client = new Client({
      target,
      reconnect: NEVER,
      limits: { connectTimeout: 1_000, handshakeTimeout: 1_000 },
      ...options,
    });
    codes.push(`${name}: ${(await outcome(client.start())).code ?? "succeeds"}`);
    await client.stop({ graceMs: 0 });
  }
  const refused = codes.filter((text) => text.endsWith(": UNAVAILABLE")).length;
  report.row(
    "F16",
    "bad certificates and versions, plain and TLS crossed",
    `${codes.length} × UNAVAILABLE`,
    refused === codes.length
      ? `${refused} × UNAVAILABLE`
      : codes.filter((text) => !text.endsWith(": UNAVAILABLE")).join("; "),
    refused === codes.length,
  );
  // Half a handshake, and gone.
  for (let i = 0; i < 50; i++) {
    const socket =
      i % 2 === 0
        ? connect(server.hello.port, "127.0.0.1")
        : connectTls({ port: server.hello.port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("error", () => {});
    setTimeout(() => socket.destroy(), i);
  }
  const quiet = await until(async () => {
    const { connections, handshakes } = await server.ask("stats");
    return connections === 0 && handshakes === 0 && server.fds === fds;
  }, 8_000);
  report.row(
    "F16",
    "connections, handshakes and fds of the server afterwards; warnings",
    "as before; 0",
    `${quiet ? "as before" : `${server.fds - fds} fds more`}; ${(await server.ask("stats")).warnings.length}`,
    quiet && server.running,
  );
  await server.end();
  await plain.end();
}

/** Sends bytes to a server on a connection of one's own; tells how long until it was closed. */
async function say(port, chunks, wait = 1_500) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let closedAt;
  socket.on("error", () => {}).on("data", () => {});
  const closed = new Promise((resolve) =>
    socket.on("close", () => {
      closedAt = performance.now();
      resolve();
    }),
  );
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  const began = performance.now();
  for (const chunk of chunks) {
    if (!socket.destroyed) socket.write(chunk);
    await pause(5);
  }
  await Promise.race([closed, pause(wait)]);
  socket.destroy();
  return (closedAt ?? Infinity) - began;
}

/** F24: what was recorded of an encrypted connection is said again, in every way. */
async function replay(report) {
  const crypto = { id: KEY };
  const [server, other] = await Promise.all([
    Child.start("./server.mjs", { crypto }),
    Child.start("./server.mjs", { crypto }),
  ]);
  const proxy = await FaultyProxy.to(server.hello.port);
  proxy.recording = true;
  const client = clientOf(proxy.address, KEY);
  await client.start();
  for (let n = 0; n < 5; n++) await client.invokeByName("echo", [{ caller: "replay", n, pad: Buffer.alloc(16) }]);
  const executed = (await server.ask("stats")).executed;
  const { up, down } = proxy.recorded;
  const whole = Buffer.concat(up);
  const last = up.at(-1);
  const { port } = server.hello;
  let slowest = Math.max(
    await say(port, [whole]),
    await say(port, [whole, whole]),
    await say(port, [whole, ...Array.from({ length: 50 }, () => last)]),
    await say(port, up),
    await say(port, [Buffer.concat(down)]),
    await say(other.hello.port, [whole]),
    await say(other.hello.port, up),
  );
  // A live one: the last frame once more, on the connection that it was made for.
  proxy.inject("up", last);
  await until(() => client.stats().connections === 0, 2_000);
  const lost = client.stats().connections === 0;
  await pause(100);
  await server.ask("jump", WINDOW + 1_000);
  slowest = Math.max(slowest, await say(port, [whole]));
  const after = await server.ask("stats");
  report.equal(
    "F24",
    "recorded bytes said again (whole, twice, last × 50, in pieces, reflected, elsewhere, live, later): executed",
    after.executed - executed + (await other.ask("stats")).executed,
    0,
  );
  report.atMost("F24", "the connection of a replay is closed within", slowest, 1_000, ms);
  report.row("F24", "a live connection into which a frame is repeated", "closed", lost ? "closed" : "open", lost);
  report.row(
    "F24",
    `what is said again after the window of ${WINDOW / 1_000} s is refused`,
    "for its time",
    after.refusal,
    /clock/.test(after.refusal),
  );
  await client.stop({ graceMs: 0 });
  await proxy.close();
  await server.end();
  await other.end();
}

/** L5: whether the time of a refusal tells how far a tag was right. Told and not judged: a busy machine moves it. */
async function timing(report) {
  const { secure } = new ServerCryptoProcessor({ id: KEY });
  const { bytes } = new ClientCryptoProcessor("id", KEY).secure.offer(undefined);
  const forged = [bytes.length - TAG_BYTES, bytes.length - 1].map((at) => {
    const copy = Uint8Array.from(bytes);
    copy[at] ^= 1;
    return { copy, times: [] };
  });
  for (let i = 0; i < 20_000; i++) {
    // Each of them first half of the time.
    for (const { copy, times } of i % 2 === 0 ? forged : forged.toReversed()) {
      const began = performance.now();
      await secure.answer(copy, undefined).catch(() => {});
      times.push(performance.now() - began);
    }
  }
  const [first, last] = forged.map(({ times }) => times.sort((a, b) => a - b)[times.length / 2]);
  report.told(
    "L5",
    "medians of 20 000 refusals each, a tag's first byte wrong and its last: difference",
    "< 1 %",
    `${((Math.abs(first - last) / last) * 100).toFixed(2)} % of ${(last * 1_000).toFixed(1)} µs`,
  );
}

/** F25: neither side goes on without the encryption that it is to have. */
async function downgrade(report) {
  const secured = await Child.start("./server.mjs", { crypto: { id: KEY } });
  const plain = await Child.start("./server.mjs");
  const cases = [];
  const refusal = async (name, target, key, options) => {
    const client = clientOf(target, key, options);
    const began = performance.now();
    const result = await outcome(client.start().then(() => client.invokeByName("add", [1, 2], { timeout: 1_000 })));
    cases.push({ name, code: result.code ?? "succeeds", took: performance.now() - began });
    await client.stop({ graceMs: 0 });
  };
  await refusal("plain client, encrypting server", secured.hello.address, undefined);
  await refusal("encrypting client, plain server", plain.hello.address, KEY);
  await refusal("another key", secured.hello.address, "fedcba9876543210");
  const probe = await FaultyProxy.to(secured.hello.port);
  probe.recording = true;
  const client = clientOf(probe.address, KEY);
  await client.start();
  await client.stop();
  // Every byte of the first frame of each direction, the suite list among them, edited by someone on the way.
  const first = {
    up: Buffer.concat(probe.recorded.up).subarray(6),
    down: Buffer.concat(probe.recorded.down).subarray(6),
  };
  await probe.close();
  for (const direction of ["up", "down"]) {
    const size = 10 + first[direction].readUInt32BE(0);
    // The head's length is another matter: it makes the other side wait for more.
    for (let at = 4; at < size; at++) {
      const poke = (frame, index) => {
        if (index > 0) return [frame];
        const poked = Buffer.from(frame);
        poked[at] ^= 1;
        return [poked];
      };
      const proxy = await FaultyProxy.to(secured.hello.port, { [direction]: { mangle: () => poke } });
      await refusal(`${direction} ${at}`, proxy.address, KEY);
      await proxy.close();
    }
  }
  const accepted = cases.filter(({ code }) => code !== "UNAVAILABLE");
  report.row(
    "F25",
    `downgrades and ${cases.length - 3} edits of the exchange, byte by byte`,
    "all UNAVAILABLE",
    accepted.length === 0
      ? "all UNAVAILABLE"
      : accepted
          .slice(0, 5)
          .map(({ name, code }) => `${name}: ${code}`)
          .join("; "),
    accepted.length === 0,
  );
  report.atMost("F25", "the slowest refusal", Math.max(...cases.map(({ took }) => took)), 1_000, ms);
  report.equal("F25", "executed", (await secured.ask("stats")).executed + (await plain.ask("stats")).executed, 0);
  await secured.end();
  await plain.end();
}

/** F16, F24, L5, F25: TLS and the crypto processor. */
export async function encryption(report) {
  await tlsCases(report);
  await replay(report);
  await timing(report);
  await downgrade(report);
}
