import type { LimitChanges } from "@rap/protocol";
import type { Chance } from "./chance";

/** The name of a point at which what is rare is common. */
export type Point = keyof typeof POINTS;

/** What a scenario has of each point. */
export interface Rarities {
  /** Limits at which everything is met. */
  limits: LimitChanges;
  /** Milliseconds by which a timer may be late. */
  lateness: number;
  /** Bytes on their way at which a socket takes no more. */
  socketBytes: number | undefined;
  /** How many of the functions take no notice of being cancelled. */
  stubborn: number;
  /** A client's connection comes to its end by itself, and its sessions with it. */
  shortLived: boolean;
}

/**
 * As FoundationDB's BUGGIFY: what hardly ever happens, but may. It is made by options and by the network and clocks of
 * the simulation; nothing of rap knows of it.
 */
const POINTS = {
  "few places": (chance: Chance) => ({
    limits: { maxInFlight: chance.integer(1, 4), maxStreams: chance.integer(1, 2), maxChannels: 1, maxSessions: 1 },
  }),
  "smallest windows": (chance: Chance) => ({
    limits: {
      streamWindowBytes: chance.size(256, 600),
      streamWindowMessages: chance.integer(1, 2),
      connectionWindowBytes: chance.size(256, 1_000),
    },
  }),
  "smallest frames": () => ({ limits: { maxFrameBytes: 80 * 1024, fragmentBytes: 256 } }),
  "small messages": (chance: Chance) => ({ limits: { maxMessageBytes: chance.size(500, 4_000) } }),
  "a short queue": (chance: Chance) => ({ limits: { maxQueuedCalls: chance.integer(1, 4) } }),
  "memory pressure": (chance: Chance) => ({
    limits: { writeQueueSoftBytes: chance.size(100, 2_000), maxUnsentReplies: chance.integer(1, 4) },
  }),
  "short-lived connections": (chance: Chance) => ({ limits: { maxStreamId: chance.size(3, 60) }, shortLived: true }),
  "idle connections": (chance: Chance) => ({ limits: { clientIdleTimeout: chance.size(20, 500) } }),
  "late timers": (chance: Chance) => ({ lateness: chance.size(1, 100) }),
  "a socket that takes few bytes": (chance: Chance) => ({ socketBytes: chance.size(1, 200) }),
  "functions that do not listen": () => ({ stubborn: 0.9 }),
} as const satisfies Record<string, (chance: Chance) => Partial<Rarities>>;

/** How often a scenario has a point. */
const SHARE = 0.25;

/** Draws the points of a scenario, and what they make of it. */
export function raritiesOf(chance: Chance): { points: Point[]; rarities: Rarities } {
  const points: Point[] = [];
  const rarities: Rarities = { limits: {}, lateness: 0, socketBytes: undefined, stubborn: 0.2, shortLived: false };
  for (const point of Object.keys(POINTS) as Point[]) {
    const drawn: Partial<Rarities> = POINTS[point](chance.fork());
    if (!chance.once(SHARE)) continue;
    points.push(point);
    Object.assign(rarities, { ...drawn, limits: { ...rarities.limits, ...drawn.limits } });
  }
  return { points, rarities };
}
