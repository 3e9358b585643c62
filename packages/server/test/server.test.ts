import { describe, expect, test } from "@jest/globals";
import { createTestPair } from "@rap/testing";
import { memory } from "@rap/transport";
import { RapService, Rpc, rpc, Server, type ServerOptions } from "../src";

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
    expect(() => server.register(rpc(wrong, (a: number) => a))).toThrow(meant('rpc() has no option "privat"'));
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
    [{ tls: true }, "tls of Server is an object, not a boolean"],
    [{ signals: "SIGTERM" }, "signals of Server is a list of names, or false"],
    [{ drainTimeout: -1 }, "drainTimeout of Server is 0 or more milliseconds, not -1"],
    [{ drainTimeout: Number.NaN }, "not NaN"],
    [{ logger: 5 }, "logger of Server has the methods debug, info, warn and error"],
    [{ logger: null }, "logger of Server has the methods"],
    [{ logger: { info() {}, warn() {}, error() {} } }, "logger of Server has the methods"],
  ])("new Server(%j)", (options, message) => {
    expect(() => new Server(options as ServerOptions)).toThrow(meant(message));
  });

  test("listen, shutdown, register, use", async () => {
    const server = new Server();
    await expect(server.listen({ host: 5 } as object)).rejects.toThrow(meant("host of listen() is a text"));
    expect(() => server.shutdown({ grace: 5 } as object)).toThrow(meant('did you mean "graceMs"?'));
    expect(() => server.register({ f: () => 1 }, { private: "yes" } as object)).toThrow(meant("private of register()"));
    expect(() => server.use(3 as never)).toThrow(expect.objectContaining({ code: "ERR_RAP_LOAD" }));
  });
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

test("a certificate or key that cannot be read is said to be so, by option and file, and the server can try again", async () => {
  const certificate = require.resolve("./server.test");
  const server = new Server({ sslCertPath: certificate, sslKeyPath: "/nowhere/rap.key" });
  await expect(server.listen({ port: 0 })).rejects.toMatchObject({
    code: "ENOENT",
    message: expect.stringMatching(/^sslKeyPath: \/nowhere\/rap\.key cannot be read: ENOENT/),
  });
  expect(server.state).toBe("idle");
  await server.listen({ transport: memory() });
  await server.shutdown();
});
