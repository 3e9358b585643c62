const OPTIONS = { limits: { maxMessageSize: 2 ** 30 } };

/** Cap'n Web over WebSocket, by `ws`. */
module.exports = () => ({
  async serve() {
    const { newWebSocketRpcSession, RpcTarget } = require("capnweb");
    const { WebSocketServer } = sockets();
    class Api extends RpcTarget {
      sum(a, b) {
        return a + b;
      }
      echo(value) {
        return value;
      }
      big(size) {
        return new Uint8Array(size);
      }
      items(count) {
        return numbers(count);
      }
      messages(source) {
        const reader = source.getReader();
        return new ReadableStream({
          async pull(controller) {
            const { done, value } = await reader.read();
            if (done) controller.close();
            else controller.enqueue(value);
          },
        });
      }
    }
    const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 0 });
    wss.on("connection", (socket) => newWebSocketRpcSession(socket, new Api(), OPTIONS));
    await new Promise((resolve) => wss.once("listening", resolve));
    return { port: wss.address().port };
  },

  async connect({ port }) {
    const { newWebSocketRpcSession } = require("capnweb");
    const { WebSocket } = sockets();
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { maxPayload: 0 });
    const api = newWebSocketRpcSession(socket, undefined, OPTIONS);
    return {
      sum: (a, b) => api.sum(a, b),
      object: (value) => api.echo(value),
      binary: (body) => api.echo(body),
      big: (size) => api.big(size),
      items: async (count, onItem) => read(await api.items(count), onItem),
      duplex: async (count, onMessage) => read(await api.messages(numbers(count)), onMessage),
      close: () => api[Symbol.dispose](),
    };
  },
});

/** Cap'n Web asks for the class that browsers have, and Node only from version 22 on. */
function sockets() {
  const ws = require("ws");
  globalThis.WebSocket ??= ws.WebSocket;
  return ws;
}

function numbers(count) {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent < count) controller.enqueue(sent++);
      else controller.close();
    },
  });
}

async function read(stream, onMessage) {
  for await (const message of stream) onMessage(message);
}
