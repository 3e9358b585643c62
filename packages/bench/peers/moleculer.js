const { createServer } = require("node:net");
const { PassThrough, Readable } = require("node:stream");

/** Two nodes of Moleculer over its TCP transporter, without discovery by UDP and whatever a call can do without. */
module.exports = ({ serializer }) => ({
  async serve() {
    const port = await freePort();
    const broker = node("server", serializer, { port });
    broker.createService({
      name: "bench",
      actions: {
        sum: ({ params }) => params.a + params.b,
        echo: ({ params }) => params.value,
        big: ({ params }) => Buffer.alloc(params.size).toString("base64"),
        items: ({ params }) => Readable.from(numbers(params.count)),
        messages: ({ params }) => params.pipe(new PassThrough({ objectMode: true })),
      },
    });
    await broker.start();
    return { port };
  },

  async connect({ port }) {
    const broker = node(`client-${process.pid}`, serializer, { urls: [`127.0.0.1:${port}/server`] });
    await broker.start();
    await broker.waitForServices("bench", 10_000, 5);
    return {
      sum: (a, b) => broker.call("bench.sum", { a, b }),
      object: (value) => broker.call("bench.echo", { value }),
      binary: async (body) => {
        const value = await broker.call("bench.echo", { value: Buffer.from(body).toString("base64") });
        return Buffer.from(value, "base64");
      },
      big: async (size) => Buffer.from(await broker.call("bench.big", { size }), "base64"),
      items: async (count, onItem) => read(await broker.call("bench.items", { count }), onItem),
      duplex: async (count, onMessage) =>
        read(await broker.call("bench.messages", Readable.from(numbers(count))), onMessage),
      close: () => broker.stop(),
    };
  },
});

function node(nodeID, serializer, options) {
  const { ServiceBroker } = require("moleculer");
  return new ServiceBroker({
    nodeID,
    serializer,
    transporter: {
      type: "TCP",
      options: { udpDiscovery: false, gossipPeriod: 1, maxPacketSize: 2 ** 30, ...options },
    },
    logger: false,
    validator: false,
    metrics: false,
    tracing: false,
    internalServices: false,
    requestTimeout: 0,
  });
}

function* numbers(count) {
  for (let i = 0; i < count; i++) yield i;
}

async function read(stream, onMessage) {
  for await (const message of stream) onMessage(message);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
