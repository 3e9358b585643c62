import type { Shape } from "@rap/protocol";
import type { Connection } from "@rap/transport";
import type { Endpoint } from "./endpoint";

/**
 * The connection with the fewest calls in flight and sessions open among those with room; ties go to the address that
 * was added first.
 */
export function leastInFlight(endpoints: readonly Endpoint[], shape: Shape): Connection | undefined {
  let best: Connection | undefined;
  for (const { connection } of endpoints) {
    if (connection === undefined || !connection.hasRoom(shape)) continue;
    if (best === undefined || loadOf(connection) < loadOf(best)) best = connection;
  }
  return best;
}

/** An open session is about to make calls. */
function loadOf({ streams, holds }: Connection): number {
  return streams + holds;
}
