// npm run demo: a server in one process, a client in another, over TCP on loopback. Exits 0 if all was as expected.
const { fork } = require("node:child_process");
const { once } = require("node:events");
const { join } = require("node:path");

async function main() {
  const server = fork(join(__dirname, "server.js"));
  const [{ port, secretPort }] = await once(server, "message");
  console.log(`a server listens on 127.0.0.1:${port}, a client calls it from another process\n`);
  const client = fork(join(__dirname, "client.js"), [String(port), String(secretPort)]);
  const [clientCode] = await once(client, "exit");
  server.kill("SIGTERM");
  const [serverCode, signal] = await once(server, "exit");
  console.log(`\nthe client ended with ${clientCode}, the server drained and ended with ${signal ?? serverCode}`);
  process.exitCode = clientCode === 0 && serverCode === 0 ? 0 : 1;
}

void main();
