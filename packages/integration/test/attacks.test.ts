import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, jest, test } from "@jest/globals";
import { RapError } from "@rap/client";
import { defaultLogger } from "@rap/core";
import { encodeFrame, type Frame, Kind, LIMITS, Metadata, msgpack, PREAMBLE } from "@rap/protocol";
import { CASES } from "@rap/rapspec";
import { context, type Server } from "@rap/server";
import { tcp } from "@rap/transport";
import { call, credit, encoded, goaway, greet, helloOf, PING, raw, reset, times } from "../../rapspec/src/frames";
import { RawPeer } from "../../transport/test/link";
import { dial, ends, serve } from "./ends";
import { until } from "./links";

jest.setTimeout(30_000);

/**
 * The classes of attacks that the analysis lists (`limits-and-threats.md`, section 2), by their numbers. What one test
 * file or the conformance suite attacks already is named here, and must be there.
 */
interface Attack {
  readonly name: string;
  /** The attack itself. */
  readonly run?: () => Promise<void>;
  /** Tests that make it elsewhere, by their files and titles. */
  readonly tests?: Readonly<Record<string, readonly string[]>>;
  /** Cases of the conformance suite that are it, by section and name. */
  readonly cases?: Readonly<Record<string, readonly string[]>>;
  /** What there is not yet that could be attacked so. */
  readonly notYet?: string;
}

/** A peer of a server that says what it likes. */
async function stranger(server: Server): Promise<RawPeer> {
  const peer = new RawPeer(await tcp().dial(server.address!));
  ends.push(async () => peer.socket.destroy());
  return peer;
}

async function introduced(server: Server): Promise<RawPeer> {
  const peer = await stranger(server);
  greet(peer);
  await until(() => peer.of("hello").length > 0);
  return peer;
}

const echo = (server: Server) => server.register({ echo: (value: unknown) => value });
const closings = (peer: RawPeer) => peer.of("goaway").map(({ code }) => code);
const EVIL = '\r\n{"level":"error","msg":"forged"}\u001b[2J\u0007\u009b31m\u2028\u2029\u202e\u2066\u007f';

const ATTACKS: Readonly<Record<number, Attack>> = {
  1: {
    name: "a length prefix that promises more than may come",
    cases: {
      "a server is greeted with": ["a HELLO of 16 KiB and a byte", "a HELLO of 4 GiB"],
      "a server gets": [4_194_305, 0x7fffffff, 0x80000000, 0xffffffff].map((length) => `a frame of ${length} bytes`),
      "a client gets": [4_194_305, 0x80000000, 0xffffffff].map((length) => `a frame of ${length} bytes`),
    },
  },
  2: {
    name: "a peer that is slow on purpose",
    cases: {
      "a server is greeted with": [
        "nothing at all",
        "half a HELLO",
        "a HELLO that comes one byte at a time",
        "half a TLS handshake",
        "nothing at all on the TLS port",
      ],
      "a server gets": ["half a frame, and then silence"],
      "a client gets": ["half a frame, and then silence", "nothing any more"],
    },
    tests: { "transport/test/tls.test.ts": ["drops a client that does not finish the handshake, however busy it is"] },
  },
  3: {
    name: "messages that are meant to ruin a decoder",
    cases: {
      "a server gets as arguments": [
        "64 nested of those",
        "20 000 nested array16 of 65 535",
        "1 000 000 nested arrays",
        "the byte c1",
        "UTF-8 that is too long for its character",
        "an unknown extension",
      ],
      "values: a client refuses": ["64 of them nested", "overlong slash", "__proto__ key"],
      "a server gets": ["65 entries", "a value that is not UTF-8"],
    },
    tests: { "protocol/test/scan.test.ts": ["Decoder decodes, also when bytes were altered"] },
  },
  4: {
    name: "floods of frames that cost their sender nothing, whose answers it does not read",
    async run() {
      const server = await serve(echo);
      const healthy = await dial(server.address!);
      const floods: Frame[][] = [
        times(20_000, () => PING),
        times(20_000, () => credit(0, 0, 0)),
        times(20_000, () => reset(1)),
        times(20_000, (i) => call(2 * i + 3, "nothing", { end: false })),
      ];
      for (const flood of floods) {
        const peer = await introduced(server);
        peer.send(call(1, "echo"));
        await until(() => peer.of("data").length > 0);
        peer.socket.pause();
        peer.send(...flood);
        expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
        peer.socket.resume();
        await until(() => peer.closed);
        expect(closings(peer)).toEqual([expect.any(Number)]);
        expect(closings(peer)[0]).toBeGreaterThan(0);
      }
      expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
    },
    cases: {
      "a server gets": ["PINGs without end", "unknown kinds without end", "tiny parts without end"],
      "a client gets": ["PINGs without end", "calls of its own, without end"],
    },
    tests: {
      "transport/test/pressure.test.ts": [
        "is not read from while it takes no answers, and after the stall timeout let go",
      ],
    },
  },
  5: {
    name: "calls that are cancelled at once, without end",
    async run() {
      let alive = 0;
      let most = 0;
      const finish: (() => void)[] = [];
      const server = await serve((it) => {
        it.register({
          async stubborn() {
            most = Math.max(most, ++alive);
            await new Promise<void>((resolve) => void finish.push(resolve));
            alive--;
          },
        });
        echo(it);
      });
      const healthy = await dial(server.address!);
      const peer = await introduced(server);
      peer.send(...times(5_000, (i) => [call(2 * i + 1, "stubborn"), reset(2 * i + 1)]).flat());
      await until(() => peer.closed);
      expect(closings(peer)).toEqual([8]);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(LIMITS.maxInFlight);
      expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
      for (const each of finish) each();
      await until(() => server.stats().inFlight === 0);
    },
    cases: { "a server gets": ["calls of stubborn functions, cancelled at once, without end"] },
    tests: { "server/test/limits.test.ts": ["a cancelled call keeps its place until its function has finished"] },
  },
  6: {
    name: "a reader that asks for much and takes nothing",
    cases: {
      "a server gets": ["answers that the peer does not read", "no credit at all for a stream that it asks for"],
    },
    tests: {
      "integration/test/back-pressure.test.ts": [
        "an endless stream whose reader sleeps stops within the window, and other calls are answered",
      ],
      "server/test/limits.test.ts": [
        "over the limit of bytes that peers do not take, the one that is most behind has to go",
      ],
    },
  },
  7: {
    name: "connections that come and go, in every way",
    async run() {
      const server = await serve(echo);
      const { port } = new URL(server.address!.replace("tcp:", "http:"));
      const gone = times(300, async (i) => {
        const socket = connect(Number(port), "127.0.0.1").on("error", () => {});
        const closed = new Promise((resolve) => socket.on("close", resolve));
        await new Promise((resolve) => socket.on("connect", resolve));
        if (i % 3 === 0) socket.end();
        else if (i % 3 === 1) socket.resetAndDestroy();
        else socket.end(PREAMBLE);
        socket.resume();
        await closed;
      });
      await Promise.all(gone);
      await until(() => server.stats().connections === 0 && server.stats().handshakes === 0);
      expect(server.stats()).toMatchObject({ connections: 0, handshakes: 0, inFlight: 0, timers: 0 });
      expect(await (await dial(server.address!)).invokeByName("echo", ["unharmed"])).toBe("unharmed");
    },
    tests: {
      "transport/test/tcp.test.ts": ["announces no socket that was reset before it could be accepted"],
      "server/test/admission.test.ts": [
        "comes back to zero after any churn, and never lets in more than the limits say",
        "counts before TLS: who does not begin with it takes a place, and gives it back",
      ],
    },
  },
  8: {
    name: "messages and names that keep the event loop busy",
    async run() {
      const server = await serve(echo);
      const healthy = await dial(server.address!);
      const peer = await introduced(server);
      // Keys that look like integers, and strings that a careless expression would try again and again.
      const keys = Object.fromEntries(times(65_536, (i) => [`${i * 65_536}`, null]));
      const name = `${"a-".repeat(127)}!`;
      peer.send(call(1, "echo", { args: [keys] }), ...times(100, (i) => call(2 * i + 3, name)));
      expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
      await until(() => peer.of("reset").length === 100 && peer.of("data").some(({ end }) => end === true));
    },
    cases: { "a server gets as arguments": ["a map of 65 537 entries", "a million empty maps"] },
    tests: {
      "protocol/test/scan.test.ts": ["allow maxMapEntries entries of an object, a Map, a Set, and not one more"],
    },
  },
  9: {
    name: "names that every object inherits, and objects that promises ask",
    async run() {
      const inherited = Reflect.ownKeys(Object.prototype);
      const server = await serve((it) => {
        echo(it);
        it.register({
          failing(data: unknown): never {
            throw new RapError("ABORTED", "no", { data });
          },
        });
      });
      const client = await dial(server.address!);
      // biome-ignore lint/suspicious/noThenProperty: this is the attack
      const trap = { constructor: { prototype: { polluted: 1 } }, prototype: { polluted: 1 }, then: 1, toString: 2 };
      expect(await client.invokeByName("echo", [trap])).toEqual(trap);
      await expect(client.invokeByName("failing", [trap])).rejects.toMatchObject({ data: trap });
      const peer = await introduced(server);
      const polluted = "9181a95f5f70726f746f5f5f81a8706f6c6c7574656401";
      peer.send(call(1, "echo", { body: Buffer.from(polluted, "hex") }));
      peer.send(...["__proto__", "constructor", "then"].map((name, i) => call(2 * i + 3, name)));
      peer.send(call(9, "echo", { metadata: new Metadata({ __proto__x: "1", constructor: "2" }) }));
      await until(() => peer.of("reset").length === 4 && peer.of("data").length === 1);

      const sent = () => server.connections().length + server.stats().inFlight;
      const before = sent();
      const service = client.service<Record<string, () => string>>("default");
      expect(await client).toBe(client);
      expect(await service).toBe(service);
      expect([JSON.stringify(service), typeof inspect(client), typeof inspect(service)]).toEqual([
        "{}",
        "string",
        "string",
      ]);
      expect(sent()).toBe(before);

      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      expect(Reflect.ownKeys(Object.prototype)).toEqual(inherited);
    },
    cases: {
      "a server gets": ["__proto__", "constructor", "toString", "then"].map((name) => `a function called "${name}"`),
      "a server gets as arguments": ["a key __proto__"],
    },
  },
  10: {
    name: "answers to calls that nobody made, that are over, or twice",
    cases: {
      "a client gets": [
        "a result twice",
        "an error twice",
        "answers to a call that was answered, without end",
        "an answer to a call that nobody made",
        "an answer to a call of its own kind",
        "an answer to a call that was cancelled",
      ],
      "a client gets, in its state": ["DATA on a stream that is over", "RESET on a stream that never was"],
    },
  },
  11: {
    name: "texts that forge lines of the log, command a terminal, or fill the disk",
    async run() {
      const lines: string[] = [];
      const logger = defaultLogger({ level: "debug", write: (line) => void lines.push(line) });
      const server = await serve(
        (it) =>
          it.register({
            fail(): never {
              throw new Error(EVIL + "x".repeat(100_000));
            },
          }),
        { logger },
      );
      const peer = await stranger(server);
      peer.write(PREAMBLE);
      peer.send({ kind: "hello", hello: helloOf({ info: EVIL.repeat(20) }) });
      await until(() => peer.of("hello").length > 0);
      peer.send(...times(200, (i) => call(2 * i + 1, "fail", { metadata: new Metadata({ "x-a": EVIL }) })));
      peer.send(...times(50, (i) => call(2 * i + 1_001, `default/${EVIL}`)));
      await until(() => peer.of("reset").length === 250);
      peer.send(goaway(1, 0, EVIL));
      await until(() => server.stats().connections === 0);
      const rude = await stranger(server);
      rude.write(Buffer.from(EVIL));
      await until(() => rude.closed);

      expect(lines.length).toBeGreaterThan(0);
      expect(lines.length).toBeLessThan(50);
      for (const line of lines) {
        expect(line).toMatch(/^\{[^\n]*\}\n$/);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
        expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/);
        expect(JSON.parse(line)).not.toMatchObject({ msg: "forged" });
      }
    },
    tests: {
      "core/test/logger.test.ts": [
        "escapes what could forge a line or command a terminal, and reads back unchanged",
        "cuts strings at 256 characters",
      ],
      "server/test/limits.test.ts": [
        "of one peer's failures no more lines are logged than the limit, and then how many were left out",
      ],
    },
  },
  12: {
    name: "errors that tell what the server is made of",
    async run() {
      const secret = "s3cr3t";
      const server = await serve((it) =>
        it.register({
          file: () => readFileSync(`/no/such/${secret}`),
          plain(): never {
            throw Object.assign(new Error(secret), { cause: new Error(secret), path: secret });
          },
          value(): never {
            throw secret;
          },
          cause(): never {
            throw new RapError("ABORTED", "told", { cause: new Error(secret) });
          },
          async *stream() {
            yield 1;
            throw new TypeError(secret);
          },
        }),
      );
      const peer = await introduced(server);
      const bytes: Uint8Array[] = [];
      const { onData } = peer;
      peer.onData = (chunk) => {
        bytes.push(chunk.slice());
        onData(chunk);
      };
      const names = ["file", "plain", "value", "cause"];
      peer.send(...names.map((name, i) => call(2 * i + 1, name)), call(21, "stream", { shape: 1 }));
      await until(() => peer.of("reset").length === 5);
      expect(Buffer.concat(bytes).toString("latin1")).not.toMatch(/s3cr3t|ENOENT|TypeError|\.[jt]s\b| at /);
    },
    cases: {
      "a server is called as in the lists of gRPC and Connect": ["an error that is not meant for the caller"],
    },
  },
  13: {
    name: "questions for what exists",
    tests: {
      "integration/test/private-functions.test.ts": [
        "is to a peer elsewhere what nobody registered, byte for byte",
        "is in no list that a peer elsewhere gets, and in those of a peer here",
      ],
      "server/test/administration.test.ts": [
        "is for local callers only, as is loading: for others the functions do not exist",
      ],
    },
  },
  14: {
    name: "private functions, from afar",
    tests: {
      "integration/test/private-functions.test.ts": ["is to a peer elsewhere what nobody registered, byte for byte"],
      "integration/test/python-faults.test.ts": [
        "W18: private functions are for peers that the kernel knows as local, and loading code is off",
      ],
      "plugin-ip-filter/test/ip-filter.test.ts": ["nobody changes them from elsewhere"],
    },
    notYet: "through a gateway, which would have to be no local caller: there is none",
  },
  15: {
    name: "addresses in a form that a filter does not expect",
    tests: {
      "plugin-ip-filter/test/cidr.test.ts": [
        "finds an address by whichever name",
        "keeps the families apart: neither all of IPv6 nor a part of it has an IPv4 address, nor the other way",
        "is not misled where net.BlockList is",
        "are told apart as whole numbers are, and as net.BlockList does when it is given the family",
      ],
      "plugin-ip-filter/test/ip-filter.test.ts": [
        "a blocked client costs no TLS handshake: it is dropped as it is accepted",
      ],
    },
    notYet: "the PROXY protocol: it is not spoken, so no address can be claimed by it",
  },
  16: {
    name: "what was recorded, sent again, back, elsewhere, altered, in another order, or cut",
    tests: {
      "plugin-crypto/test/attack.test.ts": [
        "in a call is not executed, and ends the connection",
        "is not executed when the whole session is sent again",
        "is not executed when it is sent to another server with the same key, or to this one after a restart",
        "ends the connection when records come in another order, and neither is executed",
        "cannot be moved from one stream to another: heads are sealed too",
        "an offer sent back to its client does not prove a server",
        "is an error for a stream that was not over, not its end",
      ],
    },
  },
  17: {
    name: "a way down to what is not encrypted, or badly",
    cases: { "a server is greeted with": ["a plain greeting on the TLS port"] },
    tests: {
      "plugin-crypto/test/attack.test.ts": [
        "of a server is refused: it answers nothing that is not encrypted, and decodes nothing",
        "of a client is refused: it says nothing to a server that does not encrypt",
        "in the middle of a connection is refused, at both ends",
        "to a suite that one side does not allow is refused",
      ],
    },
  },
  18: {
    name: "nonces that fill the memory that is kept of them",
    tests: {
      "plugin-crypto/test/freshness.test.ts": [
        "is bounded: with more, messages are refused until the oldest are forgotten",
        "is bounded for each key apart, so that one does not use up the room of another",
        "is not taken for new when the clock jumps back after its nonce was forgotten",
      ],
      "plugin-crypto/test/attack.test.ts": ["because the nonces could not be remembered, is not let in"],
    },
  },
  19: {
    name: "a page in a browser that calls a gateway",
    notYet: "there is no gateway, and a browser cannot speak rap: the preamble is no HTTP",
    cases: { "a server is greeted with": ["an HTTP request"] },
  },
  20: {
    name: "bombs of compressed bytes",
    notYet: "nothing is compressed, and no frame, flag or extension asks for it",
    tests: { "transport/test/handshake.test.ts": ["is ignored below 8000, and refused from there on"] },
  },
  21: {
    name: "all clients at once, when a server comes back",
    tests: {
      "client/test/backoff.test.ts": [
        "is anything up to the initial one at first, so that clients of a server that restarts spread",
        "is spread by a fifth either way, and never over the most",
      ],
      "integration/test/deadlines-and-cancel.test.ts": [
        "dials again, less and less often up to a bound, and takes up its calls when it is back",
      ],
    },
    cases: { "a client is greeted with": ["GOAWAY each time it comes"] },
    notYet: "a hint in GOAWAY how to spread: clients spread by themselves",
  },
  22: {
    name: "errors that nobody catches",
    tests: {
      "transport/test/tcp.test.ts": [
        "drops what the filter refuses, also when the filter or onDrop throws",
        "hands a reset to the handler as an error, and survives it without one",
      ],
      "transport/test/tls.test.ts": ["survives an SNICallback that throws"],
      "server/test/middleware.test.ts": ["one that throws costs its connection and nothing else"],
      "server/test/limits.test.ts": ["a logger that throws fails nothing: no call, no connection, no stop"],
      "integration/test/python-faults.test.ts": [
        "W22: every function has its context, and whatever it throws there is an answer",
      ],
    },
  },
  23: {
    name: "sessions that are guessed, stolen or left behind",
    async run() {
      const server = await serve((it) => it.register({ mine: () => context().session?.id ?? "none" }));
      const [owner, thief] = [await dial(server.address!), await dial(server.address!)];
      const session = await owner.openSession();
      expect(session.id).toMatch(/^[0-9a-f]{32}$/);
      expect(await session.execute("mine", [])).toBe(session.id);
      const steal = (id: string) => thief.invokeByName("mine", [], { metadata: { "rap-session": id } });
      const [stolen, guessed] = await Promise.all(
        [session.id, "0".repeat(32)].map((id) => steal(id).catch(({ code, message }) => `${code}: ${message}`)),
      );
      expect(stolen).toMatch(/^FAILED_PRECONDITION/);
      expect(stolen).toBe(guessed);
      await owner.stop({ graceMs: 0 });
      await until(() => server.stats().connections === 1);
      await expect(steal(session.id)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    },
    cases: { "a server gets": ["a call in a session that does not exist"] },
    tests: { "client/test/session.test.ts": ["a connection takes only so many sessions"] },
  },
  24: {
    name: "a server that is hostile to its clients",
    cases: {
      "a client gets": [
        "more items than there is credit for",
        "GOAWAY with a reason",
        "a result that is no value",
        "a result over the limit",
        "a refusal, again and again",
      ],
      "a client is greeted with": ["a HELLO that is too large", "GOAWAY each time it comes"],
    },
    notYet: "a registry that sends clients elsewhere: there is no discovery, addresses are those of the program",
  },
  25: {
    name: "a few bytes that keep a large message in memory",
    async run() {
      const message = encoded([new Uint8Array(8).fill(7), "x".repeat(1_000_000)]).slice();
      const [few] = msgpack().decode(message, 0, message.length, true) as [Uint8Array];
      expect([...few]).toEqual(Array(8).fill(7));
      expect(few.buffer.byteLength).toBeLessThan(1_024);
      const kept: Uint8Array[] = [];
      const server = await serve((it) => it.register({ keep: (bytes: Uint8Array) => void kept.push(bytes) }));
      await (await dial(server.address!)).invokeByName("keep", [Uint8Array.of(1, 2, 3), "x".repeat(1_000_000)]);
      expect(kept[0]!.buffer.byteLength).toBeLessThan(1_024);
    },
    tests: {
      "protocol/test/msgpack.test.ts": ["are views of an owned message when they are at least a quarter of it"],
    },
  },
};

describe("attack", () => {
  test.each(Object.entries(ATTACKS).map(([number, attack]) => [`${number}: ${attack.name}`, attack] as const))(
    "%s",
    async (_, { run, tests = {}, cases = {}, notYet }) => {
      await run?.();
      expect(missingTests(tests)).toEqual([]);
      expect(missingCases(cases)).toEqual([]);
      expect(run !== undefined || notYet !== undefined || Object.keys({ ...tests, ...cases }).length > 0).toBe(true);
    },
  );
});

test("every number of the analysis is a row", () => {
  expect(Object.keys(ATTACKS)).toEqual(times(25, (i) => `${i + 1}`));
});

test("a peer that sends everything there is in no order at all harms nobody", async () => {
  const server = await serve(echo);
  const healthy = await dial(server.address!);
  for (const kind of [...Object.values(Kind), 0x80, 0xff]) {
    for (const flags of [0, 0x03, 0xff]) {
      const peer = await introduced(server);
      peer.write(encodeFrame(call(1, "echo", { end: false })));
      for (const id of [0, 1, 2, 0xffffffff]) peer.write(raw(kind, flags, id, new Uint8Array(9)));
      await until(() => peer.closed || peer.of("data").length > 0);
      peer.socket.destroy();
    }
  }
  expect(await healthy.invokeByName("echo", ["unharmed"])).toBe("unharmed");
  await until(() => server.stats().connections === 1 && server.stats().inFlight === 0);
});

/** Which of these tests are not there, by the text of their file. */
function missingTests(tests: NonNullable<Attack["tests"]>): string[] {
  return Object.entries(tests).flatMap(([file, titles]) => {
    const path = join(__dirname, "../..", file);
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    return titles.filter((title) => !text.includes(title)).map((title) => `${file}: ${title}`);
  });
}

/** Which of these cases are not in the suite. */
function missingCases(cases: NonNullable<Attack["cases"]>): string[] {
  return Object.entries(cases).flatMap(([section, names]) =>
    names
      .filter((name) => !CASES.some((it) => it.section === section && it.name === name))
      .map((name) => `${section}: ${name}`),
  );
}
