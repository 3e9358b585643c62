import { type Clock, type Codec, LIMITS as DEFAULTS, type Limits, type Random } from "@rap/protocol";
import type { Container } from "./container";
import type { Logger } from "./logger";
import { type Check, must, VALUES, withMethods } from "./option-values";

/**
 * Names a `T` in a container. Constructor parameters say it themselves, `@inject(CLOCK) clock: Clock`, as injection by
 * type needs metadata that many compilers do not emit.
 */
export type Token<T> = symbol & { readonly [TYPE]?: T };

declare const TYPE: unique symbol;

// Symbols of the global registry, so that tokens are the same where two copies of this package meet.

/** Turns values into bytes. Default: `msgpack()`. */
export const CODEC: Token<Codec> = Symbol.for("rap.codec");

/** Time. Default: `systemClock`. */
export const CLOCK: Token<Clock> = Symbol.for("rap.clock");

/** Randomness. Default: `systemRandom`. */
export const RANDOM: Token<Random> = Symbol.for("rap.random");

/** Where log lines go. Default: `defaultLogger()`. */
export const LOGGER: Token<Logger> = Symbol.for("rap.logger");

/** All limits. Default: `LIMITS` of `@rap/protocol`. */
export const LIMITS: Token<Limits> = Symbol.for("rap.limits");

const PARTS: ReadonlyMap<symbol, Check> = new Map<symbol, Check>([
  [CODEC, withMethods("a codec", "encode", "decode")],
  [CLOCK, VALUES.clock],
  [RANDOM, VALUES.random],
  [LOGGER, VALUES.logger],
  // One that is missing would be no limit.
  [
    LIMITS,
    must("a whole table, as limits({ … }) of @rap/protocol gives", (value) => {
      return Object.keys(DEFAULTS).every(
        (name) => typeof (value as Partial<Limits> | null)?.[name as never] === "number",
      );
    }),
  ],
]);

/**
 * What a container has under a token, undefined if nothing. Throws a TypeError (`ERR_RAP_OPTION`) for what cannot be that
 * part of rap.
 */
export function registered<T>(container: Container, token: Token<T>): T | undefined {
  if (!container.isRegistered(token, true)) return undefined;
  const part = container.resolve<T>(token);
  PARTS.get(token)?.(part, `what is registered under ${token.description}`);
  return part;
}
