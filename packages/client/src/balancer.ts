import type { Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";
import type { Endpoint } from "./endpoint";

/** The connection with the fewest calls in flight among those with room; ties go to the address added first. */
export function leastInFlight(endpoints: readonly Endpoint[], shape: Shape): Connection | undefined {
  let best: Connection | undefined;
  for (const { connection } of endpoints) {
    if (connection === undefined || !connection.hasRoom(shape)) continue;
    if (best === undefined || connection.streams < best.streams) best = connection;
  }
  return best;
}
