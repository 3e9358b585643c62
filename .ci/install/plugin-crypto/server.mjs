// Prints its address and serves, to clients that have the key alone, until its input ends.
import { ServerCryptoProcessor } from "@rap/plugin-crypto";
import { Server } from "@rap/server";

const server = new Server().register({ sum: (a, b) => a + b });
server.loadProcessor([new ServerCryptoProcessor({ demo_id: "xxxxxxxxxxxxxxxx" })]);

const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
console.log(`tcp://127.0.0.1:${port}`);
for await (const _ of process.stdin);
await server.shutdown();
