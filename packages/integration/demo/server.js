// The demo's server: plain functions, served on a free port of loopback. Tells its parent the port, stops on SIGTERM.
const { ServerCryptoProcessor } = require("@rap/plugin-crypto");
const { Server, context, RapError } = require("@rap/server");

let cleanups = 0;

const functions = {
  syncSum: (a, b) => a + b,
  asyncSum: async (a, b) => a + b,
  async *count(n) {
    try {
      for (let i = 0; i < n; i++) yield i;
    } finally {
      cleanups++;
    }
  },
  withdraw(amount) {
    throw new RapError("FAILED_PRECONDITION", `not enough money for ${amount}`, { reason: "INSUFFICIENT_FUNDS" });
  },
  /** Finishes only when the caller gives up. */
  forever: () => new Promise((resolve) => context().signal.addEventListener("abort", () => resolve("aborted"))),
  cleanups: () => cleanups,
  visits() {
    const { state } = context().session;
    state.set("visits", (state.get("visits") ?? 0) + 1);
    return state.get("visits");
  },
};

async function shout(channel) {
  for await (const word of channel) await channel.write(`${word.toUpperCase()}!`);
}

async function main() {
  const server = new Server({ port: 0 });
  server.register(functions).registerChannel(shout);
  const { port } = await server.listen();

  // The same for those who know a key; it stops with the other.
  const secret = new Server({ port: 0, signals: false });
  secret.register(functions).loadProcessor([new ServerCryptoProcessor({ demo_id: "xxxxxxxxxxxxxxxx" })]);
  server.loadAfterStopEvent([() => secret.shutdown()]);
  const { port: secretPort } = await secret.listen();

  process.send({ port, secretPort });
  await server.runForever();
  process.disconnect();
}

void main();
