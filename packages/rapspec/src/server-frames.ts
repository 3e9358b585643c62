import { Flag, Kind } from "@rap/protocol";
import { channel, encoded, raw } from "./frames";
import { type ServerCase, serverCases } from "./server-scene";
import { BAD } from "./states";

// Every kind of frame with a wrong length, on a wrong stream, with flags that mean nothing.

const bytes = (count: number): Uint8Array => new Uint8Array(count);
/** A grant that is none of nothing. */
export const GRANT: Uint8Array = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1);

const LENGTHS: readonly (readonly [name: keyof typeof Kind, stream: number, lengths: readonly number[]])[] = [
  ["PING", 0, [0, 1, 7, 9, 16]],
  ["PONG", 0, [0, 1, 7, 9, 16]],
  ["GOAWAY", 0, [0, 1, 4]],
  ["EXCHANGE", 0, [0, 8]],
  ["SEALED", 0, [0, 8]],
  ["OPEN", 3, [0, 1]],
  ["END", 1, [1, 8]],
  ["RESET", 1, [0, 1]],
  ["CREDIT", 1, [0, 4, 7, 9]],
  ["CREDIT", 0, [0, 4, 7, 9]],
];

/** Kinds of frames that belong to a stream, with a payload that is right, and those that belong to the connection. */
const OF_STREAMS: readonly (readonly [name: keyof typeof Kind, payload: Uint8Array])[] = [
  ["HEADERS", Uint8Array.of(0)],
  ["DATA", Uint8Array.of(1)],
  ["END", bytes(0)],
  ["RESET", Uint8Array.of(1, 0)],
];
const OF_CONNECTIONS: readonly (readonly [name: keyof typeof Kind, payload: Uint8Array])[] = [
  ["HELLO", bytes(60)],
  ["PING", bytes(8)],
  ["PONG", bytes(8)],
  ["GOAWAY", bytes(5)],
  ["EXCHANGE", bytes(8)],
  ["SEALED", bytes(8)],
];

interface FrameRow {
  name: string;
  frame: Uint8Array;
}

/** Frames that close a connection on which stream 1 is open; `wrong` are ids that no side has opened. */
export function wrongFrames(wrong: readonly number[]): FrameRow[] {
  return [
    ...LENGTHS.flatMap(([name, id, lengths]) =>
      lengths.map((length) => ({
        name: `${name} of ${length} bytes on stream ${id}`,
        frame: raw(Kind[name], 0, id, bytes(length)),
      })),
    ),
    ...OF_STREAMS.flatMap(([name, payload]) =>
      [0, ...wrong].map((id) => ({ name: `${name} on stream ${id}`, frame: raw(Kind[name], 0, id, payload) })),
    ),
    ...wrong.map((id) => ({ name: `CREDIT on stream ${id}`, frame: raw(Kind.CREDIT, 0, id, GRANT) })),
    ...OF_CONNECTIONS.flatMap(([name, payload]) =>
      [1, 2, 99].map((id) => ({ name: `${name} on stream ${id}`, frame: raw(Kind[name], 0, id, payload) })),
    ),
  ];
}

/** Frames with flags that mean nothing there, which are as if they had none, on a connection with stream 1 open. */
export function oddFlags(): FrameRow[] {
  return [0x80, 0x70, Flag.DEADLINE].flatMap((flags) =>
    (
      [
        ["PING", 0, bytes(8)],
        ["PONG", 0, bytes(8)],
        ["CREDIT", 0, GRANT],
        ["CREDIT", 1, GRANT],
        ["DATA", 1, encoded(1)],
        ["END", 1, bytes(0)],
      ] as const
    ).map(([name, id, payload]) => ({
      name: `${name} with the flags ${flags.toString(16).padStart(2, "0")} on stream ${id}`,
      frame: raw(Kind[name], flags, id, payload),
    })),
  );
}

const row = ({ name, frame }: FrameRow, gives: ServerCase["gives"]): ServerCase => ({
  name,
  play: [channel(1, "talk"), frame],
  gives,
});

/** What a server makes of frames that are wrong wherever they come. */
export const serverFrames = serverCases("a server with an open stream gets", [
  ...wrongFrames([2, 99]).map((it) => row(it, BAD)),
  ...oddFlags().map((it) => row(it, "nothing")),
  row({ name: "DATA of no bytes", frame: raw(Kind.DATA, 0, 1) }, "RESET INVALID_ARGUMENT"),
  row({ name: "RESET with the flag 80", frame: raw(Kind.RESET, 0x80, 1, "01 00") }, "RESET CANCELLED"),
  row({ name: "GOAWAY without an error", frame: raw(Kind.GOAWAY, 0, 0, "7fffffff 00") }, "nothing"),
]);
