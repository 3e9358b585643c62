/** birpc over WebSocket by `ws`, with MessagePack and no timer per call. */
module.exports = () => ({
  async serve() {
    const { createBirpc } = await import("birpc");
    const { WebSocketServer } = require("ws");
    const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 0 });
    wss.on("connection", (socket) => {
      const functions = {
        sum: (a, b) => a + b,
        echo: (value) => value,
        big: (size) => new Uint8Array(size),
        items(count) {
          for (let i = 0; i < count; i++) void rpc.message.asEvent(i);
        },
        message: (value) => void rpc.message.asEvent(value),
      };
      const rpc = createBirpc(functions, channel(socket));
    });
    await new Promise((resolve) => wss.once("listening", resolve));
    return { port: wss.address().port };
  },

  async connect({ port }) {
    const { createBirpc } = await import("birpc");
    const { WebSocket } = require("ws");
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false, maxPayload: 0 });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    let receive;
    const rpc = createBirpc({ message: (value) => receive(value) }, channel(socket));
    /** Resolves when `count` messages have come, which the server sends as calls that have no result. */
    const read = (count, onMessage) =>
      new Promise((resolve) => {
        let received = 0;
        receive = (value) => {
          onMessage(value);
          if (++received === count) resolve();
        };
      });
    return {
      sum: (a, b) => rpc.sum(a, b),
      object: (value) => rpc.echo(value),
      binary: (body) => rpc.echo(body),
      big: (size) => rpc.big(size),
      items(count, onItem) {
        void rpc.items.asEvent(count);
        return read(count, onItem);
      },
      duplex(count, onMessage) {
        for (let i = 0; i < count; i++) void rpc.message.asEvent(i);
        return read(count, onMessage);
      },
      close: () => socket.close(),
    };
  },
});

function channel(socket) {
  const { Decoder, Encoder } = require("@msgpack/msgpack");
  const encoder = new Encoder();
  const decoder = new Decoder();
  return {
    post: (data) => socket.send(data),
    on: (receive) => socket.on("message", receive),
    serialize: (value) => encoder.encode(value),
    deserialize: (bytes) => decoder.decode(bytes),
    timeout: -1,
  };
}
