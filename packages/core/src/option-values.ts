/** Throws a TypeError with code `ERR_RAP_OPTION` for a value that cannot be; `what` names the option. */
export type Check = (value: unknown, what: string) => void;

/** The check whether a value is what is `allowed`, in words. */
export function must(allowed: string, accepts: (value: unknown) => boolean): Check {
  return (value, what) => {
    if (!accepts(value)) throw optionError(`${what} is ${allowed}, not ${given(value)}`);
  };
}

/** A whole number in a range. */
export function wholeNumber(least: number, most = Number.POSITIVE_INFINITY): Check {
  const range = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
  const accepts = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most;
  return must(`a whole number ${range}`, accepts);
}

/** Whether it is a port, also as a text: that is what a program's environment and arguments are. */
export function isPort(value: unknown, least: 0 | 1): boolean {
  const port = typeof value === "string" && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return Number.isInteger(port) && Number(port) >= least && Number(port) <= 65_535;
}

/** One of some words; one that is wrong is shown, as it is no secret. */
export function oneOf(...words: readonly string[]): Check {
  const allowed = words.map((word) => JSON.stringify(word)).join(" or ");
  return (value, what) => {
    if (words.includes(value as string)) return;
    const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 32)) : given(value);
    throw optionError(`${what} is ${allowed}, not ${shown}`);
  };
}

/** A list of what is checked one by one; `allowed` says what else the option can be. */
export function listOf(each: keyof typeof VALUES | Check, allowed = "a list"): Check {
  return (value, what) => {
    if (!Array.isArray(value)) throw optionError(`${what} is ${allowed}, not ${given(value)}`);
    const check = typeof each === "string" ? VALUES[each] : each;
    value.forEach((entry, index) => {
      check(entry, `entry ${index} of ${what}`);
    });
  };
}

/** What has these methods, whether it is an object or a function (Roarr's loggers are). */
export function withMethods(what: string, ...methods: readonly string[]): Check {
  const last = methods.at(-1);
  const names =
    methods.length === 1 ? `the method ${last}` : `the methods ${methods.slice(0, -1).join(", ")} and ${last}`;
  return must(`${what} with ${names}`, (value) => {
    const holder = (typeof value === "object" || typeof value === "function" ? value : null) as Record<string, unknown>;
    return holder !== null && methods.every((method) => typeof holder[method] === "function");
  });
}

const isNumber = (value: unknown): value is number => typeof value === "number";

/** What the values of options often are. */
export const VALUES = {
  boolean: must("a boolean", (value) => typeof value === "boolean"),
  number: must("a number", isNumber),
  string: must("a text", (value) => typeof value === "string"),
  object: must("an object", (value) => typeof value === "object" && value !== null && !Array.isArray(value)),
  function: must("a function", (value) => typeof value === "function"),
  /** A text that says something. */
  name: must("a text that is not empty", (value) => typeof value === "string" && value !== ""),
  /** For as long as this; endless is allowed. */
  time: must("a positive number of milliseconds", (value) => isNumber(value) && value > 0),
  /** The same, or not at all. */
  wait: must("0 or more milliseconds", (value) => isNumber(value) && value >= 0),
  /** What is left of a time: when that is less than nothing, it is over. */
  left: must("a number of milliseconds", (value) => isNumber(value) && !Number.isNaN(value)),
  signal: must("an AbortSignal", (value) => {
    const signal = value as Partial<AbortSignal> | null;
    return typeof signal?.addEventListener === "function" && typeof signal.aborted === "boolean";
  }),
  clock: withMethods("a clock", "now", "setTimeout", "clearTimeout"),
  random: withMethods("a source of randomness", "bytes", "float"),
  logger: withMethods("a logger", "debug", "info", "warn", "error"),
  container: withMethods("a container", "resolve", "isRegistered", "createChildContainer"),
} satisfies Record<string, Check>;

export function optionError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_OPTION" });
}

/** What was given: a number as it is, of a text only that it is one, as it may be a secret in the wrong place. */
export function given(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const shown = value === null || value === undefined || typeof value === "number" || typeof value === "boolean";
  return shown ? String(value) : `a ${typeof value}`;
}
