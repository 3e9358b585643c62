/** tRPC over WebSocket, by `ws`. It sends JSON: bytes travel as base64. */
module.exports = () => ({
  async serve() {
    const { initTRPC } = require("@trpc/server");
    const { applyWSSHandler } = require("@trpc/server/adapters/ws");
    const { WebSocketServer } = require("ws");
    const { router, procedure } = initTRPC.create();
    const given = procedure.input((value) => value);
    const api = router({
      sum: given.query(({ input: [a, b] }) => a + b),
      echo: given.mutation(({ input }) => input),
      big: given.query(({ input }) => Buffer.alloc(input).toString("base64")),
      items: given.subscription(async function* ({ input }) {
        for (let i = 0; i < input; i++) yield i;
      }),
    });
    const wss = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 0 });
    applyWSSHandler({ wss, router: api, createContext: () => ({}) });
    await new Promise((resolve) => wss.once("listening", resolve));
    return { port: wss.address().port };
  },

  async connect({ port }) {
    const { createTRPCClient, createWSClient, wsLink } = require("@trpc/client");
    const { WebSocket } = require("ws");
    const socket = createWSClient({ url: `ws://127.0.0.1:${port}`, WebSocket });
    const client = createTRPCClient({ links: [wsLink({ client: socket })] });
    return {
      sum: (a, b) => client.sum.query([a, b]),
      object: (value) => client.echo.mutate(value),
      binary: async (body) => Buffer.from(await client.echo.mutate(Buffer.from(body).toString("base64")), "base64"),
      big: async (size) => Buffer.from(await client.big.query(size), "base64"),
      items: (count, onItem) =>
        new Promise((onComplete, onError) => {
          client.items.subscribe(count, { onData: onItem, onComplete, onError });
        }),
      close: () => socket.close(),
    };
  },
});
