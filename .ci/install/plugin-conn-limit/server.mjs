// Prints its address and serves until its input ends.
import { ConnLimitMiddleware, IpMaxConnMiddleware } from "@rap/plugin-conn-limit";
import { Server } from "@rap/server";

const server = new Server({ port: 0 }).loadMiddleware([
  new ConnLimitMiddleware({ maxConn: 2, blockTime: 0 }),
  new IpMaxConnMiddleware({ ipMaxConn: 1 }),
]);
await server.listen();
console.log(server.address);
process.stdin.on("end", () => server.shutdown()).resume();
