import type { AnyFn } from "@rap/protocol";

/** `(a, b)` of a function or method, or `a` of an arrow function, with nothing but plain names in it. */
const PARAMETERS =
  /^(?:async\s+)?(?:function\b\s*\*?\s*[\w$]*\s*|\*?\s*[\w$]+\s*)?\(\s*((?:[A-Za-z_$][\w$]*\s*,?\s*)*)\)|^(?:async\s+)?([A-Za-z_$][\w$]*)\s*=>/;

const NATIVE = /\{\s*\[native code\]\s*\}$/;

/**
 * The names of a function's parameters as its own text has them, for calls with named arguments to a function that
 * declares none; undefined where there is more to a parameter than its name, and for what is native or bound.
 *
 * It cannot put a value in the wrong place: a name that the caller uses either stands in the text or the call is
 * refused. But what renames parameters (a minifier) breaks such calls, so functions for others should declare `params`.
 */
export function parameterNames(fn: AnyFn): readonly string[] | undefined {
  const text = Function.prototype.toString.call(fn);
  if (NATIVE.test(text)) return undefined;
  const [, list, single] = PARAMETERS.exec(text) ?? [];
  if (single !== undefined) return [single];
  return list?.split(",").flatMap((name) => name.trim() || []);
}
