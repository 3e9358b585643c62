import { describe, expect, test } from "@jest/globals";
import { type Channel, Metadata } from "@rap/protocol";
import { Client, safe, withCallOptions } from "../src";
import { inherit, mergeOptions } from "../src/options";

describe("options over options", () => {
  test("are the inner ones where both say something, and nobody's are changed", () => {
    const outer = Object.freeze({ timeout: 1, waitForReady: true });
    const inner = Object.freeze({ timeout: 2 });
    expect(mergeOptions(outer, inner)).toEqual({ timeout: 2, waitForReady: true });
    expect(mergeOptions({}, {})).toEqual({});
  });

  test("do not count where they are undefined", () => {
    expect(mergeOptions({ timeout: 1, session: null }, { timeout: undefined, session: undefined })).toEqual({
      timeout: 1,
      session: null,
    });
  });

  test("add up their metadata, key by key", () => {
    const { metadata } = mergeOptions(
      { metadata: { a: ["1", "2"], b: "1" } },
      { metadata: new Metadata({ A: "3", c: ["4", "5"] }) },
    );
    expect([...(metadata as Metadata)]).toEqual([
      ["b", "1"],
      ["a", "3"],
      ["c", "4"],
      ["c", "5"],
    ]);
    const only = { a: "1" };
    expect(mergeOptions({ metadata: only }, {}).metadata).toBe(only);
    expect(mergeOptions({}, { metadata: only }).metadata).toBe(only);
  });

  test("are refused when the timeout is no number", () => {
    const given: [unknown, string][] = [
      [NaN, "NaN"],
      ["5", "a string"],
      [null, "null"],
      [{}, "an object"],
    ];
    for (const [timeout, shown] of given) {
      expect(() => mergeOptions({}, { timeout: timeout as number })).toThrow(
        expect.objectContaining({
          name: "TypeError",
          code: "ERR_RAP_OPTION",
          message: `the option timeout of a call is a number of milliseconds, not ${shown}`,
        }),
      );
    }
    for (const timeout of [0, -1, 1.5, Infinity]) expect(mergeOptions({}, { timeout }).timeout).toBe(timeout);
  });

  test("of a function win over those of its surroundings", () => {
    expect(inherit({ timeout: 1 }, { timeout: 2, metadata: { a: "1" } })).toEqual({ timeout: 1, metadata: { a: "1" } });
    expect(inherit(undefined, { timeout: 2 })).toEqual({ timeout: 2 });
  });
});

test("a signal that is none is refused where it is given", () => {
  const refused = expect.objectContaining({ code: "ERR_RAP_OPTION" });
  expect(() => mergeOptions({}, { signal: 3 as unknown as AbortSignal })).toThrow(refused);
  expect(() => mergeOptions({}, { signal: new AbortController() as unknown as AbortSignal })).toThrow(refused);
});

describe("an option that does not exist", () => {
  const meant = (text: string) =>
    expect.objectContaining({ name: "TypeError", code: "ERR_RAP_OPTION", message: expect.stringContaining(text) });

  test("of a client, or of one of its options that are records", () => {
    expect(() => new Client({ taget: "tcp://127.0.0.1:1" } as object)).toThrow(meant('did you mean "target"?'));
    expect(() => new Client({ keepalive: { intervall: 1 } as object })).toThrow(meant('did you mean "interval"?'));
    expect(() => new Client({ reconnect: { maximum: 1 } as object })).toThrow(meant('did you mean "max"?'));
    expect(() => new Client().addConn("127.0.0.1", 1, { wieght: 1 } as object)).toThrow(meant('"weight"?'));
    expect(() => new Client(9000 as never)).toThrow(meant("the options of Client are a record, not 9000"));
  });

  test("of a call, wherever it is given, before anything is sent", async () => {
    const client = new Client();
    const wrong = { timeuot: 1 } as object;
    const sum = client.register<() => number>("sum");
    expect(() => client.register<() => number>("sum", wrong)).toThrow(meant('did you mean "timeout"?'));
    expect(() => sum.with(wrong)).toThrow(meant('a call has no option "timeuot": did you mean "timeout"?'));
    expect(() => client.invoke(sum, [], wrong)).toThrow(meant('did you mean "timeout"?'));
    expect(() => withCallOptions(wrong, () => 1)).toThrow(meant('did you mean "timeout"?'));
    expect(() => client.service<{ sum(): number }>("default", undefined, wrong).sum).toThrow(meant("timeout"));
    await expect(client.invokeByName("sum", [], wrong)).rejects.toThrow(meant('did you mean "timeout"?'));
    await expect(client.openSession(wrong)).rejects.toThrow(meant('did you mean "timeout"?'));
    const echo = client.registerChannel<(channel: Channel) => Promise<void>>("echo");
    expect(() => echo.open(wrong)).toThrow(meant('did you mean "timeout"?'));
    const misplaced = { gruop: "math" } as object;
    expect(() => client.register<() => number>("sum", misplaced)).toThrow(meant('did you mean "group"?'));
    expect(() => sum.with({ group: "math" } as object)).toThrow(meant('a call has no option "group": it has signal'));
  });
});

describe("an option of what is not built yet is refused, by its name:", () => {
  const planned = (name: string) =>
    expect.objectContaining({
      name: "TypeError",
      code: "ERR_RAP_OPTION",
      message: expect.stringMatching(new RegExp(`cannot have the option "${name}" yet: it is not built`)),
    });

  test.each([
    ["balancer", "round_robin"],
    ["pool", { max: 2 }],
    ["retry", { maxAttempts: 3 }],
    ["retryBudget", {}],
  ])("%s of a client", (name, value) => {
    expect(() => new Client({ [name]: value })).toThrow(planned(name));
  });

  test.each([
    ["retry", { maxAttempts: 3 }],
    ["hedge", { maxAttempts: 2, delay: 5 }],
    ["idempotencyKey", "k"],
    ["affinity", "a"],
  ])("%s of a call", async (name, value) => {
    const client = new Client();
    const options = { [name]: value };
    const sum = client.register<() => number>("sum");
    expect(() => sum.with(options)).toThrow(planned(name));
    expect(() => client.register<() => number>("sum", options)).toThrow(planned(name));
    expect(() => withCallOptions(options, () => 1)).toThrow(planned(name));
    await expect(client.invokeByName("sum", [], options)).rejects.toThrow(planned(name));
  });

  test("weight of an address", () => {
    expect(() => new Client().addConn("127.0.0.1", 1, { weight: 1 })).not.toThrow();
    expect(() => new Client().addConn("127.0.0.1", 1, { weight: 2 })).toThrow(
      expect.objectContaining({
        code: "ERR_RAP_OPTION",
        message: expect.stringContaining("weight of addConn() is 1, as"),
      }),
    );
  });

  test("but to do without is what is so", () => {
    expect(() => new Client({ retry: false })).not.toThrow();
    expect(() => mergeOptions({}, { retry: false })).not.toThrow();
  });
});

describe("a value that cannot be meant is refused where it is given:", () => {
  const mistake = (code: string, message: RegExp) =>
    expect.objectContaining({ name: "TypeError", code, message: expect.stringMatching(message) });

  test.each([
    [{ health: 5 }, /health of Client is a boolean, or the name of a service/],
    [{ tls: true }, /tls of Client is an object, not true/],
    [{ sslCertPath: 5 }, /sslCertPath of Client is a text that is not empty, not 5/],
    [{ limits: 5 }, /limits of Client is an object, not 5/],
  ])("%p of a client", (options, message) => {
    expect(() => new Client(options as object)).toThrow(mistake("ERR_RAP_OPTION", message));
  });

  test("options of a call that are none", async () => {
    const client = new Client();
    const none = mistake("ERR_RAP_OPTION", /options of a call are a record/);
    await expect(client.invokeByName("sum", [], null as never)).rejects.toThrow(none);
    expect(() => client.register<() => number>("sum").with(null as never)).toThrow(none);
    expect(() => withCallOptions(undefined as never, () => 1)).toThrow(none);
    expect(() => mergeOptions({}, { onHeaders: 5 } as never)).toThrow(mistake("ERR_RAP_OPTION", /onHeaders/));
    expect(() => mergeOptions({}, { waitForReady: "no" } as never)).toThrow(mistake("ERR_RAP_OPTION", /waitForReady/));
    for (const session of [5, {}, "id"]) {
      const wrong = mistake("ERR_RAP_OPTION", /session of a call is a session, or null, not/);
      expect(() => mergeOptions({}, { session } as never)).toThrow(wrong);
    }
    for (const metadata of [null, "a", [["a", "1"]], new Map([["a", "1"]])]) {
      const wrong = mistake("ERR_RAP_OPTION", /metadata of a call is a record of texts, or a Metadata, not/);
      expect(() => mergeOptions({}, { metadata } as never)).toThrow(wrong);
    }
    await expect(client.invokeByName("sum", [], { group: 5 } as never)).rejects.toThrow(
      mistake("ERR_RAP_REGISTER", /a group is a text, not 5/),
    );
  });

  test("a function that is none, and an event that no client has", async () => {
    const client = new Client();
    const none = mistake("ERR_RAP_CALL", /takes a function/);
    expect(() => client.invoke("sum" as never, [])).toThrow(none);
    await expect(client.withSession(undefined as never)).rejects.toThrow(none);
    expect(() => withCallOptions({}, undefined as never)).toThrow(none);
    await expect(safe((() => 1) as never)).rejects.toThrow(mistake("ERR_RAP_CALL", /safe\(fn\(…\)\), not a function/));
    expect(() => client.on("conect" as never, () => {})).toThrow(
      mistake("ERR_RAP_LOAD", /no event "conect": it has connect, disconnect, reconnect, goaway, resolve$/),
    );
    expect(() => client.on("resolve", () => {})).not.toThrow();
    expect(() => client.on("connect", undefined as never)).toThrow(mistake("ERR_RAP_LOAD", /a listener is a function/));
    expect(() => client.stop({ grace: 5 } as never)).toThrow(mistake("ERR_RAP_OPTION", /did you mean "graceMs"/));
    expect(() => client.stop({ graceMs: NaN })).toThrow(mistake("ERR_RAP_OPTION", /graceMs of stop\(\) is a number/));
  });

  test("a group, and what its functions are", () => {
    const client = new Client();
    const service = (...args: unknown[]) => (client.service as (...args: unknown[]) => unknown).apply(client, args);
    for (const group of [undefined, null, 5, {}]) {
      expect(() => service(group)).toThrow(mistake("ERR_RAP_REGISTER", /a group is a text, not/));
    }
    expect(() => service("")).toThrow(mistake("ERR_RAP_REGISTER", /a text that is not empty/));
    expect(() => service("a/b")).toThrow(mistake("ERR_RAP_REGISTER", /has a slash/));
    for (const kinds of [null, "stream", ["statement"], 5]) {
      expect(() => service("bank", kinds)).toThrow(
        mistake("ERR_RAP_REGISTER", /second argument of service\(\) is a rec/),
      );
    }
    expect(() => service("bank", { statement: "gen" })).toThrow(mistake("ERR_RAP_REGISTER", /bank\/statement is/));
    expect(() => service("bank", {}, { timeout: "5" })).toThrow(mistake("ERR_RAP_OPTION", /timeout of a call/));
    expect(() => service("bank", {}, null)).toThrow(
      mistake("ERR_RAP_OPTION", /options of a call are a record, not null/),
    );
  });

  test("a name", () => {
    const client = new Client();
    const text = mistake("ERR_RAP_REGISTER", /the name of a remote function is a text, not/);
    for (const name of [undefined, null, 5]) expect(() => client.registerGen(name as never)).toThrow(text);
    // A name beside a name would have no effect.
    expect(() => client.register("sum" as never, { name: "add" } as never)).toThrow(
      mistake("ERR_RAP_OPTION", /a remote function has no option "name"/),
    );
    expect(() => client.register(() => 1, { name: null as never })).toThrow(
      mistake("ERR_RAP_OPTION", /name of register\(\) is a text/),
    );
  });
});

test("a certificate that cannot be read is said to be so, by option and file", () => {
  expect(() => new Client({ sslCertPath: "/nowhere/rap.crt" })).toThrow(
    expect.objectContaining({
      code: "ENOENT",
      message: expect.stringMatching(/^sslCertPath: \/nowhere\/rap\.crt cannot be read: ENOENT/),
    }),
  );
});
