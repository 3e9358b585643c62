import { nearest } from "@rap/protocol";

/** All names that the options of a type have; the compiler keeps the list complete. */
export type OptionNames<T> = { readonly [K in keyof T & string]-?: true };

/**
 * Throws a TypeError with code `ERR_RAP_OPTION` unless options are a record of known names: the message says who was
 * given them (`of`: "Server"), which one does not exist, and which was probably meant.
 */
export function checkOptions<T extends object>(of: string, options: T, names: OptionNames<T>): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    // Not the value: it may be a secret in the wrong place.
    const given = options === null ? "null" : Array.isArray(options) ? "a list" : `a ${typeof options}`;
    throw optionError(`the options of ${of} are a record, not ${given}`);
  }
  for (const name in options) if (!Object.hasOwn(names, name)) throw unknownOption(of, name, Object.keys(names));
}

/** The mistake of an option that does not exist. */
export function unknownOption(of: string, name: string, names: readonly string[]): TypeError {
  const meant = nearest(name, names);
  const hint = meant === undefined ? `it has ${names.join(", ")}` : `did you mean "${meant}"?`;
  return optionError(`${of} has no option ${JSON.stringify(name.slice(0, 64))}: ${hint}`);
}

export function optionError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_OPTION" });
}
