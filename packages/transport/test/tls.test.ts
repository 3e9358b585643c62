import { once } from "node:events";
import { type AddressInfo, connect as connectPlain, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { transportCompliance } from "../src/compliance";
import { tcp } from "../src/tcp";
import { type TlsOptions, tls } from "../src/tls";
import type { Listener, Socket } from "../src/transport";
import { type Certificates, certificates } from "./certificates";

let pki: Certificates;
beforeAll(async () => {
  pki = await certificates();
});

for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
  transportCompliance(`tls (${maxVersion})`, async () => ({
    transport: tls({ ...pki.server, ca: pki.ca, maxVersion }),
    address: "tls://localhost:0",
    dispose: async () => {},
  }));
}

describe("tls", () => {
  let listener: Listener;
  let drops: Error[];
  let accepted: Socket[];
  const open: { destroy(): void }[] = [];

  async function listen(options: TlsOptions): Promise<Listener> {
    drops = [];
    accepted = [];
    listener = await tls({ onDrop: (reason) => drops.push(reason), ...options }).listen(
      "tls://localhost:0",
      (socket) => {
        accepted.push(socket);
        open.push(socket);
      },
    );
    return listener;
  }

  async function dial(options: TlsOptions, address = listener.address): Promise<Socket> {
    const socket = await tls(options).dial(address);
    open.push(socket);
    return socket;
  }

  /** Starts a server that is not ours; it stops after the test. */
  async function serve(server: Server): Promise<string> {
    server.listen(0, "localhost");
    await once(server, "listening");
    open.push({ destroy: () => server.close() });
    return `tls://localhost:${(server.address() as AddressInfo).port}`;
  }

  /** Resolves when the socket closes, with the error if there is one. */
  function closed(socket: Socket): Promise<Error | undefined> {
    return new Promise((resolve) => socket.start({ onData: () => {}, onDrain: () => {}, onClose: resolve }));
  }

  afterEach(async () => {
    for (const socket of open.splice(0)) socket.destroy();
    await listener?.close();
  });

  test("verifies the server and knows that the link is encrypted", async () => {
    await listen(pki.server);
    const near = await dial({ ca: pki.ca });
    expect(near.peer).toMatchObject({ encrypted: true, authorized: true, local: true });
    expect(near.peer.certificate?.subject.CN).toBe("localhost");
    await until(() => accepted.length > 0);
    expect(accepted[0]?.peer).toMatchObject({ encrypted: true, authorized: false, certificate: undefined });
  });

  test("verifies an IP address too", async () => {
    await listen(pki.server);
    await dial({ ca: pki.ca }, `tls://127.0.0.1:${listener.port}`).catch(() =>
      dial({ ca: pki.ca }, `tls://[::1]:${listener.port}`),
    );
  });

  test.each([
    ["expired", "CERT_HAS_EXPIRED", /expired/],
    ["elsewhere", "ERR_TLS_CERT_ALTNAME_INVALID", /Host: localhost/],
    ["selfSigned", "DEPTH_ZERO_SELF_SIGNED_CERT", /self-signed/],
  ] as const)("refuses a server whose certificate is %s", async (identity, code, message) => {
    await listen(pki[identity]);
    const error = await dial({ ca: pki.ca }).catch((error: unknown) => error);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), cause: { code } });
    expect(error).toMatchObject({ message: expect.stringContaining(listener.address) });
  });

  test("sees who an authorised client is", async () => {
    await listen({ ...pki.server, ca: pki.ca, requestCert: true });
    await dial({ ...pki.client, ca: pki.ca });
    await until(() => accepted.length > 0);
    expect(accepted[0]?.peer).toMatchObject({ authorized: true, certificate: { subject: { CN: "a client" } } });
  });

  test.each([
    ["without a certificate", () => ({}), /showed no certificate/],
    ["with a certificate that nobody vouches for", () => pki.selfSigned, /DEPTH_ZERO_SELF_SIGNED_CERT/],
    ["with an expired certificate", () => pki.expired, /CERT_HAS_EXPIRED/],
  ])("never announces a client %s", async (_, identity, reason) => {
    await listen({ ...pki.server, ca: pki.ca, requestCert: true });
    // In TLS 1.3 a client is done before the server has looked at its certificate.
    const near = await dial({ ...identity(), ca: pki.ca }).catch(() => undefined);
    if (near !== undefined) await closed(near);
    await until(() => drops.length > 0);
    expect(drops[0]?.message).toMatch(reason);
    expect([accepted.length, listener.dropped]).toEqual([0, 1]);
  });

  test("announces an unauthorised client as such if it is told to", async () => {
    await listen({ ...pki.server, ca: pki.ca, requestCert: true, rejectUnauthorized: false });
    await dial({ ...pki.selfSigned, ca: pki.ca });
    await until(() => accepted.length > 0);
    expect(accepted[0]?.peer.authorized).toBe(false);
  });

  test("drops a client that does not finish the handshake, however busy it is", async () => {
    await listen({ ...pki.server, handshakeTimeout: 300 });
    const hello = await clientHello();
    const since = performance.now();
    const silent = connectPlain(listener.port, "localhost").on("error", () => {});
    const busy = connectPlain(listener.port, "localhost").on("error", () => {});
    open.push(silent, busy);
    let sent = 0;
    const drip = setInterval(() => busy.write(hello.subarray(sent, ++sent)), 20);
    // Without a reader, Node does not tell of the end.
    silent.resume();
    busy.resume();
    // Not by `once`, which rejects when a socket that is reset says so first.
    await Promise.all([silent, busy].map((socket) => new Promise((resolve) => void socket.on("close", resolve))));
    clearInterval(drip);
    expect(performance.now() - since).toBeGreaterThanOrEqual(299);
    expect(drops.map(({ message }) => message)).toEqual(Array(2).fill(expect.stringContaining("in time")));
  });

  test("opened the socket when the connection was accepted, before the handshake", async () => {
    const raw = await accepting();
    const before = performance.now();
    open.push(connectTls({ socket: raw, ca: pki.ca, ALPNProtocols: ["rap/1"], servername: "localhost" }));
    await until(() => accepted.length > 0);
    expect(accepted[0]?.openedAt).toBeLessThanOrEqual(before);
  });

  test("drops a peer that does not speak TLS, and says so", async () => {
    await listen(pki.server);
    const plain = await tcp().dial(`tcp://localhost:${listener.port}`);
    open.push(plain);
    const end = closed(plain);
    plain.write(Buffer.from("RAP/1 hello, this is not TLS"));
    await end;
    const http = connectPlain(listener.port, "localhost").on("error", () => {});
    open.push(http);
    http.resume().write("GET / HTTP/1.1\r\n\r\n");
    await until(() => drops.length === 2);
    expect(drops.map(({ message }) => message)).toEqual([
      "the peer does not speak TLS",
      "the peer speaks HTTP, not TLS",
    ]);
  });

  test("says so when the server does not speak TLS, or hangs up", async () => {
    for (const [answer, message] of [
      ["RAP/1 hello", "does not speak TLS"],
      ["", "disconnected before secure TLS connection"],
    ] as const) {
      const address = await serve(
        createServer(
          (socket) =>
            void socket
              .on("error", () => {})
              .resume()
              .end(answer),
        ),
      );
      await expect(dial({}, address)).rejects.toThrow(message);
    }
  });

  test("refuses a peer that agrees on no protocol", async () => {
    await listen(pki.server);
    await expect(dial({ ca: pki.ca, ALPNProtocols: ["h2"] })).rejects.toThrow("share no ALPN protocol");

    const without = connectTls({ port: listener.port, host: "localhost", ca: pki.ca }).on("error", () => {});
    open.push(without);
    without.resume();
    await once(without, "close");
    expect(drops.map(({ message }) => message)).toEqual([
      "the peers share no ALPN protocol",
      expect.stringContaining("agreed to no ALPN protocol, it must be rap/1"),
    ]);

    const address = await serve(createTlsServer(pki.server, (socket) => void socket.on("error", () => {}).resume()));
    await expect(dial({ ca: pki.ca }, address)).rejects.toThrow("agreed to no ALPN protocol");
    await dial({ ca: pki.ca, ALPNProtocols: [] }, address);
  });

  test("survives an SNICallback that throws", async () => {
    await listen({
      ...pki.server,
      SNICallback: () => {
        throw new Error("bug in SNICallback");
      },
    });
    await expect(dial({ ca: pki.ca })).rejects.toThrow(listener.address);
    await until(() => drops.length > 0);
    expect(drops[0]?.message).toBe("bug in SNICallback");
  });

  test("asks the filter before the handshake", async () => {
    const asked: string[] = [];
    await listen({ ...pki.server, filter: (peer) => asked.push(`${peer.local} ${peer.encrypted}`) > 1 });
    await expect(dial({ ca: pki.ca })).rejects.toThrow(listener.address);
    await dial({ ca: pki.ca });
    expect(asked).toEqual(["true false", "true false"]);
  });

  test("the filter's peer is the socket's, and the filter is told when it is gone, with or without a handshake", async () => {
    const peers = new Set<unknown>();
    await listen({
      ...pki.server,
      filter(peer) {
        peers.add(peer);
        return () => peers.delete(peer);
      },
    });
    const silent = connectPlain(listener.port, "localhost");
    const wrong = connectPlain(listener.port, "localhost").on("error", () => {});
    wrong.end("this is no TLS");
    const near = await dial({ ca: pki.ca });
    await until(() => accepted.length === 1);
    expect(peers.has(accepted[0]?.peer)).toBe(true);
    const gone = closed(accepted[0] as Socket);
    near.destroy();
    silent.destroy();
    await gone;
    await until(() => peers.size === 0);
  });

  test("announces nobody whose handshake outlives the listener", async () => {
    const raw = await accepting();
    await listener.close();
    const late = connectTls({ socket: raw, ca: pki.ca, ALPNProtocols: ["rap/1"], servername: "localhost" });
    open.push(late);
    late.on("error", () => {}).resume();
    await once(late, "close");
    expect([accepted.length, listener.dropped]).toEqual([0, 1]);
  });

  test("gives up a handshake with the signal's reason", async () => {
    const address = await serve(createServer((socket) => void socket.on("error", () => {}).resume()));
    const reason = new Error("too slow");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    await expect(tls().dial(address, controller.signal)).rejects.toBe(reason);
  });

  /** A connection that the listener has accepted and on which nothing was said. */
  async function accepting() {
    let arrived = false;
    await listen({
      ...pki.server,
      filter() {
        arrived = true;
        return true;
      },
    });
    const raw = connectPlain(listener.port, "localhost");
    await until(() => arrived);
    return raw;
  }

  /** What a TLS client says first. */
  async function clientHello(): Promise<Buffer> {
    const server = createServer();
    const { port, hostname } = new URL(await serve(server));
    const client = connectTls(Number(port), hostname).on("error", () => {});
    const [socket] = await once(server, "connection");
    const [hello] = await once(socket, "data");
    open.push(client, socket);
    return hello;
  }
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await sleep(1);
  }
}
