import { given } from "@rap/core";
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

/** Throws a TypeError for what is no name, or no group. */
export function targetOf(group = "default", name: unknown, options: CallOptions | undefined): Target {
  if (typeof name !== "string") throw registerError(`the name of a remote function is a text, not ${given(name)}`);
  if (name === "") throw registerError("a remote function needs a name; an anonymous function has none");
  checkGroup(group);
  const text = `${group}/${name}`;
  const bytes = encoder.encode(text);
  if (bytes.length > 2 * LIMITS.maxNameBytes + 1) throw registerError(`no function is called ${text.slice(0, 64)}…`);
  return { group, name, text, bytes, options };
}

/** Throws a TypeError for what is no group. */
export function checkGroup(group: unknown): void {
  if (typeof group !== "string") throw registerError(`a group is a text, not ${given(group)}`);
  if (group === "") throw registerError('a group is a text that is not empty; without one it is "default"');
  if (group.includes("/")) throw registerError(`the group ${JSON.stringify(group.slice(0, 64))} has a slash`);
}

function registerError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_REGISTER" });
}
