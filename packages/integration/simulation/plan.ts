import { type Limits, limits } from "@rap/protocol";
import { type Point, type Rarities, raritiesOf } from "./buggify";
import type { Chance } from "./chance";
import type { CallPlan, Kind, SessionPlan } from "./history";
import type { Processing } from "./wrapping";

/** What befalls a scenario: nothing, servers that are restarted one by one with all due care, or everything. */
export type Weather = "calm" | "rolling" | "storm";

/** Clients and servers of a scenario. */
export const CLIENTS = 5;
export const SERVERS = 3;

/** When the last call is made, and when the last fault is over; in virtual milliseconds. */
export const LAST_CALL = 8_000;
export const HEALED = 10_000;
/** Milliseconds after that in which all that was begun must have come to its end. */
export const SETTLING = 40_000;
/** Milliseconds in which everything is used once more; and after which nothing of any call may be left. */
export const PROBING = 5_000;
export const RESTING = 3_000;
/** The same in a storm, after which a server may still have to find out that the client of a session is gone. */
export const NOTICING = 15_000;
/** Milliseconds that clients and servers have to stop. */
export const STOPPING = 6_000;

/** The time of a call whose caller names none. */
export const DEFAULT_TIMEOUT = 6_000;

/** How often the windows of a stream may be filled. */
const WINDOWS = 30;

const KINDS: readonly Kind[] = ["unary", "unary", "stream", "collect", "transform", "channel"];

/** What is drawn for a scenario before it begins. */
export interface ScenarioPlan {
  readonly weather: Weather;
  readonly limits: Limits;
  readonly processing: Processing;
  readonly points: readonly Point[];
  readonly rarities: Rarities;
  readonly clients: readonly ClientPlan[];
}

/** What one client does. */
export interface ClientPlan {
  readonly calls: CallPlan[];
  readonly sessions: SessionPlan[];
}

export function planOf(chance: Chance): ScenarioPlan {
  const weather = chance.oneOf<Weather>(["calm", "rolling", "rolling", "storm", "storm", "storm", "storm", "storm"]);
  const { points, rarities } = raritiesOf(chance.fork());
  const table = limitsOf(chance.fork(), rarities);
  const clients = Array.from({ length: CLIENTS }, (_, client) =>
    planOfClient(`c${client + 1}`, chance.fork(), weather, table, rarities.stubborn),
  );
  const processing = chance.oneOf<Processing>(["none", "none", "prompt", "slow"]);
  return { weather, limits: table, processing, points, rarities, clients };
}

/** Narrow enough that a few calls come up against every one of them. */
function limitsOf(chance: Chance, rarities: Rarities): Limits {
  const keepalive = chance.oneOf([1_000, 4_000, 4_000]);
  const idle = chance.oneOf([240_000, 240_000, 3_000]);
  return limits({
    maxInFlight: chance.size(2, 16),
    maxStreams: chance.size(1, 8),
    maxChannels: chance.size(1, 4),
    maxSessions: chance.size(1, 4),
    streamWindowBytes: chance.size(256, 8_000),
    streamWindowMessages: chance.size(1, 32),
    connectionWindowBytes: chance.size(1_000, 32_000),
    fragmentBytes: chance.size(256, 4_000),
    writeQueueSoftBytes: chance.size(2_000, 100_000),
    keepaliveInterval: keepalive,
    keepaliveTimeout: keepalive,
    pingBurst: 100,
    pingsPerSecond: 10,
    writeStallTimeout: 5_000,
    frameTimeout: 6_000,
    handshakeTimeout: 2_000,
    connectTimeout: 2_500,
    clientIdleTimeout: idle,
    serverIdleTimeout: 2 * idle,
    reconnectInitialBackoff: 100,
    reconnectMaxBackoff: 3_000,
    reconnectResetAfter: 2_000,
    generatorReturnTimeout: 5_000,
    goawayPause: 1_000,
    abortGrace: 1_000,
    ...rarities.limits,
  });
}

function planOfClient(client: string, chance: Chance, weather: Weather, table: Limits, stubborn: number): ClientPlan {
  const draw = (id: string, when: number, kind?: Kind) => callOf(id, when, chance, weather, table, stubborn, kind);
  const plans: CallPlan[] = [];
  const sessions: SessionPlan[] = [];
  let at = 300;
  while (at < LAST_CALL) {
    const id = () => `${client}.${plans.length}`;
    if (chance.once(0.8)) plans.push(draw(id(), at));
    else if (chance.once(0.5)) sessions.push(sessionOf(`${client}.s${sessions.length}`, at, chance, draw));
    else {
      // Many of a kind at the same moment, which their caller may give up together to make the same again.
      const kind = chance.oneOf(KINDS);
      const together = chance.integer(3, 12);
      const again = chance.once(0.5) ? chance.size(10, 200) : undefined;
      for (let i = 0; i < together; i++) {
        const call = { ...draw(id(), at, kind), ...(again && { cancelAfter: again }) };
        plans.push(call);
        if (again) plans.push({ ...call, id: id(), at: at + again + 1, cancelAfter: undefined });
      }
    }
    at += chance.between(0, weather === "rolling" ? 3_000 : 5_000);
  }
  return { calls: plans, sessions };
}

/** Some calls, together or one after the other, for which a connection must stay though nothing may happen on it for long. */
function sessionOf(id: string, at: number, chance: Chance, draw: (id: string, at: number) => CallPlan): SessionPlan {
  const spread = chance.oneOf([0, 300, 2_000, 6_000]);
  const call = (_: unknown, n: number) => draw(`${id}.${n}`, chance.between(0, spread));
  return {
    id,
    at,
    calls: Array.from({ length: chance.integer(0, 5) }, call),
    implicit: chance.once(0.5),
    cancelAfter: chance.once(0.2) ? chance.size(1, 200) : undefined,
    closeAfter: chance.once(0.3) ? chance.size(1, 2_000) : undefined,
  };
}

function callOf(
  id: string,
  at: number,
  chance: Chance,
  weather: Weather,
  table: Limits,
  stubborn: number,
  kind = chance.oneOf(KINDS),
): CallPlan {
  const items = kind === "unary" ? 1 : chance.size(1, 32) - 1;
  const one = items <= 1;
  const bytes = chance.once(0.1) ? chance.size(1_000, 12_000) : chance.size(1, 300);
  // Each window takes a journey there and back: what needs too many of them would not be done in time.
  const most = Math.floor((WINDOWS * Math.min(table.streamWindowBytes, table.connectionWindowBytes / 8)) / items);
  const stays = chance.once(0.7);
  return {
    id,
    kind,
    at,
    items,
    work: chance.once(0.5) ? 0 : chance.size(1, one ? 1_500 : 60),
    pace: one || chance.once(0.6) ? 0 : chance.size(1, 60),
    bytes: kind === "unary" ? bytes : Math.min(bytes, most),
    timeout: chance.once(0.3) ? chance.size(20, 6_000) : undefined,
    cancelAfter: !stays && chance.once(0.5) ? chance.size(1, 2_000) : undefined,
    leaveAfter: !stays && items > 1 && chance.once(0.5) ? chance.integer(1, items - 1) : undefined,
    failAfter: chance.once(0.1) ? failure(kind, items, chance) : undefined,
    stubborn: chance.once(stubborn),
    waitForReady: weather !== "storm" || chance.once(0.8),
  };
}

/** After how many items it throws; below zero, something that is nobody's business: see `Functions`. */
function failure(kind: Kind, items: number, chance: Chance): number | undefined {
  if (kind === "unary") return chance.oneOf([0, -1]);
  if (items === 0) return undefined;
  const n = kind === "collect" ? chance.integer(1, items) : chance.integer(0, items - 1);
  return chance.oneOf([n, -1 - n]);
}
