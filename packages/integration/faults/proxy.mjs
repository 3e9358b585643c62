import { connect, createServer } from "node:net";
import { pause } from "./token.mjs";

/**
 * A TCP proxy that does to the bytes of each direction ("up": to the server, "down": back) what it is told to:
 *   split: n          pieces of n bytes at most         merge: ms     bytes of so many milliseconds at once
 *   rate: n           n bytes a second                  delay, jitter milliseconds
 *   rst, fin, stall   after so many bytes of the connection: a reset, an end, or nothing more
 *   mangle            `(direction, closed)` gives for each connection, of whose end `closed` tells, a function of whole
 *                     frames: `(frame, index) => frames`; see mangle.mjs
 */
export class FaultyProxy {
  #server;
  #pairs = new Set();
  accepted = 0;
  /** Bytes that went through, of the last connection. */
  seen = { up: 0, down: 0 };
  recorded = { up: [], down: [] };

  constructor(target, faults = {}) {
    this.target = target;
    this.faults = faults;
  }

  static async to(target, faults) {
    const proxy = new FaultyProxy(target, faults);
    await proxy.listen();
    return proxy;
  }

  async listen(port = 0) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#accept(near));
    await new Promise((resolve, reject) => this.#server.once("error", reject).listen(port, "127.0.0.1", resolve));
    this.port = this.#server.address().port;
    this.address = `tcp://127.0.0.1:${this.port}`;
  }

  /** Ends all connections without a word. */
  cut() {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Says something to every server that nobody said. */
  inject(direction, bytes) {
    for (const { near, far } of this.#pairs) (direction === "up" ? far : near).write(bytes);
  }

  #accept(near) {
    this.accepted++;
    if (this.refusing) return near.resetAndDestroy();
    const far = connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const pair = { near, far, closed: new Promise((resolve) => near.once("close", resolve)) };
    this.#pairs.add(pair);
    this.seen = { up: 0, down: 0 };
    const drop = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on("error", drop).on("close", drop);
    this.#pump("up", near, far, pair);
    this.#pump("down", far, near, pair);
  }

  #pump(direction, from, to, pair) {
    const faults = this.faults[direction] ?? this.faults.both ?? {};
    const seen = this.seen;
    const frames = faults.mangle === undefined ? undefined : new Frames(faults.mangle(direction, pair.closed));
    const reset = () => {
      pair.near.resetAndDestroy();
      pair.far.resetAndDestroy();
    };
    let queue = Promise.resolve();
    let held = [];
    const write = async (bytes) => {
      if (faults.delay !== undefined) await pause(faults.delay + (faults.jitter ?? 0) * (2 * Math.random() - 1));
      const step =
        faults.split ?? (faults.rate === undefined ? bytes.length : Math.max(1, Math.ceil(faults.rate / 50)));
      for (let at = 0; at < bytes.length; at += step) {
        if (to.destroyed) return;
        const piece = bytes.subarray(at, at + step);
        if (!to.write(piece)) await new Promise((resolve) => to.once("drain", resolve).once("close", resolve));
        if (faults.rate !== undefined) await pause((1_000 * piece.length) / faults.rate);
        else if (faults.split !== undefined) await new Promise(setImmediate);
      }
    };
    const queued = (bytes) => {
      if (faults.split === undefined && faults.rate === undefined && faults.delay === undefined) {
        to.write(bytes);
        return;
      }
      from.pause();
      queue = queue.then(() => write(bytes)).then(() => from.resume());
    };
    const { rst, fin, stall } = faults;
    const limit = Math.min(rst ?? Infinity, fin ?? Infinity, stall ?? Infinity);
    from.on("data", (bytes) => {
      if (this.recording) this.recorded[direction].push(bytes);
      const room = limit - seen[direction];
      seen[direction] += bytes.length;
      if (room <= 0) return;
      const passed = bytes.length > room ? bytes.subarray(0, room) : bytes;
      if (frames !== undefined) {
        for (const each of frames.push(passed)) queued(each);
      } else if (faults.merge !== undefined) {
        held.push(passed);
        if (held.length === 1) {
          setTimeout(() => {
            to.write(Buffer.concat(held));
            held = [];
          }, faults.merge);
        }
      } else queued(passed);
      if (bytes.length < room) return;
      // What was let through must arrive before the end does.
      if (rst !== undefined) setImmediate(reset);
      else if (fin !== undefined) to.end();
    });
    from.on("end", () => queue.then(() => (stall === undefined || seen[direction] < stall) && to.end()));
  }
}

const PREAMBLE_BYTES = 6;
const HEAD_BYTES = 10;

/** Cuts a stream of bytes into the preamble and frames, and lets `mangle` do what it likes with each frame. */
class Frames {
  #bytes = Buffer.alloc(0);
  #begun = false;
  #index = 0;

  constructor(mangle) {
    this.mangle = mangle;
  }

  push(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    const out = [];
    if (!this.#begun && this.#bytes.length >= PREAMBLE_BYTES) {
      this.#begun = true;
      out.push(this.#take(PREAMBLE_BYTES));
    }
    while (this.#begun && this.#bytes.length >= HEAD_BYTES) {
      const size = HEAD_BYTES + this.#bytes.readUInt32BE(0);
      if (this.#bytes.length < size) break;
      out.push(...this.mangle(this.#take(size), this.#index++));
    }
    return out;
  }

  #take(size) {
    const taken = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(size);
    return taken;
  }
}
