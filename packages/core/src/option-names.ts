import { nearest } from "@rap/protocol";
import { type Check, given, optionError, VALUES } from "./option-values";

/** What is known of an option: its name alone, what its value must be, or that it is not built yet. */
type OptionRule = true | keyof typeof VALUES | Check | "planned";

/** All names that the options of a type have; the compiler keeps the list complete. */
export type OptionNames<T> = { readonly [K in keyof T & string]-?: OptionRule };

/**
 * Throws a TypeError with code `ERR_RAP_OPTION` unless options are a record of known names, with values that these can
 * have: the message says who was given them (`of`: "Server"), what is allowed, and which name was probably meant. A
 * value that is undefined counts as none.
 */
export function checkOptions<T extends object>(of: string, options: T, names: OptionNames<T>): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw optionError(`the options of ${of} are a record, not ${given(options)}`);
  }
  for (const name in options) checkOption(of, name, options[name], names);
}

/** The same for one option. */
export function checkOption(of: string, name: string, value: unknown, names: Readonly<Record<string, OptionRule>>) {
  const rule = Object.hasOwn(names, name) ? names[name] : undefined;
  if (rule === undefined) throw unknownOption(of, name, names);
  if (rule === true || value === undefined) return;
  // `retry: false` asks for what is so.
  if (rule === "planned") {
    if (value !== false) throw optionError(`${of} cannot have the option "${name}" yet: it is not built`);
    return;
  }
  const check = typeof rule === "string" ? VALUES[rule] : rule;
  check(value, `the option ${name} of ${of}`);
}

/** The mistake of an option that does not exist. */
function unknownOption(of: string, name: string, rules: Readonly<Record<string, OptionRule>>): TypeError {
  const names = Object.keys(rules);
  const meant = nearest(name, names);
  const built = names.filter((each) => rules[each] !== "planned").join(", ") || "none";
  const hint = meant === undefined ? `it has ${built}` : `did you mean "${meant}"?`;
  return optionError(`${of} has no option ${JSON.stringify(name.slice(0, 64))}: ${hint}`);
}
