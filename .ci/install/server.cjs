// Prints its address and serves until its input ends.
const { Server } = require("@rap/server");

function heavy(n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += i;
  return sum;
}

async function* range(n) {
  for (let i = 0; i < n; i++) yield i;
}

async function shout(channel) {
  for await (const text of channel) await channel.write(text.toUpperCase());
}

async function main() {
  const server = new Server({ port: 0 })
    .register((a, b) => a + b, { name: "sum" })
    .register(heavy, { worker: true })
    .register(range)
    .registerChannel(shout)
    .register(
      {
        balance: () => 7n,
        history: async function* () {
          yield* [3n, 4n];
        },
      },
      { group: "bank" },
    );
  await server.listen();
  console.log(server.address);
  process.stdin.on("end", () => server.shutdown()).resume();
}

void main();
