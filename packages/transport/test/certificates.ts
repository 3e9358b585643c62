import { generate } from "selfsigned";

/** A certificate and its key, as the options of `node:tls` take them. */
export interface Identity {
  key: string;
  cert: string;
}

export interface Certificates {
  /** The authority that signed all of them. */
  ca: string;
  /** For localhost, 127.0.0.1 and ::1. */
  server: Identity;
  client: Identity;
  expired: Identity;
  /** For another host. */
  elsewhere: Identity;
  /** Signed by nobody else. */
  selfSigned: Identity;
}

type Extensions = NonNullable<NonNullable<Parameters<typeof generate>[1]>["extensions"]>;

const HERE: Extensions = [
  {
    name: "subjectAltName",
    altNames: [
      { type: 2, value: "localhost" },
      { type: 7, ip: "127.0.0.1" },
      { type: 7, ip: "::1" },
    ],
  },
];

/** Makes a small public-key infrastructure for one test run. */
export async function certificates(): Promise<Certificates> {
  const authority = await issue("Test CA", [
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, digitalSignature: true, critical: true },
  ]);
  const ca = { key: authority.key, cert: authority.cert };
  const day = 86_400_000;
  return {
    ca: authority.cert,
    server: await issue("localhost", HERE, { ca }),
    client: await issue("a client", [], { ca }),
    expired: await issue("localhost", HERE, {
      ca,
      notBeforeDate: new Date(Date.now() - 2 * day),
      notAfterDate: new Date(Date.now() - day),
    }),
    elsewhere: await issue("example.org", [{ name: "subjectAltName", altNames: [{ type: 2, value: "example.org" }] }], {
      ca,
    }),
    selfSigned: await issue("localhost", HERE),
  };
}

async function issue(name: string, extensions: Extensions, options: Parameters<typeof generate>[1] = {}) {
  const issued = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions,
    ...options,
  });
  return { key: issued.private, cert: issued.cert };
}
