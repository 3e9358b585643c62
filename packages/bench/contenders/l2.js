const { Decoder, Encoder } = require("@msgpack/msgpack");
const { dial, listen } = require("./endpoint");
const { Frames, LARGE_BYTES } = require("./frames");

const encoder = new Encoder();
const decoder = new Decoder();
const NONE = new Uint8Array(0);
const REQUEST = 1;
const RESPONSE = 2;

const functions = {
  sum: ([a, b]) => a + b,
  echo: ([value]) => value,
  bytes: ([size]) => new Uint8Array(size),
};

/**
 * The bare echo with a codec: messages `[type, id, header, args]` as MessagePack, callbacks, and nothing else that a
 * framework needs. What is possible with this codec.
 */
module.exports = (options) => ({
  serve: () =>
    listen((socket) => {
      const send = messages(socket, ([, id, header, args]) => {
        if (header !== "items") send([RESPONSE, id, "", functions[header](args)]);
        else for (let i = 0; i < args[0]; i++) send([RESPONSE, id, "", i]);
      });
    }, options),

  async connect(address) {
    const pending = new Map();
    let id = 0;
    const socket = await dial(address);
    const send = messages(socket, (message) => pending.get(message[1])(message[3], message[1]));
    const call = (header, args, done) => {
      pending.set(++id, (result, number) => {
        pending.delete(number);
        done(result);
      });
      send([REQUEST, id, header, args]);
    };
    return {
      sum: (a, b, done) => call("sum", [a, b], done),
      object: (value, done) => call("echo", [value], done),
      binary: (bytes, done) => call("echo", [bytes], done),
      big: (size, done) => call("bytes", [size], done),
      items: (count, onItem) =>
        new Promise((resolve) => {
          let received = 0;
          pending.set(++id, (item, number) => {
            onItem(item);
            if (++received < count) return;
            pending.delete(number);
            resolve();
          });
          send([REQUEST, id, "items", [count]]);
        }),
      duplex: (count, onMessage) =>
        new Promise((resolve) => {
          let received = 0;
          pending.set(++id, (message, number) => {
            onMessage(message);
            if (++received < count) return;
            pending.delete(number);
            resolve();
          });
          let sent = 0;
          const write = () => {
            while (sent < count && !socket.writableNeedDrain) send([REQUEST, id, "echo", [sent++]]);
            if (sent < count) socket.once("drain", write);
          };
          write();
        }),
      close: () => socket.destroy(),
    };
  },
});

/** Encodes and decodes the messages of a socket; gives the function that sends one. */
function messages(socket, onMessage) {
  const frames = new Frames(socket, (bytes, start, end) => onMessage(decoder.decode(bytes.subarray(start, end))));
  return (message) => {
    const body = encoder.encodeSharedRef(message);
    if (body.length > LARGE_BYTES) {
      frames.write(NONE, body.slice());
    } else {
      const at = frames.reserve(body.length);
      frames.slab.set(body, at);
    }
  };
}
