import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Listener, Socket, SocketHandler, Transport } from "./transport";

/** What a transport needs to be tested. */
export interface TransportSetup {
  transport: Transport;
  /** Where to listen; with a port, 0. Each setup gets its own. */
  address: string;
  /** Called after each test, when all sockets and listeners are closed. */
  dispose(): Promise<void>;
}

/**
 * The laws of a {@link Transport} as a Jest suite. The tests of an implementation are then a few lines:
 *
 * ```ts
 * import { transportCompliance } from "@rap/transport/compliance";
 * transportCompliance("mine", async () => ({ transport: mine(), address: "mine://here", dispose: async () => {} }));
 * ```
 */
export function transportCompliance(name: string, setup: () => Promise<TransportSetup>): void {
  describe(`the transport ${name}`, () => {
    let transport: Transport;
    let address: string;
    let dispose: () => Promise<void>;
    let listener: Listener;
    let accepted: Socket[];
    let onSocket: (socket: Socket) => void;
    const sockets: Socket[] = [];

    beforeEach(async () => {
      accepted = [];
      onSocket = (socket) => void accepted.push(socket);
      ({ transport, address, dispose } = await setup());
      listener = await transport.listen(address, (socket) => {
        sockets.push(socket);
        onSocket(socket);
      });
    });

    afterEach(async () => {
      for (const socket of sockets.splice(0)) socket.destroy();
      await listener.close();
      await dispose();
    });

    async function dial(): Promise<Socket> {
      const socket = await transport.dial(listener.address);
      sockets.push(socket);
      return socket;
    }

    /** A dialled socket and the accepted one at its other end. */
    async function link(): Promise<[Socket, Socket]> {
      const near = await dial();
      await until(() => accepted.length > 0);
      return [near, accepted.pop() as Socket];
    }

    test("says where it listens", async () => {
      expect(listener.address).toMatch(new RegExp(`^${transport.scheme}:`));
      expect(listener.port).toEqual(expect.any(Number));
      expect(listener.host).not.toBe("");
      expect(listener.dropped).toBe(0);
    });

    test("refuses addresses that it does not understand", async () => {
      for (const bad of ["", "nonsense", "ftp://localhost:1", `${transport.scheme}:`]) {
        await expect(transport.dial(bad)).rejects.toMatchObject({ code: "ERR_RAP_ADDRESS", name: "TypeError" });
        await expect(transport.listen(bad, () => {})).rejects.toMatchObject({ code: "ERR_RAP_ADDRESS" });
      }
    });

    test("refuses a second listener at an address, and frees the address on close", async () => {
      await expect(transport.listen(listener.address, () => {})).rejects.toMatchObject({
        code: "EADDRINUSE",
        message: expect.stringContaining(listener.address),
      });
      await listener.close();
      await listener.close();
      listener = await transport.listen(listener.address, onSocket);
      await link();
    });

    test("carries bytes of every size, in order, both ways at once", async () => {
      const [near, far] = await link();
      const sizes = [1, 2, 3, 100, 1_000, 16_383, 16_384, 65_535, 65_536, 65_537, 200_000, 1, 2 ** 20, 5];
      const total = sizes.reduce((a, b) => a + b);
      const there = pattern(total, 7);
      const back = pattern(total, 13);
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      await Promise.all([pump(near, nearEnd, there, sizes), pump(far, farEnd, back, [...sizes].reverse())]);
      await until(() => nearEnd.received === total && farEnd.received === total);
      expect(Buffer.compare(farEnd.bytes(), there)).toBe(0);
      expect(Buffer.compare(nearEnd.bytes(), back)).toBe(0);
      expect(near.buffered).toBe(0);
    });

    test("sends what was written with `more`, however often, with the write that follows", async () => {
      const [near, far] = await link();
      const farEnd = record(far);
      near.start(record(near));
      far.start(farEnd);
      const bytes = pattern(30_000, 3);
      for (let at = 0; at < 30_000; at += 1_000) near.write(bytes.subarray(at, at + 1_000), at % 10_000 < 9_000);
      await until(() => farEnd.received === 30_000);
      expect(Buffer.compare(farEnd.bytes(), bytes)).toBe(0);
    });

    test("keeps bytes that arrive before start", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      near.start(nearEnd);
      near.write(pattern(1_000, 1));
      near.end();
      await sleep(20);
      const farEnd = record(far);
      far.start(farEnd);
      expect(farEnd.received).toBe(0);
      await farEnd.closed;
      expect(Buffer.compare(farEnd.bytes(), pattern(1_000, 1))).toBe(0);
      await nearEnd.closed;
    });

    test("tells of a close before start, but not during it", async () => {
      const [near, far] = await link();
      near.start(record(near));
      near.destroy();
      await sleep(20);
      const farEnd = record(far);
      far.start(farEnd);
      expect(farEnd.closes).toBe(0);
      await farEnd.closed;

      const [socket] = await link();
      const error = new Error("not wanted");
      socket.destroy(error);
      await sleep(20);
      const late = record(socket);
      socket.start(late);
      expect(late.closes).toBe(0);
      expect(await late.closed).toBe(error);
    });

    test("is started once", async () => {
      const [near] = await link();
      near.start(record(near));
      expect(() => near.start(record(near))).toThrow("already started");
    });

    test("never calls back during write, pause, resume, end or destroy", async () => {
      const [near, far] = await link();
      let inside = false;
      let reentered = false;
      const guard = (recorder: Recorder): SocketHandler => ({
        onData(bytes) {
          reentered ||= inside;
          recorder.onData(bytes);
          if (bytes.length > 0 && recorder.received < 100_000) calling(() => near.write(pattern(10_000, 1)));
        },
        onDrain() {
          reentered ||= inside;
        },
        onClose(error) {
          reentered ||= inside;
          recorder.onClose(error);
        },
      });
      const calling = (call: () => void) => {
        inside = true;
        call();
        inside = false;
      };
      const nearEnd = record(near);
      const farEnd = record(far);
      calling(() => near.start(guard(nearEnd)));
      calling(() => far.start(guard(farEnd)));
      calling(() => far.pause());
      calling(() => near.write(pattern(10_000, 1)));
      await sleep(10);
      calling(() => far.resume());
      calling(() => near.end());
      await farEnd.closed;
      calling(() => near.destroy());
      await nearEnd.closed;
      expect(reentered).toBe(false);
    });

    test("ends in order: all bytes, then one close at each end", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      near.write(pattern(300_000, 3));
      near.end();
      near.end();
      expect(await farEnd.closed).toBeUndefined();
      expect(await nearEnd.closed).toBeUndefined();
      expect(farEnd.received).toBe(300_000);
      far.destroy(new Error("too late"));
      near.destroy();
      await sleep(20);
      expect([nearEnd.closes, farEnd.closes]).toEqual([1, 1]);
    });

    test("still reads after end, until the peer ends", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      near.start(nearEnd);
      near.write(pattern(10, 1));
      near.end();
      far.write(pattern(5_000, 5));
      far.start(record(far));
      await nearEnd.closed;
      expect(nearEnd.received).toBe(5_000);
    });

    test("sends what is buffered when the peer ends first", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      far.write(pattern(500_000, 5));
      near.end();
      await Promise.all([nearEnd.closed, farEnd.closed]);
      expect(nearEnd.received).toBe(500_000);
    });

    test("destroys at once, and the peer learns of it", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      const error = new Error("enough");
      near.destroy(error);
      near.destroy(new Error("again"));
      far.write(pattern(10, 1));
      expect(await nearEnd.closed).toBe(error);
      await farEnd.closed;
      await sleep(20);
      expect([nearEnd.closes, farEnd.closes]).toEqual([1, 1]);
      expect(nearEnd.received).toBe(0);
    });

    test("delivers nothing after a destroy from inside onData", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      near.start(nearEnd);
      const farEnd = record(far);
      let calls = 0;
      far.start({
        onData() {
          calls++;
          far.destroy();
        },
        onDrain: () => {},
        onClose: (error) => farEnd.onClose(error),
      });
      for (let i = 0; i < 20; i++) near.write(pattern(20_000, 1));
      await Promise.all([farEnd.closed, nearEnd.closed]);
      expect(calls).toBe(1);
    });

    test("drops writes after end and after close, silently", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      near.end();
      expect(near.write(pattern(10, 1))).toBe(false);
      await Promise.all([nearEnd.closed, farEnd.closed]);
      expect(near.write(pattern(10, 1))).toBe(false);
      expect(far.write(pattern(10, 1))).toBe(false);
      for (const socket of [near, far]) {
        socket.pause();
        socket.resume();
        socket.end();
        socket.destroy();
      }
      await sleep(10);
      expect(farEnd.received).toBe(0);
      expect(nearEnd.drains + farEnd.drains).toBe(0);
    });

    test("pushes back on a writer whose reader has paused, and goes on when it resumes", async () => {
      const [near, far] = await link();
      const nearEnd = record(near);
      const farEnd = record(far);
      near.start(nearEnd);
      far.start(farEnd);
      far.pause();
      const piece = pattern(16_384, 1);
      let written = 0;
      for (let quiet = 0; quiet < 5 && written < 2 ** 26; ) {
        while (near.write(piece)) written += piece.length;
        written += piece.length;
        const before = nearEnd.drains;
        await sleep(10);
        quiet = nearEnd.drains === before ? quiet + 1 : 0;
        // Writing on, although told not to, until it is clear that the peer does not read.
      }
      expect(written).toBeLessThan(2 ** 26);
      expect(near.buffered).toBeGreaterThan(0);
      expect(near.buffered).toBeLessThan(2 ** 20);
      expect(farEnd.received).toBe(0);

      const drains = nearEnd.drains;
      far.resume();
      await until(() => farEnd.received === written);
      await until(() => nearEnd.drains > drains);
      expect(near.buffered).toBe(0);
      expect(near.write(piece)).toBe(true);
    });

    test("holds bytes while paused, also from before start", async () => {
      const [near, far] = await link();
      const farEnd = record(far);
      far.pause();
      far.start(farEnd);
      near.start(record(near));
      near.write(pattern(1_000, 1));
      await sleep(20);
      expect(farEnd.received).toBe(0);
      far.resume();
      await until(() => farEnd.received === 1_000);

      const [one, other] = await link();
      one.write(pattern(1_000, 1));
      other.pause();
      other.resume();
      await sleep(20);
      const otherEnd = record(other);
      other.start(otherEnd);
      await until(() => otherEnd.received === 1_000);
    });

    test("gives each end bytes of its own", async () => {
      const [near, far] = await link();
      near.start(record(near));
      const sent = pattern(100, 1);
      far.start({ ...record(far), onData: (bytes) => void bytes.fill(0) });
      near.write(sent);
      await sleep(20);
      expect(Buffer.compare(sent, pattern(100, 1))).toBe(0);
    });

    test("survives a handler that throws: only its socket dies, with that error", async () => {
      const [near, far] = await link();
      const [calm, still] = await link();
      const stillEnd = record(still);
      const nearEnd = record(near);
      const farEnd = record(far);
      const error = new Error("bug in onData");
      near.start(nearEnd);
      far.start({
        onData() {
          throw error;
        },
        onDrain: () => {},
        onClose: (reason) => farEnd.onClose(reason),
      });
      near.write(pattern(10, 1));
      expect(await farEnd.closed).toBe(error);
      await nearEnd.closed;
      calm.start(record(calm));
      still.start(stillEnd);
      calm.write(pattern(10, 1));
      await until(() => stillEnd.received === 10);
    });

    test("survives an onSocket that throws: only that socket dies", async () => {
      onSocket = () => {
        throw new Error("bug in onSocket");
      };
      // Where opening takes a handshake, the dial may already notice.
      const near = await dial().catch(() => undefined);
      if (near !== undefined) {
        const nearEnd = record(near);
        near.start(nearEnd);
        await nearEnd.closed;
      }
      expect(listener.dropped).toBe(1);
      onSocket = (socket) => void accepted.push(socket);
      await link();
    });

    test("lets accepted sockets live when the listener closes, and accepts no more", async () => {
      const [near, far] = await link();
      await listener.close();
      const farEnd = record(far);
      near.start(record(near));
      far.start(farEnd);
      near.write(pattern(10, 1));
      await until(() => farEnd.received === 10);
      await expect(transport.dial(listener.address)).rejects.toThrow(listener.address);
      expect(accepted).toHaveLength(0);
    });

    test("names the address when nobody listens there", async () => {
      await listener.close();
      await expect(transport.dial(listener.address)).rejects.toMatchObject({
        message: expect.stringContaining(listener.address),
        code: expect.stringMatching(/^(ECONNREFUSED|ENOENT)$/),
      });
    });

    test("gives up dialling with the signal's reason, and leaves the signal alone afterwards", async () => {
      const reason = new Error("changed my mind");
      await expect(transport.dial(listener.address, AbortSignal.abort(reason))).rejects.toBe(reason);

      const during = new AbortController();
      const dialling = transport.dial(listener.address, during.signal);
      during.abort(reason);
      await expect(dialling).rejects.toBe(reason);

      const after = new AbortController();
      const near = await transport.dial(listener.address, after.signal);
      sockets.push(near);
      after.abort(reason);
      const nearEnd = record(near);
      near.start(nearEnd);
      // Among the accepted may be the far end of the socket that was given up.
      await until(() => {
        for (const far of accepted.splice(0)) far.write(pattern(10, 1));
        return nearEnd.received === 10;
      });
    });

    test("knows who is there and since when", async () => {
      const before = performance.now();
      const [near, far] = await link();
      for (const socket of [near, far]) {
        expect(socket.openedAt).toBeGreaterThanOrEqual(before);
        expect(socket.openedAt).toBeLessThanOrEqual(performance.now());
        expect(socket.peer).toMatchObject({ local: true, address: expect.any(String) });
        expect(socket.peer.address).not.toBe("");
      }
      expect(near.peer.port).toBe(listener.port);
      expect(near.peer.encrypted).toBe(far.peer.encrypted);
      near.destroy();
      await sleep(20);
      expect(near.peer.address).not.toBe("");
    });
  });
}

interface Recorder extends SocketHandler {
  received: number;
  drains: number;
  closes: number;
  /** Resolves at the first onClose, with its error. */
  readonly closed: Promise<Error | undefined>;
  bytes(): Uint8Array;
}

/** A handler that keeps everything, and lets nothing follow a close. */
function record(socket: Socket): Recorder {
  const pieces: Uint8Array[] = [];
  let close: (error?: Error) => void;
  const closed = new Promise<Error | undefined>((resolve) => (close = resolve));
  const recorder: Recorder = {
    received: 0,
    drains: 0,
    closes: 0,
    closed,
    bytes: () => Buffer.concat(pieces),
    onData(bytes) {
      if (recorder.closes > 0) socket.destroy(new Error("bytes after close"));
      pieces.push(bytes);
      recorder.received += bytes.length;
    },
    onDrain() {
      recorder.drains++;
    },
    onClose(error) {
      recorder.closes++;
      close(error);
    },
  };
  return recorder;
}

/** Writes `bytes` in pieces of the given sizes and waits as told. */
async function pump(socket: Socket, recorder: Recorder, bytes: Uint8Array, sizes: readonly number[]): Promise<void> {
  let at = 0;
  for (const size of sizes) {
    const drains = recorder.drains;
    if (!socket.write(bytes.subarray(at, at + size))) await until(() => recorder.drains > drains);
    at += size;
  }
}

function pattern(length: number, step: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * step) >>> 3;
  return bytes;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 4_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await nextTurn();
  }
}
