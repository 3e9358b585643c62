const { Frames, LARGE_BYTES } = require("./frames");
const { dial, listen } = require("./endpoint");

const NONE = new Uint8Array(0);

/** The bare echo: frames with a number in front come back as they went, no codec. The most that `node:net` gives. */
module.exports = (options) => ({
  serve: () =>
    listen((socket) => {
      const frames = new Frames(socket, (bytes, start, end) => {
        if (end - start > LARGE_BYTES) {
          frames.write(NONE, bytes.subarray(start, end));
        } else {
          const at = frames.reserve(end - start);
          bytes.copy(frames.slab, at, start, end);
        }
      });
    }, options),

  async connect(address) {
    const pending = new Map();
    let id = 0;
    const socket = await dial(address);
    const frames = new Frames(socket, (bytes, start, end) => {
      const number = bytes.readUInt32BE(start);
      const done = pending.get(number);
      pending.delete(number);
      done(bytes, start + 4, end);
    });
    const head = (size, done) => {
      id = (id + 1) >>> 0;
      pending.set(id, done);
      const at = frames.reserve(size);
      return frames.slab.writeUInt32BE(id, at);
    };
    return {
      sum(a, b, done) {
        const at = head(12, (bytes, start) => done(bytes.readUInt32BE(start) + bytes.readUInt32BE(start + 4)));
        frames.slab.writeUInt32BE(b, frames.slab.writeUInt32BE(a, at));
      },
      binary(body, done) {
        id = (id + 1) >>> 0;
        pending.set(id, (bytes, start, end) => done(bytes.subarray(start, end)));
        frames.write(Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id), body);
      },
      duplex: (count, onMessage) =>
        new Promise((resolve) => {
          let received = 0;
          const receive = (bytes, start) => {
            onMessage(bytes.readUInt32BE(start));
            if (++received === count) resolve();
          };
          let sent = 0;
          const write = () => {
            while (sent < count && !socket.writableNeedDrain) {
              const at = head(8, receive);
              frames.slab.writeUInt32BE(sent++, at);
            }
            if (sent < count) socket.once("drain", write);
          };
          write();
        }),
      close: () => socket.destroy(),
    };
  },
});
