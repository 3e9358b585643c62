import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket as RawSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { transportCompliance } from "../src/compliance";
import { type TcpOptions, tcp, unix } from "../src/tcp";
import type { Listener, Peer, Socket } from "../src/transport";

const dispose = async () => {};
transportCompliance("tcp", async () => ({ transport: tcp(), address: "tcp://127.0.0.1:0", dispose }));
transportCompliance("tcp over IPv6", async () => ({ transport: tcp(), address: "rap://[::1]:0", dispose }));
transportCompliance("unix", async () => {
  const directory = await mkdtemp(join(tmpdir(), "rap-"));
  return {
    transport: unix(),
    address: `unix:${directory}/socket`,
    dispose: () => rm(directory, { recursive: true }),
  };
});

describe("tcp", () => {
  const open: { destroy(): void }[] = [];
  let listener: Listener;
  let accepted: Socket[];
  let drops: string[];

  async function listen(options: TcpOptions = {}, address = "tcp://127.0.0.1:0"): Promise<Listener> {
    accepted = [];
    drops = [];
    listener = await tcp({ onDrop: ({ message }) => drops.push(message), ...options }).listen(address, (socket) => {
      accepted.push(socket);
      open.push(socket);
    });
    return listener;
  }

  async function raw(): Promise<RawSocket> {
    const socket = connect(listener.port, "127.0.0.1").on("error", () => {});
    open.push(socket);
    await once(socket, "connect");
    return socket;
  }

  afterEach(async () => {
    for (const socket of open.splice(0)) socket.destroy();
    await listener?.close();
  });

  test("has an address that can be dialled when it listens on all interfaces", async () => {
    await listen({}, "tcp://0.0.0.0:0");
    expect(listener).toMatchObject({ host: "0.0.0.0", address: `tcp://127.0.0.1:${listener.port}` });
    await listener.close();
    await listen({}, "tcp://[::]:0");
    expect(listener).toMatchObject({ host: "::", address: `tcp://[::1]:${listener.port}` });
    open.push(await tcp().dial(`tcp://127.0.0.1:${listener.port}`));
    await until(() => accepted.length === 1);
    expect(accepted[0]?.peer).toMatchObject({ address: "::ffff:127.0.0.1", local: true });
  });

  test("drops connections beyond maxConnections, and counts them", async () => {
    await listen({ maxConnections: 2 });
    const first = await raw();
    await raw();
    const third = (await raw()).resume();
    await once(third, "close");
    expect([accepted.length, listener.dropped]).toEqual([2, 1]);
    expect(drops).toEqual(["127.0.0.1 came when 2 connections were open"]);
    first.destroy();
    accepted[0]?.destroy();
    // A place is free once the socket itself is gone, which may be a moment later.
    while (accepted.length < 3) await raw();
  });

  test("drops what the filter refuses, also when the filter or onDrop throws", async () => {
    const peers: Peer[] = [];
    await listen({
      filter(peer) {
        peers.push(peer);
        if (peers.length === 2) throw new Error("bug in filter");
        return peers.length > 2;
      },
    });
    await Promise.all([once((await raw()).resume(), "close"), once((await raw()).resume(), "close")]);
    await raw();
    await until(() => accepted.length === 1);
    expect(peers[0]).toMatchObject({ address: "127.0.0.1", local: true });
    expect(drops).toEqual(["127.0.0.1 was filtered", "bug in filter"]);
  });

  test("tells the filter once when a socket that it let in is gone, however it went", async () => {
    let inside = 0;
    let gone = 0;
    await listen({
      filter() {
        inside++;
        return () => {
          inside--;
          gone++;
        };
      },
    });
    const [ended, reset, destroyed] = [await raw(), await raw(), await raw()];
    await until(() => accepted.length === 3);
    expect([inside, gone]).toEqual([3, 0]);
    ended.end();
    reset.resetAndDestroy();
    accepted.find(({ peer }) => peer.port === destroyed.localPort)?.destroy();
    await until(() => inside === 0);
    await sleep(20);
    expect([inside, gone]).toEqual([0, 3]);
  });

  test("announces no socket that was reset before it could be accepted", async () => {
    await listen();
    for (let i = 0; i < 100; i++) {
      const socket = connect(listener.port, "127.0.0.1").on("error", () => {});
      socket.on("connect", () => socket.resetAndDestroy());
      open.push(socket);
    }
    await until(() => accepted.length + listener.dropped === 100);
    expect(accepted.every(({ peer }) => peer.address === "127.0.0.1")).toBe(true);
    expect(drops.every((reason) => reason.includes("reset before"))).toBe(true);
  });

  test("hands a reset to the handler as an error, and survives it without one", async () => {
    await listen();
    const client = await raw();
    await until(() => accepted.length === 1);
    const closed = close(accepted[0] as Socket);
    (await raw()).resetAndDestroy();
    client.resetAndDestroy();
    expect(await closed).toMatchObject({ code: "ECONNRESET" });
  });

  test("destroys a peer that does not finish within closeTimeout", async () => {
    await listen({ closeTimeout: 50 });
    open.push(connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true }));
    await until(() => accepted.length === 1);
    const socket = accepted[0] as Socket;
    const closed = close(socket);
    socket.end();
    expect(await closed).toMatchObject({ code: "ETIMEDOUT", message: "the peer did not finish within 50 ms" });
  });

  test("ends a half-open peer that has nothing more to say, also before start", async () => {
    await listen();
    const client = connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true }).resume();
    client.end();
    await once(client, "close");
    expect(await close(accepted[0] as Socket)).toBeUndefined();
  });

  test("names all addresses that it tried", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await expect(tcp().dial(`tcp://localhost:${port}`)).rejects.toMatchObject({
      code: "ECONNREFUSED",
      message: expect.stringMatching(/^cannot connect to tcp:\/\/localhost:\d+: connect ECONNREFUSED/),
    });
    await expect(tcp().dial("tcp://host.invalid:1")).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
      message: expect.stringContaining("tcp://host.invalid:1"),
    });
  });
});

describe("unix", () => {
  let directory: string;
  let path: string;
  const open: Listener[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "rap-"));
    path = join(directory, "socket");
  });

  afterEach(async () => {
    for (const listener of open.splice(0)) await listener.close();
    await rm(directory, { recursive: true });
  });

  async function listen(options = {}): Promise<Listener> {
    const listener = await unix(options).listen(`unix:${path}`, (socket) => socket.destroy());
    open.push(listener);
    return listener;
  }

  test("lets only the owner connect unless told otherwise, and removes its file", async () => {
    const listener = await listen();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await listener.close();
    expect(existsSync(path)).toBe(false);
    await listen({ mode: 0o660 });
    expect((await stat(path)).mode & 0o777).toBe(0o660);
  });

  test("takes over the file of a dead process", async () => {
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect((await stat(path)).isSocket()).toBe(true);
    await listen();
    (await unix().dial(`unix:${path}`)).destroy();
  });

  test("leaves alone a file that is not a socket", async () => {
    await writeFile(path, "precious");
    await expect(listen()).rejects.toMatchObject({ code: "EADDRINUSE", message: expect.stringContaining(path) });
    expect(await readFile(path, "utf8")).toBe("precious");
  });

  test("knows the path of the peer", async () => {
    await listen();
    const socket = await unix().dial(`unix:${path}`);
    expect(socket.peer).toEqual({
      address: path,
      port: 0,
      localAddress: path,
      local: true,
      encrypted: false,
      authorized: false,
      certificate: undefined,
    });
    socket.destroy();
  });
});

/** Starts the socket; resolves when it closes, with the error if there is one. */
function close(socket: Socket): Promise<Error | undefined> {
  return new Promise((resolve) => socket.start({ onData: () => {}, onDrain: () => {}, onClose: resolve }));
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition}`);
    await sleep(1);
  }
}
