import { describe, expect, test } from "@jest/globals";
import { LIMITS, limits } from "../src/limits";

const KiB = 1024;
const MiB = 1024 * KiB;

describe("the defaults", () => {
  test("are those of the threat model, where it names one", () => {
    expect(LIMITS).toMatchObject({
      maxFrameBytes: 4 * MiB,
      maxHandshakeBytes: 16 * KiB,
      handshakeTimeout: 5_000,
      frameTimeout: 30_000,
      serverIdleTimeout: 5 * 60_000,
      maxConnectionAge: Number.POSITIVE_INFINITY,
      clientIdleTimeout: 4 * 60_000,
      keepaliveInterval: 30_000,
      keepaliveTimeout: 10_000,
      pingBurst: 10,
      pingsPerSecond: 1 / 5,
      pingStrikes: 3,
      maxUnsentReplies: 100,
      glitchBurst: 200,
      glitchesPerSecond: 20,
      maxInFlight: 256,
      refusedBurst: 1_000,
      refusedPerSecond: 100,
      maxStreams: 128,
      maxChannels: 64,
      maxSessions: 16,
      maxServerInFlight: 10_000,
      maxInFlightPerIp: 5_000,
      cancelBurst: 1_000,
      cancelsPerSecond: 33,
      maxStreamId: 2 ** 30,
      streamWindowBytes: 256 * KiB,
      streamWindowMessages: 256,
      connectionWindowBytes: 4 * MiB,
      writeQueueSoftBytes: 1 * MiB,
      writeQueueHardBytes: 16 * MiB,
      writeStallTimeout: 10_000,
      processWriteQueueBytes: 256 * MiB,
      processReceiveBytes: 256 * MiB,
      maxConnections: 10_000,
      maxConnectionsPerIp: 256,
      maxHandshakesPerIp: 32,
      maxHandshakes: 512,
      acceptBurst: 100,
      acceptsPerSecond: 20,
      metadataEntries: 64,
      metadataKeyBytes: 128,
      metadataValueBytes: 4 * KiB,
      metadataBytes: 8 * KiB,
      maxNameBytes: 256,
      maxDepth: 64,
      maxDecodeBytes: 32 * MiB,
      maxMapEntries: 65_536,
      timeout: 30_000,
      maxTimeout: 10 * 60_000,
      reconnectInitialBackoff: 200,
      reconnectMultiplier: 1.6,
      reconnectMaxBackoff: 30_000,
      reconnectJitter: 0.2,
      reconnectResetAfter: 10_000,
      connectTimeout: 5_000,
      goawayPause: 1_000,
      shutdownGrace: 30_000,
      abortGrace: 2_000,
      generatorReturnTimeout: 5_000,
      logLinesPerSecond: 10,
      logStringLength: 256,
    });
  });

  test("are finite and positive, every one but the age of connections, which is off", () => {
    const { maxConnectionAge, ...others } = LIMITS;
    expect(maxConnectionAge).toBe(Number.POSITIVE_INFINITY);
    for (const [name, value] of Object.entries(others)) {
      expect([name, Number.isFinite(value) && value > 0]).toEqual([name, true]);
    }
  });

  test("make the client close an idle connection before the server does", () => {
    expect(LIMITS.clientIdleTimeout).toBeLessThan(LIMITS.serverIdleTimeout);
  });

  test("find a dead peer in 40 seconds", () => {
    expect(LIMITS.keepaliveInterval + LIMITS.keepaliveTimeout).toBeLessThanOrEqual(40_000);
  });
});

describe("limits()", () => {
  test("gives the defaults, with what was changed, and frozen", () => {
    expect(limits()).toEqual(LIMITS);
    expect(limits({ maxInFlight: 5, timeout: undefined as never })).toEqual({ ...LIMITS, maxInFlight: 5 });
    expect(Object.isFrozen(limits())).toBe(true);
    expect(Object.isFrozen(LIMITS)).toBe(true);
  });

  test("lets what may be sent also be decoded, unless it is told otherwise", () => {
    expect(limits({ maxMessageBytes: 64 * MiB }).maxDecodeBytes).toBe(512 * MiB);
    expect(limits({ maxMessageBytes: 1 }).maxDecodeBytes).toBe(LIMITS.maxDecodeBytes);
    expect(limits({ maxMessageBytes: 64 * MiB, maxDecodeBytes: 1_000 }).maxDecodeBytes).toBe(1_000);
  });

  test("gives one address half of a server's calls, unless it is told otherwise", () => {
    expect(limits({ maxServerInFlight: 2_001 }).maxInFlightPerIp).toBe(1_001);
    expect(limits({ maxServerInFlight: 2_001, maxInFlightPerIp: 2_001 }).maxInFlightPerIp).toBe(2_001);
    expect(limits().maxInFlightPerIp).toBe(LIMITS.maxInFlightPerIp);
  });

  const refused = (message: string) => expect.objectContaining({ name: "RangeError", code: "ERR_RAP_LIMIT", message });

  test.each([
    ["nope", ""],
    ["constructor", ""],
    ["__proto__x", ""],
    ["maxframebytes", ': did you mean "maxFrameBytes"?'],
  ])("knows no limit called %s", (name, hint) => {
    expect(() => limits({ [name]: 5 })).toThrow(refused(`there is no limit called "${name}"${hint}`));
  });

  test.each<[unknown]>([[0], [-1], [NaN], ["5"], [null], [5n], [{}]])("takes no %p", (value) => {
    expect(() => limits({ maxInFlight: value as number })).toThrow(
      refused(`limit maxInFlight must be a positive number, not ${String(value)}`),
    );
  });

  test.each([
    ["streamWindowBytes", 256, 2 ** 31 - 1],
    ["connectionWindowBytes", 256, 2 ** 31 - 1],
    ["fragmentBytes", 256, 64 * KiB],
    ["maxFrameBytes", 80 * KiB, 2 ** 32 - 1],
  ] as const)("takes only a %s with which messages get through", (name, least, most) => {
    expect([limits({ [name]: least })[name], limits({ [name]: most })[name]]).toEqual([least, most]);
    for (const value of [least - 1, most + 1]) {
      expect(() => limits({ [name]: value })).toThrow(
        refused(`limit ${name} must be from ${least} to ${most}, not ${value}`),
      );
    }
  });
});

describe("a limit that the code reads elsewhere", () => {
  test.each([
    "metadataEntries",
    "metadataKeyBytes",
    "metadataValueBytes",
    "metadataBytes",
    "maxNameBytes",
    "logStringLength",
  ] as const)("cannot be changed: %s", (name) => {
    for (const value of [LIMITS[name] - 1, LIMITS[name] + 1, Number.POSITIVE_INFINITY]) {
      expect(() => limits({ [name]: value })).toThrow(
        expect.objectContaining({
          name: "RangeError",
          code: "ERR_RAP_LIMIT",
          message: `limit ${name} cannot be changed: it must be ${LIMITS[name]}, not ${value}`,
        }),
      );
    }
    expect(limits({ [name]: LIMITS[name] })).toEqual(LIMITS);
    expect(limits({ [name]: undefined as never })).toEqual(LIMITS);
  });

  test("may stand in a table that is passed on as a whole", () => {
    expect(limits(LIMITS)).toEqual(LIMITS);
    const table = limits({ maxInFlight: 5, maxMessageBytes: 64 * MiB });
    expect(limits(table)).toEqual(table);
  });
});

test("a limit that does not exist is answered by the one that was probably meant", () => {
  expect(() => limits({ maxConections: 1 } as object)).toThrow(
    expect.objectContaining({
      code: "ERR_RAP_LIMIT",
      message: expect.stringContaining('did you mean "maxConnections"?'),
    }),
  );
  expect(() => limits({ bogus: 1 } as object)).toThrow('there is no limit called "bogus"');
});

test("two limits have another name", () => {
  expect(limits({ maxConcurrentCalls: 7, maxConcurrentStreams: 3 })).toMatchObject({ maxInFlight: 7, maxStreams: 3 });
  expect(Object.keys(limits({ maxConcurrentCalls: 7 }))).toEqual(Object.keys(limits()));
});
