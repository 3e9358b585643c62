import { describe, expect, test } from "@jest/globals";
import { type Channel, Metadata } from "@rap/protocol";
import { Client, withCallOptions } from "../src";
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
    for (const timeout of [NaN, "5", null, {}]) {
      expect(() => mergeOptions({}, { timeout: timeout as number })).toThrow(
        expect.objectContaining({
          name: "TypeError",
          code: "ERR_RAP_OPTION",
          message: `timeout must be a number of milliseconds, not ${String(timeout)}`,
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
    expect(() => new Client().addConn("127.0.0.1", 1, { wieght: 1 } as object)).toThrow(
      meant('did you mean "weight"?'),
    );
    expect(() => new Client(9000 as never)).toThrow(meant("the options of Client are a record, not a number"));
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

  test("options whose names are kept for later are taken", () => {
    expect(() => new Client({ balancer: "round_robin", pool: { max: 2 }, retry: false } as object)).not.toThrow();
    expect(() =>
      mergeOptions({}, { retry: false, hedge: {}, idempotencyKey: "k", affinity: "a" } as object),
    ).not.toThrow();
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
