import { Kind } from "@rap/protocol";
import { answers, clientCases } from "./client-scene";
import { encoded, raw } from "./frames";
import { oddFlags, wrongFrames } from "./server-frames";
import { BAD } from "./states";

/** What a client makes of frames that are wrong wherever they come. */
export const clientFrames = clientCases("a client with an open stream gets", [
  ...wrongFrames([3, 98, 99])
    // To a client a HEADERS frame is nothing strange, and OPEN of an odd stream is.
    .map(({ name, frame }) =>
      answers(name, () => [frame], "UNAVAILABLE", BAD, { shape: name.startsWith("END") ? "channel" : "unary" }),
    ),
  ...oddFlags().map(({ name, frame }) => ({
    ...answers(name, () => [frame], "", "nothing", { shape: "channel" as const }),
    caller: undefined as never,
  })),
  answers("DATA with the flag 80", (id) => [raw(Kind.DATA, 0x82, id, encoded(7))], "7"),
  answers("RESET with the flag 80", (id) => [raw(Kind.RESET, 0x80, id, "05 00")], "NOT_FOUND"),
]);
