/** rap as its users have it: default settings, unless a workload is only possible with others (`limits`). */
module.exports = (options) => ({
  inProcess: options.transport === "memory",

  async serve({ limits } = {}) {
    const { channel, messageMiddleware, Server } = require("@rap/server");
    const identity = options.transport === "tls" ? await require("./endpoint").certificate() : undefined;
    const server = new Server({ ...(identity && { tls: identity }), ...codec(options), limits });
    server.register({
      sum: (a, b) => a + b,
      echo: (value) => value,
      bytes: (size) => new Uint8Array(size),
      async *items(count) {
        for (let i = 0; i < count; i++) yield i;
      },
      messages: channel(async (ch) => {
        for await (const message of ch) await ch.write(message);
      }),
    });
    if (options.layered) {
      server.loadMiddleware([messageMiddleware((_, args, next) => next(args))]);
      server.loadProcessor([processor()]);
    }
    if (options.crypto) {
      const { ServerCryptoProcessor } = require("@rap/plugin-crypto");
      server.loadProcessor([new ServerCryptoProcessor({ bench: KEY })]);
    }
    if (options.transport === "memory") {
      const transport = require("@rap/transport").memory();
      await server.listen({ transport, address: "memory://bench" });
      return { transport, limits };
    }
    const { port } = await server.listen({ port: 0 });
    return { port, ca: identity?.cert, limits };
  },

  async connect({ port, ca, transport, limits }) {
    const { Client } = require("@rap/client");
    const client = new Client({
      ...(ca && { tls: { ca } }),
      ...codec(options),
      ...(transport && { target: "memory://bench", transports: [transport] }),
      limits,
    });
    if (transport === undefined) client.addConn("127.0.0.1", port);
    if (options.layered) client.loadProcessor([processor()]);
    if (options.crypto) {
      const { ClientCryptoProcessor } = require("@rap/plugin-crypto");
      client.loadProcessor([new ClientCryptoProcessor("bench", KEY)]);
    }
    await client.start();
    const sum = client.register("sum");
    const echo = client.register("echo");
    const items = client.registerGen("items");
    const messages = client.registerChannel("messages");
    const big = client.register("bytes");
    return {
      sum: (a, b) => sum(a, b),
      object: (value) => echo(value),
      binary: (bytes) => echo(bytes),
      big: (size) => big(size),
      async items(count, onItem) {
        for await (const item of items(count)) onItem(item);
      },
      duplex: (count, onMessage) =>
        messages(async (ch) => {
          const writing = write(ch, count);
          for await (const message of ch) onMessage(message);
          await writing;
        }),
      close: () => client.stop(),
    };
  },
});

/** Another codec for either side, if the options say so. */
function codec({ msgpackr }) {
  if (!msgpackr) return undefined;
  const { CODEC } = require("@rap/core");
  const { createContainer } = require("@rap/core/container");
  const useValue = require("@rap/codec-msgpackr").msgpackr();
  return { container: createContainer().register(CODEC, { useValue }) };
}

const KEY = "0123456789abcdef";

async function write(ch, count) {
  for (let i = 0; i < count; i++) await ch.write(i);
  await ch.end();
}

/** A processor that looks at every message and changes none. */
function processor() {
  let seen = 0;
  const look = (message) => {
    seen++;
    return message;
  };
  return { onRequest: look, onResponse: look, seen: () => seen };
}
