import { describe, expect, test } from "@jest/globals";
import { checkOptions, type OptionNames } from "../src";

interface Options {
  host?: string;
  port?: number;
  sslCertPath?: string;
  drainTimeout?: number;
}

const NAMES: OptionNames<Options> = { host: true, port: true, sslCertPath: true, drainTimeout: true };

function mistake(options: unknown): string {
  try {
    checkOptions("Server", options as Options, NAMES);
  } catch (error) {
    expect(error).toMatchObject({ name: "TypeError", code: "ERR_RAP_OPTION" });
    return (error as Error).message;
  }
  throw new Error("there was no mistake");
}

test("options that exist pass, undefined or not", () => {
  expect(() => checkOptions("Server", { host: "::", port: 1 }, NAMES)).not.toThrow();
  expect(() => checkOptions("Server", Object.assign(Object.create(null), { port: undefined }), NAMES)).not.toThrow();
});

test.each([
  ["prot", "port"],
  ["Port", "port"],
  ["hots", "host"],
  ["hostname", "host"],
  ["ssl_cert_path", "sslCertPath"],
  ["ssl_crt_path", "sslCertPath"],
  ["sslCert", "sslCertPath"],
  ["drain", "drainTimeout"],
  ["drainTimeOut", "drainTimeout"],
])("%s is said to be meant for %s", (wrong, right) => {
  expect(mistake({ [wrong]: 1 })).toBe(`Server has no option "${wrong}": did you mean "${right}"?`);
});

test("a name that resembles none is answered by the list of names", () => {
  expect(mistake({ verbose: 1 })).toBe('Server has no option "verbose": it has host, port, sslCertPath, drainTimeout');
  expect(mistake({ "": 1 })).toMatch(/it has host/);
});

test("names of Object.prototype are no options", () => {
  for (const name of ["constructor", "toString", "hasOwnProperty", "__proto__"]) {
    expect(mistake(JSON.parse(`{${JSON.stringify(name)}:1}`))).toContain(`no option "${name}"`);
  }
});

test("a name of a megabyte is cut", () => {
  expect(mistake({ ["x".repeat(1_000_000)]: 1 }).length).toBeLessThan(200);
});

describe("what is no record of options is refused:", () => {
  test.each([[null], [9000], ["127.0.0.1"], [[]], [() => 1]])("%p", (options) => {
    expect(mistake(options)).toMatch(/^the options of Server are a record, not/);
  });
});

describe("a value of another type than the option has", () => {
  const names = { secure: "boolean", port: "number", path: "string", tls: "object", log: "function" } as const;
  test.each([
    [{ secure: "false" }, "secure of Server is a boolean, not a string"],
    [{ secure: null }, "secure of Server is a boolean, not null"],
    [{ port: "9000" }, "port of Server is a number, not a string"],
    [{ path: 5 }, "path of Server is a text, not 5"],
    [{ tls: null }, "tls of Server is an object, not null"],
    [{ tls: [] }, "tls of Server is an object, not a list"],
    [{ tls: true }, "tls of Server is an object, not true"],
    [{ log: {} }, "log of Server is a function, not an object"],
  ])("%p is refused", (options, message) => {
    expect(() => checkOptions("Server", options, names as never)).toThrow(
      expect.objectContaining({ code: "ERR_RAP_OPTION", message: `the option ${message}` }),
    );
  });

  test("undefined is the same as no option", () => {
    expect(() => checkOptions("Server", { secure: undefined, port: 1, tls: {} }, names as never)).not.toThrow();
  });
});

test("an option of what is not built yet is refused, by its name, and no other is said to be there", () => {
  const names: OptionNames<{ port?: number; retry?: unknown }> = { port: true, retry: "planned" };
  const check = (options: object) => () => checkOptions("Client", options, names);
  expect(check({ retry: { maxAttempts: 3 } })).toThrow(
    expect.objectContaining({
      code: "ERR_RAP_OPTION",
      message: 'Client cannot have the option "retry" yet: it is not built',
    }),
  );
  expect(check({ retry: false })).not.toThrow();
  expect(check({ retry: undefined })).not.toThrow();
  expect(check({ verbose: 1 })).toThrow(/it has port$/);
  expect(check({ rety: 1 })).toThrow(/did you mean "retry"/);
});
