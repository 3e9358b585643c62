import { debuglog } from "node:util";
import { Kind } from "@rap/protocol";

const log = debuglog("rap:frame");
const NAMES = new Map<number, string>(Object.entries(Kind).map(([name, kind]) => [kind, name]));

/** Prints one frame of a connection. */
export type FrameTrace = (direction: "<" | ">", kind: number, flags: number, id: number, size: number) => void;

/** What `NODE_DEBUG=rap:frame` (or `rap:*`) asks for; undefined, and so free, without it. */
export function frameTrace(connection: string): FrameTrace | undefined {
  if (!log.enabled) return undefined;
  return (direction, kind, flags, id, size) => {
    const name = NAMES.get(kind) ?? `0x${kind.toString(16)}`;
    log("%s %s %s stream=%d flags=0x%s bytes=%d", connection, direction, name, id, flags.toString(16), size);
  };
}
