/** Socket.IO over WebSocket only, with MessagePack or its own JSON; acknowledgements are the results. */
module.exports = ({ msgpack }) => ({
  async serve() {
    const { Server } = require("socket.io");
    const { createServer } = require("node:http");
    const server = createServer();
    const io = new Server(server, { ...shared(msgpack), maxHttpBufferSize: 2 ** 30 });
    io.on("connection", (socket) => {
      socket.on("sum", (a, b, done) => done(a + b));
      socket.on("echo", (value, done) => done(value));
      socket.on("big", (size, done) => done(Buffer.alloc(size)));
      socket.on("items", (count) => {
        for (let i = 0; i < count; i++) socket.emit("item", i);
      });
      socket.on("message", (value) => socket.emit("message", value));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { port: server.address().port };
  },

  async connect({ port }) {
    const { io } = require("socket.io-client");
    const socket = io(`http://127.0.0.1:${port}`, shared(msgpack));
    await new Promise((resolve) => socket.on("connect", resolve));
    return {
      sum: (a, b, done) => void socket.emit("sum", a, b, done),
      object: (value, done) => void socket.emit("echo", value, done),
      binary: (body, done) => void socket.emit("echo", body, done),
      big: (size, done) => void socket.emit("big", size, done),
      items(count, onItem) {
        socket.emit("items", count);
        return read(socket, "item", count, onItem);
      },
      duplex(count, onMessage) {
        for (let i = 0; i < count; i++) socket.emit("message", i);
        return read(socket, "message", count, onMessage);
      },
      close: () => socket.disconnect(),
    };
  },
});

function shared(msgpack) {
  return { transports: ["websocket"], ...(msgpack && { parser: require("socket.io-msgpack-parser") }) };
}

function read(socket, event, count, onMessage) {
  return new Promise((resolve) => {
    let received = 0;
    const receive = (value) => {
      onMessage(value);
      if (++received < count) return;
      socket.off(event, receive);
      resolve();
    };
    socket.on(event, receive);
  });
}
