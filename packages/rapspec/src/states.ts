import { channel, credit, data, end, headers, reset } from "./frames";
import type { Outcome } from "./outcome";

// Frames in every state of a stream.

export const FRAMES = {
  DATA: (id: number) => data(id, 1),
  "DATA with END": (id: number) => data(id, 1, { end: true }),
  END: end,
  RESET: reset,
  CREDIT: (id: number) => credit(id, 100, 1),
  HEADERS: headers,
  OPEN: (id: number) => channel(id, "talk"),
} as const;

/** What each frame gives in a state. */
export type Row = Readonly<Record<keyof typeof FRAMES, Outcome>>;
export type States<Scene> = Readonly<Record<string, { set(scene: Scene): Promise<number>; gives: Row }>>;

export const BAD = "GOAWAY PROTOCOL_ERROR";

export const never: Row = {
  DATA: BAD,
  "DATA with END": BAD,
  END: BAD,
  RESET: BAD,
  CREDIT: BAD,
  HEADERS: BAD,
  OPEN: BAD,
};

export const fine: Row = {
  DATA: "nothing",
  "DATA with END": "nothing",
  END: "nothing",
  RESET: "nothing",
  CREDIT: "nothing",
  HEADERS: "nothing",
  OPEN: BAD,
};

/** All but the last byte of a text: one DATA of a small number makes it whole. */
export const HALF: Uint8Array = Uint8Array.of(0xda, 0x01, 0x2a, ...new Uint8Array(297).fill(0x61));

/** Of who has ended its direction. */
export const spoken: Partial<Row> = { DATA: "glitch", "DATA with END": "glitch", END: "glitch" };

/** A peer of that budget is closed by the second glitch, not by the first. */
export const ONE_GLITCH = { glitchBurst: 1, glitchesPerSecond: 0.001 };

/** All pairs of a state and a frame as rows of a table. */
export function inEveryState<Scene, Made>(
  states: States<Scene>,
  make: (name: string, play: (scene: Scene) => Promise<FrameToSend>, gives: Outcome) => Made,
): Made[] {
  return Object.entries(states).flatMap(([state, { set, gives }]) =>
    Object.entries(gives).map(([name, outcome]) =>
      make(
        `${name} on a stream ${state}`,
        async (scene) => {
          const id = await set(scene);
          const frame = FRAMES[name as keyof typeof FRAMES](id);
          return outcome === "glitch" ? [frame, frame] : [frame];
        },
        outcome === "glitch" ? "GOAWAY TOO_MANY_GLITCHES" : outcome,
      ),
    ),
  );
}

export type FrameToSend = readonly ReturnType<(typeof FRAMES)[keyof typeof FRAMES]>[];
