import type { Clock, Codec, Limits, Random } from "@rap/protocol";
import type { Logger } from "./logger";

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
