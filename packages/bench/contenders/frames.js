/** Frames from here on go to the socket as they are; smaller ones are gathered in a slab. */
const LARGE_BYTES = 32 * 1024;
const SLAB_BYTES = 64 * 1024;

/**
 * Frames with a length of four bytes in front, over a socket: what is written in one turn of the event loop leaves in
 * one write, as fast as `node:net` lets it. `onFrame(bytes, start, end)` gets each frame that comes.
 */
class Frames {
  /** Where a frame is written, at the place that `reserve` gave. */
  slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #used = 0;
  #sent = 0;
  #scheduled = false;
  #socket;

  constructor(socket, onFrame) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    read(socket, onFrame);
  }

  /** Makes room for a frame of `size` bytes in `slab`, which may be another one then, and gives its place. */
  reserve(size) {
    if (this.#used + 4 + size > this.slab.length) {
      this.#flush();
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#used = this.#sent = 0;
    }
    const at = this.slab.writeUInt32BE(size, this.#used);
    this.#used = at + size;
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#endTurn);
    }
    return at;
  }

  /** Sends a frame of two parts; of a large one the second goes to the socket without a copy. */
  write(head, body) {
    const size = head.length + body.length;
    const large = size > LARGE_BYTES;
    const at = this.reserve(large ? head.length : size);
    this.slab.set(head, at);
    if (!large) return void this.slab.set(body, at + head.length);
    this.slab.writeUInt32BE(size, at - 4);
    this.#socket.cork();
    this.#flush();
    this.#socket.write(body);
    this.#socket.uncork();
  }

  #endTurn = () => {
    this.#scheduled = false;
    this.#flush();
  };

  #flush() {
    if (this.#used > this.#sent) this.#socket.write(this.slab.subarray(this.#sent, this.#used));
    this.#sent = this.#used;
  }
}

/** Cuts what a socket reads into frames. A frame of several chunks is put together once, in a buffer of its size. */
function read(socket, onFrame) {
  let rest;
  let frame;
  let filled = 0;
  socket.on("data", (chunk) => {
    let at = 0;
    if (frame !== undefined) {
      at = chunk.copy(frame, filled);
      filled += at;
      if (filled < frame.length) return;
      const whole = frame;
      frame = undefined;
      onFrame(whole, 0, whole.length);
    } else if (rest !== undefined) {
      chunk = Buffer.concat([rest, chunk]);
      rest = undefined;
    }
    while (chunk.length - at >= 4) {
      const size = chunk.readUInt32BE(at);
      at += 4;
      if (at + size > chunk.length) {
        frame = Buffer.allocUnsafeSlow(size);
        filled = chunk.copy(frame, 0, at);
        return;
      }
      onFrame(chunk, at, at + size);
      at += size;
    }
    if (at < chunk.length) rest = chunk.subarray(at);
  });
}

module.exports = { Frames, LARGE_BYTES };
