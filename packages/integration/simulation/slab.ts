import { Kind } from "@rap/protocol";
import type { Socket } from "@rap/transport";
import { Outbox } from "../../transport/src/outbox";

/**
 * All connections of a process write into one piece of memory, and how much of it is left decides where writes are
 * cut. A scenario must not depend on those before it, so each begins with a fresh piece.
 */
export function forgetSlab(): void {
  const outbox = new Outbox({} as Socket, 256, undefined, () => undefined);
  // It takes the piece that was left over, and never gives it back.
  outbox.frame(Kind.PING, 0, 0, new Uint8Array(8));
  outbox.close();
}
