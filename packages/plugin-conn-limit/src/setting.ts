import { withMethods } from "@rap/core";
import { RapError } from "@rap/protocol";

/** What connections can be counted in. */
export const isStore = withMethods("a store", "take", "give", "usage", "block");

/** A whole number of at least `least`. Throws a RangeError that names the option. */
export function option(name: string, value: number, least: number): number {
  if (isWhole(value, least)) return value;
  throw Object.assign(new RangeError(whole(name, least, value)), { code: "ERR_RAP_LIMIT" });
}

/** The same for what a caller sent: INVALID_ARGUMENT. */
export function argument(name: string, value: unknown, least: number): number {
  if (isWhole(value, least)) return value;
  throw new RapError("INVALID_ARGUMENT", whole(name, least, value));
}

function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function whole(name: string, least: number, value: unknown): string {
  return `${name} is a whole number of at least ${least}, not ${String(value).slice(0, 50)}`;
}
