import { LIMITS } from "@rap/protocol";
import type { CallOptions } from "./options";

/** A function as the client knows it. */
export interface Target {
  readonly group: string;
  readonly name: string;
  /** `group/name`. */
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Options given with the function. */
  readonly options: CallOptions | undefined;
}

const encoder = new TextEncoder();

/** Throws a TypeError for what is no name. */
export function targetOf(group = "default", name: unknown, options: CallOptions | undefined): Target {
  if (typeof name !== "string" || name === "") {
    throw registerError("a remote function needs a name; an anonymous function has none");
  }
  if (typeof group !== "string") throw registerError(`a group is a text, not of type ${typeof group}`);
  if (group.includes("/")) throw registerError(`the group ${JSON.stringify(group.slice(0, 64))} has a slash`);
  const text = `${group}/${name}`;
  const bytes = encoder.encode(text);
  if (bytes.length > 2 * LIMITS.maxNameBytes + 1) throw registerError(`no function is called ${text.slice(0, 64)}…`);
  return { group, name, text, bytes, options };
}

function registerError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_REGISTER" });
}
