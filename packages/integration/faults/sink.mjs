// A port that takes what comes and does nothing with it: what an attack costs where it meets no server.
import { createServer } from "node:net";
import { answer } from "./child.mjs";

const server = createServer((socket) => socket.on("error", () => {}).resume());
server.listen(0, "127.0.0.1", () => answer({}, { port: server.address().port }));
