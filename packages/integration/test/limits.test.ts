import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { CALL_LIMITS, CONNECTION_LIMITS, LIMITS, type Limits, limits } from "@rap/protocol";
import { Server } from "@rap/server";

/** Where a test holds a limit below, at and beyond its number, or measures the time that it gives. */
const TESTED: Record<keyof Limits, readonly [file: string, title: string]> = {
  maxFrameBytes: ["integration/test/limits-connections.test.ts", "maxFrameBytes"],
  maxHandshakeBytes: ["integration/test/limits-connections.test.ts", "maxHandshakeBytes"],
  maxMessageBytes: ["integration/test/limits-calls.test.ts", '"maxMessageBytes", "client"'],
  fragmentBytes: ["integration/test/limits-calls.test.ts", "fragmentBytes: a message of so many bytes"],
  handshakeTimeout: ["integration/test/limits-times.test.ts", 'test("handshakeTimeout"'],
  frameGrace: ["integration/test/limits-times.test.ts", '["frameGrace", "frameBytesPerSecond"'],
  frameBytesPerSecond: ["integration/test/limits-times.test.ts", 'test("frameBytesPerSecond"'],
  frameTimeout: ["integration/test/limits-times.test.ts", '["frameTimeout", "frameTimeout"'],
  maxConnectionAge: ["integration/test/limits-times.test.ts", "maxConnectionAge is how long"],
  serverIdleTimeout: ["integration/test/limits-times.test.ts", '["serverIdleTimeout", "serverIdleTimeout"'],
  clientIdleTimeout: ["integration/test/limits-times.test.ts", 'test("clientIdleTimeout"'],
  keepaliveInterval: ["integration/test/limits-times.test.ts", "keepaliveInterval: a peer"],
  keepaliveTimeout: ["integration/test/limits-times.test.ts", '["keepaliveTimeout", "keepaliveTimeout"'],
  pingBurst: ["integration/test/limits-connections.test.ts", '["pingBurst",'],
  pingsPerSecond: ["integration/test/limits-connections.test.ts", '"pingsPerSecond",'],
  pingStrikes: ["integration/test/limits-connections.test.ts", '["pingStrikes",'],
  maxUnsentReplies: ["integration/test/limits-connections.test.ts", 'test("maxUnsentReplies"'],
  glitchBurst: ["integration/test/limits-connections.test.ts", '["glitchBurst",'],
  glitchesPerSecond: ["integration/test/limits-connections.test.ts", '["glitchesPerSecond",'],
  maxInFlight: ["integration/test/limits-calls.test.ts", '["maxInFlight", "hang"]'],
  maxStreams: ["integration/test/limits-calls.test.ts", '["maxStreams", "drip"]'],
  maxChannels: ["integration/test/limits-calls.test.ts", '["maxChannels", "talk"]'],
  maxSessions: ["integration/test/limits-calls.test.ts", 'test("maxSessions"'],
  maxInFlightPerIp: ["integration/test/limits-calls.test.ts", 'test("maxInFlightPerIp'],
  maxServerInFlight: ["integration/test/limits-calls.test.ts", '["maxServerInFlight", "hang"]'],
  maxQueuedCalls: ["integration/test/limits-calls.test.ts", 'test("maxQueuedCalls'],
  refusedBurst: ["integration/test/limits-connections.test.ts", '"refusedBurst",'],
  refusedPerSecond: ["integration/test/limits-connections.test.ts", '"refusedPerSecond",'],
  cancelBurst: ["integration/test/limits-connections.test.ts", '"cancelBurst",'],
  cancelsPerSecond: ["integration/test/limits-connections.test.ts", '"cancelsPerSecond",'],
  maxStreamId: ["integration/test/limits-times.test.ts", "maxStreamId: the last call"],
  streamWindowBytes: ["integration/test/limits-connections.test.ts", '"streamWindowBytes",'],
  streamWindowMessages: ["integration/test/limits-connections.test.ts", '"streamWindowMessages",'],
  connectionWindowBytes: ["integration/test/limits-connections.test.ts", '"connectionWindowBytes",'],
  writeQueueSoftBytes: ["integration/test/limits-connections.test.ts", 'test("writeQueueSoftBytes"'],
  writeQueueHardBytes: ["integration/test/limits-connections.test.ts", '["writeQueueHardBytes",'],
  writeStallTimeout: ["integration/test/limits-times.test.ts", '["writeStallTimeout", "writeStallTimeout"'],
  processWriteQueueBytes: ["integration/test/limits-connections.test.ts", '["processWriteQueueBytes",'],
  processReceiveBytes: ["integration/test/limits-connections.test.ts", '"processReceiveBytes",'],
  maxConnections: ["integration/test/limits-connections.test.ts", 'test.each(["maxConnections"'],
  maxConnectionsPerIp: ["integration/test/limits-connections.test.ts", '"maxConnectionsPerIp", "maxHandshakes"'],
  maxHandshakesPerIp: ["integration/test/limits-connections.test.ts", '"maxHandshakesPerIp", "acceptBurst"'],
  maxHandshakes: ["integration/test/limits-connections.test.ts", '"maxHandshakes", "maxHandshakesPerIp"'],
  acceptBurst: ["integration/test/limits-connections.test.ts", '"acceptBurst"]'],
  acceptsPerSecond: ["integration/test/limits-connections.test.ts", 'test("acceptsPerSecond"'],
  metadataEntries: ["integration/test/limit-scene.ts", "metadataEntries: (more)"],
  metadataKeyBytes: ["integration/test/limit-scene.ts", "metadataKeyBytes: (more)"],
  metadataValueBytes: ["integration/test/limit-scene.ts", "metadataValueBytes: (more)"],
  metadataBytes: ["integration/test/limit-scene.ts", "metadataBytes: (more)"],
  maxNameBytes: ["integration/test/limits-calls.test.ts", 'describe("maxNameBytes"'],
  maxDepth: ["integration/test/limits-calls.test.ts", '"maxDepth", "client"'],
  maxDecodeBytes: ["integration/test/limits-calls.test.ts", "maxDecodeBytes, counted by"],
  maxMapEntries: ["integration/test/limits-calls.test.ts", '"maxMapEntries", "client"'],
  timeout: ["integration/test/limits-times.test.ts", 'test("timeout"'],
  maxTimeout: ["integration/test/limits-times.test.ts", 'test("maxTimeout"'],
  generatorReturnTimeout: ["integration/test/limits-times.test.ts", 'test("generatorReturnTimeout"'],
  connectTimeout: ["integration/test/limits-times.test.ts", "connectTimeout is what a dial has"],
  reconnectInitialBackoff: ["integration/test/limits-times.test.ts", "reconnectInitialBackoff and reconnectResetAfter"],
  reconnectMaxBackoff: ["client/test/backoff.test.ts", "then grows by 1.6 each time, up to 30 s"],
  reconnectMultiplier: ["client/test/backoff.test.ts", "then grows by 1.6 each time, up to 30 s"],
  reconnectJitter: ["client/test/backoff.test.ts", "is spread by a fifth either way"],
  reconnectResetAfter: ["integration/test/limits-times.test.ts", "reconnectInitialBackoff and reconnectResetAfter"],
  goawayPause: ["integration/test/limits-times.test.ts", "goawayPause is the time"],
  shutdownGrace: ["integration/test/limits-times.test.ts", "shutdownGrace is what it gives"],
  abortGrace: ["integration/test/limits-times.test.ts", "abortGrace what they have after it"],
  logLinesPerSecond: ["integration/test/limits-times.test.ts", "logLinesPerSecond: so many"],
  logStringLength: ["core/test/logger.test.ts", "cuts strings at 256 characters, and none that are no longer"],
};

/** Limits of one budget, which is counted by its rate. */
const OF_A_BUDGET: Partial<Record<keyof Limits, keyof Limits>> = {
  frameGrace: "frameBytesPerSecond",
  pingBurst: "pingsPerSecond",
  pingStrikes: "pingsPerSecond",
  glitchBurst: "glitchesPerSecond",
  refusedBurst: "refusedPerSecond",
  cancelBurst: "cancelsPerSecond",
  acceptBurst: "acceptsPerSecond",
};

/** Over these nothing fails: they say when and how something is done, and `docs/limits.md` why they have no counter. */
const NOT_COUNTED: readonly (keyof Limits)[] = [
  "fragmentBytes",
  "keepaliveInterval",
  "maxStreamId",
  "reconnectInitialBackoff",
  "reconnectMaxBackoff",
  "reconnectMultiplier",
  "reconnectJitter",
  "reconnectResetAfter",
  "goawayPause",
  "shutdownGrace",
  "abortGrace",
  "logLinesPerSecond",
  "logStringLength",
];

test.each(Object.keys(LIMITS) as (keyof Limits)[])("the limit %s is tested where the table says", (limit) => {
  const [file, title] = TESTED[limit];
  expect(readFileSync(join(__dirname, "../..", file), "utf8")).toContain(title);
});

test("the limits that code reads in LIMITS, and in no table, are those that cannot be changed", () => {
  const packages = join(__dirname, "../..");
  const files = readdirSync(packages).flatMap((name) => {
    const source = join(packages, name, "src");
    return existsSync(source) ? readdirSync(source, { recursive: true }).map((file) => join(source, String(file))) : [];
  });
  const code = files.filter((file) => file.endsWith(".ts") && !file.endsWith("protocol/src/limits.ts"));
  const read = code.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/\bLIMITS\.(\w+)/g)].map(([, name]) => name),
  );
  // By these two it is found whether a table has others.
  const constants = new Set(read.filter((name) => name !== "acceptBurst" && name !== "acceptsPerSecond"));
  const fixed = Object.entries(LIMITS).filter(([name, value]) => {
    try {
      limits({ [name]: value - 0.01 });
      return false;
    } catch (error) {
      return (error as Error).message.includes("cannot be changed");
    }
  });
  expect(fixed.map(([name]) => name).sort()).toEqual([...constants].sort());
});

describe("docs/limits.md", () => {
  const page = readFileSync(join(__dirname, "../../../docs/limits.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| ([\d .]+|∞) \| .+ \| (.*) ?\|$/gm)].map(
    ([, name, number, counter]) => ({
      name: name!,
      number: number === "∞" ? Number.POSITIVE_INFINITY : Number(number!.replaceAll(" ", "")),
      counter: counter!.trim(),
    }),
  );

  test("has every limit, with its default", () => {
    expect(Object.fromEntries(rows.map(({ name, number }) => [name, number]))).toEqual(LIMITS);
  });

  test("names for each the counter that there is in stats(), or why there is none", () => {
    const { rejected, refused, paused } = new Server().stats();
    const ended = Object.fromEntries(CONNECTION_LIMITS.map((limit) => [limit, 0]));
    for (const { name, counter } of rows.filter((row) => row.counter !== "")) {
      const [, kind, key] = /^`(\w+)\.(\w+)`$/.exec(counter)!;
      expect([name, { rejected, refused, paused, ended }[kind!]]).toEqual([
        name,
        expect.objectContaining({ [key!]: expect.any(Number) }),
      ]);
      expect(key).toBe(OF_A_BUDGET[name as keyof Limits] ?? name);
    }
    expect(rows.filter(({ counter }) => counter === "").map(({ name }) => name)).toEqual(NOT_COUNTED);
    for (const limit of CONNECTION_LIMITS.filter((each) => each !== "maxInFlight")) {
      expect(rows).toContainEqual(expect.objectContaining({ name: limit, counter: `\`ended.${limit}\`` }));
    }
    for (const limit of CALL_LIMITS) {
      expect(rows).toContainEqual(expect.objectContaining({ name: limit, counter: `\`refused.${limit}\`` }));
    }
  });
});
