/**
 * HTTP/1.1 by Fastify with schemas, called by undici with pipelining over one connection. A stream is NDJSON, of which
 * the handler gives `lineBytes` at a time.
 */
module.exports = ({ lineBytes = 1 }) => ({
  async serve() {
    const { Readable } = require("node:stream");
    const app = require("fastify")({ bodyLimit: 2 ** 30 });
    const sum = {
      body: { type: "array", items: { type: "integer" } },
      response: { 200: { type: "object", properties: { value: { type: "integer" } } } },
    };
    app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_, body, done) => done(null, body));
    app.post("/sum", { schema: sum }, async ({ body: [a, b] }) => ({ value: a + b }));
    app.post("/object", async ({ body }) => body);
    app.post("/binary", async ({ body }, reply) => reply.type("application/octet-stream").send(body));
    app.get("/big/:size", async ({ params }, reply) =>
      reply.type("application/octet-stream").send(Buffer.alloc(Number(params.size))),
    );
    app.get("/items/:count", async ({ params }, reply) =>
      reply.type("application/x-ndjson").send(Readable.from(lines(Number(params.count), lineBytes))),
    );
    await app.listen({ host: "127.0.0.1", port: 0 });
    return { port: app.server.address().port };
  },

  async connect({ port }) {
    const { Client } = require("undici");
    const client = new Client(`http://127.0.0.1:${port}`, { pipelining: 10_000, bodyTimeout: 0, headersTimeout: 0 });
    const post = async (path, type, body) =>
      (await client.request({ path, method: "POST", headers: { "content-type": type }, body, idempotent: true })).body;
    const json = async (path, value) => (await post(path, "application/json", JSON.stringify(value))).json();
    const get = async (path) => (await client.request({ path, method: "GET" })).body;
    return {
      sum: async (a, b) => (await json("/sum", [a, b])).value,
      object: (value) => json("/object", value),
      binary: async (body) =>
        Buffer.from(await (await post("/binary", "application/octet-stream", body)).arrayBuffer()),
      big: async (size) => Buffer.from(await (await get(`/big/${size}`)).arrayBuffer()),
      async items(count, onItem) {
        let rest = "";
        for await (const chunk of await get(`/items/${count}`)) {
          const text = (rest + chunk).split("\n");
          rest = text.pop();
          for (const line of text) onItem(JSON.parse(line));
        }
      },
      close: () => client.close(),
    };
  },
});

/** Numbers as lines, gathered into pieces of so many bytes. */
function* lines(count, bytes) {
  let text = "";
  for (let i = 0; i < count; i++) {
    text += `${JSON.stringify(i)}\n`;
    if (text.length < bytes) continue;
    yield text;
    text = "";
  }
  yield text;
}
