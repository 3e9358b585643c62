const net = require("node:net");
const tls = require("node:tls");

/** Listens on a free port of loopback, with TLS if told so; gives what `dial` needs. */
async function listen(onSocket, { secure = false } = {}) {
  if (!secure) return bound(net.createServer(onSocket));
  const identity = await certificate();
  return { ...(await bound(tls.createServer(identity, onSocket))), ca: identity.cert };
}

/** Connects to what `listen` gave. */
function dial({ port, ca }) {
  return new Promise((resolve, reject) => {
    const socket =
      ca === undefined
        ? net.connect(port, "127.0.0.1", () => resolve(socket))
        : tls.connect({ port, host: "127.0.0.1", ca }, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** A key and a certificate that signs itself, for 127.0.0.1. */
async function certificate() {
  const { generate } = require("selfsigned");
  const altNames = [{ type: 7, ip: "127.0.0.1" }];
  const { private: key, cert } = await generate([{ name: "commonName", value: "127.0.0.1" }], {
    keyType: "ec",
    extensions: [{ name: "subjectAltName", altNames }],
  });
  return { key, cert };
}

function bound(server) {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", 1024, () => resolve({ port: server.address().port }));
  });
}

module.exports = { listen, dial, certificate };
