/** Connect over HTTP/2 with Protobuf, by `@connectrpc/connect-node`. `bench_pb.js` is what `protoc-gen-es` makes. */
module.exports = () => ({
  async serve() {
    const { connectNodeAdapter } = require("@connectrpc/connect-node");
    const { createServer } = require("node:http2");
    const { Bench } = require("./bench_pb.js");
    const handler = connectNodeAdapter({
      readMaxBytes: 2 ** 30,
      routes: (router) =>
        router.service(Bench, {
          sum: ({ a, b }) => ({ value: a + b }),
          object: (order) => order,
          binary: (bytes) => bytes,
          big: ({ value }) => ({ body: new Uint8Array(value) }),
          async *items({ value }) {
            for (let i = 0; i < value; i++) yield { value: i };
          },
          async *messages(source) {
            yield* source;
          },
        }),
    });
    const server = createServer(handler);
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { port: server.address().port };
  },

  async connect({ port }) {
    const { createClient } = require("@connectrpc/connect");
    const { createConnectTransport } = require("@connectrpc/connect-node");
    const { Bench } = require("./bench_pb.js");
    const transport = createConnectTransport({
      baseUrl: `http://127.0.0.1:${port}`,
      httpVersion: "2",
      useBinaryFormat: true,
      readMaxBytes: 2 ** 30,
    });
    const client = createClient(Bench, transport);
    return {
      sum: async (a, b) => (await client.sum({ a, b })).value,
      object: (value) => client.object(value),
      binary: async (body) => (await client.binary({ body })).body,
      big: async (value) => (await client.big({ value })).body,
      async items(value, onItem) {
        for await (const item of client.items({ value })) onItem(item.value);
      },
      async duplex(count, onMessage) {
        for await (const message of client.messages(numbers(count))) onMessage(message.value);
      },
      // HTTP/2 sessions end with their process.
      close() {},
    };
  },
});

async function* numbers(count) {
  for (let i = 0; i < count; i++) yield { value: i };
}
