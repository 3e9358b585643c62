// Prints its address and serves until its input ends.
import { IpFilterMiddleware } from "@rap/plugin-ip-filter";
import { Server } from "@rap/server";

const server = new Server({ port: 0 }).loadMiddleware([new IpFilterMiddleware({ blockIpList: ["192.0.2.0/24"] })]);
await server.listen();
console.log(server.address);
process.stdin.on("end", () => server.shutdown()).resume();
