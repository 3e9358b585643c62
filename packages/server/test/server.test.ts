import { describe, expect, test } from "@jest/globals";
import { limits } from "@rap/protocol";
import { createTestPair } from "@rap/testing";
import { memory } from "@rap/transport";
import {
  connMiddleware,
  createContainer,
  type Envelope,
  LIMITS,
  messageMiddleware,
  RapService,
  Rpc,
  rpc,
  Server,
  type ServerOptions,
} from "../src";

const meant = (text: string) =>
  expect.objectContaining({ name: "TypeError", code: "ERR_RAP_OPTION", message: expect.stringContaining(text) });

describe("an option that does not exist is refused where it is given, by the name that was meant:", () => {
  test.each<[object, string]>([
    [{ prot: 9000 }, 'Server has no option "prot": did you mean "port"?'],
    [{ ssl_crt_path: "x" }, 'did you mean "sslCertPath"?'],
    [{ workers: { maxThread: 1 } }, 'workers has no option "maxThread": did you mean "maxThreads"?'],
    [{ load: { folder: ["."] } }, 'load has no option "folder": did you mean "folders"?'],
  ])("new Server(%j)", (options, message) => {
    expect(() => new Server(options as ServerOptions)).toThrow(meant(message));
  });

  test("listen", async () => {
    const server = new Server();
    await expect(server.listen({ hostname: "127.0.0.1" } as object)).rejects.toThrow(meant('did you mean "host"?'));
    expect(server.state).toBe("idle");
  });

  test("register, registerChannel, rpc, and the decorators and services", () => {
    const server = new Server();
    const sum = (a: number, b: number) => a + b;
    const wrong = { privat: true } as object;
    expect(() => server.register(sum, wrong)).toThrow(
      meant('register() has no option "privat": did you mean "private"?'),
    );
    expect(() => server.register({ sum }, wrong)).toThrow(meant("private"));
    expect(() => server.registerChannel(async () => {}, wrong)).toThrow(meant("private"));
    expect(() => rpc(wrong, (a: number) => a)).toThrow(meant('rpc() has no option "privat"'));
    expect(() => Rpc(wrong)).toThrow(meant('@Rpc() has no option "privat"'));
    expect(() => RapService(wrong)).toThrow(meant('@RapService() has no option "privat"'));
    expect(() => server.registerService(class {}, wrong)).toThrow(meant('registerService() has no option "privat"'));
    expect(() => server.register(sum)).not.toThrow();
  });
});

test("nobody registers in the groups of the server itself, neither before nor after its own functions", () => {
  const refused = expect.objectContaining({ name: "TypeError", code: "ERR_RAP_REGISTER" });
  for (const options of [{}, { health: false }]) {
    const server = new Server(options);
    for (const group of ["rap.health.v1", "rap.session.v1", "rap.", "rap.mine", "registry"]) {
      expect(() => server.register({ Check: () => 1 }, { group })).toThrow(refused);
      expect(() => server.registerChannel(async function watch() {}, { group })).toThrow(refused);
      expect(() => server.register(rpc({ group }, function inContract() {}))).toThrow(refused);
    }
    expect(() => server.register({ ok: () => 1 }, { group: "rap" })).not.toThrow();
    expect(() => server.register({ ok: () => 1 }, { group: "rapid.v1" })).not.toThrow();
  }
});

describe("a value that an option cannot have is refused where it is given:", () => {
  test.each<[object, string]>([
    [{ exposeErrors: "false" }, "exposeErrors of Server is a boolean, not a string"],
    [{ host: "" }, "the option host of Server is a text that is not empty, not a string"],
    [{ port: "9e3" }, "the option port of Server is a whole number from 0 to 65535, not a string"],
    [{ port: 65_536 }, "port of Server is a whole number from 0 to 65535, not 65536"],
    [{ port: null }, "not null"],
    [{ tls: true }, "tls of Server is an object, not true"],
    [{ tls: [] }, "tls of Server is an object, not a list"],
    [{ sslKeyPath: 5 }, "sslKeyPath of Server is a text that is not empty, not 5"],
    [{ limits: [] }, "limits of Server is an object, not a list"],
    [{ signals: "SIGTERM" }, "signals of Server is a list of signals, or false, not a string"],
    [
      { signals: ["SIGTERM", "TERM"] },
      "entry 1 of the option signals of Server is a signal that a process can listen to",
    ],
    [{ signals: ["SIGKILL"] }, "entry 0 of the option signals of Server is a signal"],
    [{ workers: { maxThreads: 0 } }, "maxThreads of workers is a whole number of at least 1, not 0"],
    [{ workers: { idleTimeout: Number.NaN } }, "idleTimeout of workers is 0 or more milliseconds, not NaN"],
    [{ load: { folders: "." } }, "folders of load is a list of folders, not a string"],
    [{ load: { folders: [""] } }, "entry 0 of the option folders of load is a text that is not empty"],
    [
      { container: {} },
      "container of Server is a container with the methods resolve, isRegistered and createChildContainer",
    ],
    [{ drainTimeout: -1 }, "drainTimeout of Server is 0 or more milliseconds, not -1"],
    [{ drainTimeout: Number.NaN }, "not NaN"],
    [{ logger: 5 }, "logger of Server is a logger with the methods debug, info, warn and error, not 5"],
    [{ logger: null }, "not null"],
    [{ logger: { info() {}, warn() {}, error() {} } }, "with the methods debug, info, warn and error, not an object"],
  ])("new Server(%j)", (options, message) => {
    expect(() => new Server(options as ServerOptions)).toThrow(meant(message));
  });

  test("a part in its container that is none", () => {
    const container = createContainer();
    container.register(LIMITS, { useValue: { maxInFlight: 5 } as never });
    expect(() => new Server({ container })).toThrow(meant("what is registered under rap.limits is a whole table"));
  });

  test("a limit that cannot be changed, as an option or in the table of its container", () => {
    const refused = expect.objectContaining({
      name: "RangeError",
      code: "ERR_RAP_LIMIT",
      message: "limit maxNameBytes cannot be changed: it must be 256, not 512",
    });
    const table = limits({ maxInFlight: 5 });
    const holding = (useValue: typeof table) => createContainer().register(LIMITS, { useValue });
    expect(() => new Server({ limits: { maxNameBytes: 512 } })).toThrow(refused);
    expect(() => new Server({ container: holding({ ...table, maxNameBytes: 512 }) })).toThrow(refused);
    expect(new Server({ container: holding(table) }).limits).toEqual(table);
  });

  test("a certificate without its key, or none", () => {
    const refused = (message: string) =>
      expect.objectContaining({ name: "TypeError", code: "ERR_RAP_TLS", message: expect.stringContaining(message) });
    for (const options of [{ sslCertPath: "a.crt" }, { sslKeyPath: "a.key" }]) {
      expect(() => new Server(options)).toThrow(refused("sslCertPath and sslKeyPath go together"));
    }
    for (const tls of [{}, { cert: "-----BEGIN" }, { ca: "-----BEGIN", requestCert: true }]) {
      expect(() => new Server({ tls })).toThrow(
        refused("tls of Server has no certificate: it needs cert and key, or pfx"),
      );
    }
    expect(() => new Server({ tls: { SNICallback: () => {} } })).not.toThrow();
    expect(() => new Server({ tls: { requestCert: true }, sslCertPath: "a.crt", sslKeyPath: "a.key" })).not.toThrow();
  });

  test("listen, shutdown, register, use", async () => {
    const server = new Server();
    await expect(server.listen({ host: 5 } as object)).rejects.toThrow(meant("host of listen() is a text"));
    await expect(server.listen({ port: 1.5 })).rejects.toThrow(meant("port of listen() is a whole number from 0"));
    await expect(server.listen({ signal: {} } as object)).rejects.toThrow(
      meant("signal of listen() is an AbortSignal"),
    );
    await expect(server.listen({ transport: {} } as object)).rejects.toThrow(
      meant("a transport with the method listen"),
    );
    await expect(server.listen({ address: "tcp://0.0.0.0:9000" })).rejects.toThrow(
      meant("address of listen() goes with"),
    );
    expect(server.state).toBe("idle");
    expect(() => server.shutdown({ grace: 5 } as object)).toThrow(meant('did you mean "graceMs"?'));
    expect(() => server.shutdown({ graceMs: Number.NaN })).toThrow(
      meant("graceMs of shutdown() is a number of milliseconds"),
    );
    expect(() => server.shutdown({ signal: {} } as object)).toThrow(meant("signal of shutdown() is an AbortSignal"));
    expect(() => server.setHealth(undefined as never, "SERVING")).toThrow(
      meant("the service of setHealth() is a text"),
    );
    expect(() => server.setHealth("", "UP" as never)).toThrow(meant('is "SERVING" or "NOT_SERVING", not "UP"'));
    expect(() => server.register({ f: () => 1 }, { private: "yes" } as object)).toThrow(meant("private of register()"));
    expect(() => server.use((async () => 1) as never)).toThrow("messageMiddleware() or connMiddleware()");
    expect(() => server.use({ kind: "message", dispach() {} } as never)).toThrow(
      "a middleware has a dispatch function",
    );
    expect(() => server.use(3 as never)).toThrow(expect.objectContaining({ code: "ERR_RAP_LOAD" }));
  });
});

test("a port may be a text, and a signal one of another platform", async () => {
  await using server = new Server({ port: "0" as never, signals: ["SIGINT", "SIGBREAK"] });
  expect((await server.listen()).port).toBeGreaterThan(0);
});

test("a time of which nothing is left is over", async () => {
  const server = new Server({ port: 0 });
  await server.listen();
  await server.shutdown({ graceMs: -5 });
  expect(server.state).toBe("stopped");
});

test("a list of middleware of which one is none loads none", () => {
  const server = new Server();
  const good = messageMiddleware((_, args, next) => next(args));
  expect(() => server.loadMiddleware([good, {} as never])).toThrow("dispatch");
  expect(() => server.loadMiddleware([good, good])).toThrow("loaded already");
  expect(() => server.loadMiddleware([good])).not.toThrow();
});

test("of several parts of which one is none, or is there already, none is loaded", () => {
  const good = messageMiddleware((_, args, next) => next(args));
  const conn = connMiddleware((_, next) => next());
  const processor = { onRequest: (message: Envelope) => message };
  for (const bad of [{ kind: "conn" }, { onRequest: 5 }, () => undefined, 3, null, good, conn, processor]) {
    const server = new Server();
    expect(() => server.use(good, conn, processor, bad as never)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_RAP_LOAD" }),
    );
    expect(() => server.use(processor, conn, good)).not.toThrow();
  }
});

test("a message middleware may have a filter of its own", () => {
  const dispatch = messageMiddleware((_, args, next) => next(args)).dispatch;
  expect(() => new Server().loadMiddleware([{ kind: "message", filter: /secret/, dispatch } as never])).not.toThrow();
});

test("a logger may be a function that has the methods", async () => {
  const lines: object[] = [];
  const write = (details: object) => void lines.push(details);
  const logger = Object.assign(() => {}, { debug: write, info: write, warn: write, error: write });
  const server = new Server({ logger }).register({ fail: () => Promise.reject(new Error("no")) });
  await using pair = await createTestPair(server);
  await expect(pair.client.invokeByName("fail")).rejects.toMatchObject({ code: "UNKNOWN" });
  expect(lines).toEqual([expect.objectContaining({ method: "default/fail" })]);
});

test("a server that has stopped already does not run forever", async () => {
  const server = new Server();
  await server.listen({ transport: memory() });
  await server.shutdown();
  await server.runForever();
});
