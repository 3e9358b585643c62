import { nearest } from "@rap/protocol";

/** What is known of an option: nothing but its name, the type that its value has, or that it is not built yet. */
type OptionRule = true | "boolean" | "number" | "string" | "object" | "function" | "planned";

/** All names that the options of a type have; the compiler keeps the list complete. */
export type OptionNames<T> = { readonly [K in keyof T & string]-?: OptionRule };

/**
 * Throws a TypeError with code `ERR_RAP_OPTION` unless options are a record of known names, with values of the types that
 * these have: the message says who was given them (`of`: "Server"), and which name was probably meant.
 */
export function checkOptions<T extends object>(of: string, options: T, names: OptionNames<T>): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw optionError(`the options of ${of} are a record, not ${typeName(options)}`);
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
  } else if (typeof value !== rule || value === null) {
    throw optionError(`the option ${name} of ${of} is ${A[rule]}, not ${typeName(value)}`);
  }
}

/** The mistake of an option that does not exist. */
function unknownOption(of: string, name: string, rules: Readonly<Record<string, OptionRule>>): TypeError {
  const names = Object.keys(rules);
  const meant = nearest(name, names);
  const built = names.filter((each) => rules[each] !== "planned").join(", ") || "none";
  const hint = meant === undefined ? `it has ${built}` : `did you mean "${meant}"?`;
  return optionError(`${of} has no option ${JSON.stringify(name.slice(0, 64))}: ${hint}`);
}

export function optionError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_OPTION" });
}

const A = { boolean: "a boolean", number: "a number", string: "a text", object: "an object", function: "a function" };

/** Not the value: it may be a secret in the wrong place. */
function typeName(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
