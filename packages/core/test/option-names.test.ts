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
