import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerCertificate } from "node:tls";
import { Client } from "@rap/client";
import { context, Server } from "@rap/server";
import { generate } from "selfsigned";

const whoami = () => (context().conn.peerCertificate as PeerCertificate | undefined)?.subject.CN ?? "nobody";

/** A certificate for `name`, good for localhost too; signed by `ca`, or by itself. */
async function certificate(name: string, ca?: { key: string; cert: string }) {
  const issued = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [
      { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
      { name: "basicConstraints", cA: ca === undefined },
    ],
    ...(ca && { ca }),
  });
  return { key: issued.private, cert: issued.cert };
}

export async function main() {
  // Files of a certificate and its key, as openssl makes them.
  const folder = mkdtempSync(join(tmpdir(), "rap-"));
  const [sslCertPath, sslKeyPath] = [join(folder, "rap_ssl.crt"), join(folder, "rap_ssl.key")];
  const own = await certificate("localhost");
  writeFileSync(sslCertPath, own.cert);
  writeFileSync(sslKeyPath, own.key);
  {
    await using server = new Server({ sslCertPath, sslKeyPath }).register({ whoami });
    const { port } = await server.listen({ port: 0 });
    await using client = new Client({ sslCertPath }).addConn("localhost", port);
    await client.start();
    console.log("TLS, the client is", await client.invokeByName("whoami"));
  }

  // Both sides show a certificate that one authority signed. The options are those of node:tls.
  const authority = await certificate("our authority");
  const ca = authority.cert;
  const [serverSide, alice] = [await certificate("localhost", authority), await certificate("alice", authority)];
  const tls = { ...serverSide, ca, requestCert: true, rejectUnauthorized: true };
  await using server = new Server({ tls }).register({ whoami });
  const { port } = await server.listen({ port: 0 });

  await using client = new Client({ tls: { ...alice, ca } }).addConn("localhost", port);
  await client.start();
  console.log("mutual TLS, the client is", await client.invokeByName("whoami"));

  await using stranger = new Client({ tls: { ca } }).addConn("localhost", port);
  await assert.rejects(stranger.start(), { code: "UNAVAILABLE" });
  rmSync(folder, { recursive: true });
}
