import type { Method } from "./registry";

/** What is known of a parameter or result: a JSON Schema where its Standard Schema can give one. */
type JsonSchema = Readonly<Record<string, unknown>>;

/** A function as tools see it. */
export interface MethodDescription {
  readonly group: string;
  readonly name: string;
  /**
   * How it is called. Only of an async generator, not compiled to an old target, is known that it streams: another
   * function that returns an async iterable is `"unary"` here too.
   */
  readonly shape: "unary" | "stream" | "channel";
  readonly private: boolean;
  readonly doc: string | undefined;
  readonly summary: string | undefined;
  readonly deprecated: boolean | string;
  readonly idempotent: boolean;
  /** Names and schemas of the parameters, as far as they were declared. */
  readonly params:
    | readonly { readonly name: string | undefined; readonly schema: JsonSchema | undefined }[]
    | undefined;
  readonly result: JsonSchema | undefined;
}

/** What the registration of a function says of it. */
export function describeMethod(method: Method): MethodDescription {
  const { group, name, kind, streams, doc, summary, deprecated, idempotent, params, contract } = method;
  const count = Math.max(params?.length ?? 0, contract.input?.length ?? 0);
  const declared = params !== undefined || contract.input !== undefined;
  return {
    group,
    name,
    shape: kind === "channel" ? "channel" : streams ? "stream" : "unary",
    private: method.private,
    doc,
    summary,
    deprecated,
    idempotent,
    params: declared
      ? Array.from({ length: count }, (_, index) => ({
          name: params?.[index],
          schema: jsonSchema(contract.input?.[index], "input"),
        }))
      : undefined,
    result: jsonSchema(contract.output, "output"),
  };
}

/** Standard JSON Schema, which some libraries offer beside Standard Schema; undefined from any other, or if not JSON. */
function jsonSchema(schema: unknown, side: "input" | "output"): JsonSchema | undefined {
  const standard = (schema as { "~standard"?: { jsonSchema?: Record<string, unknown> } } | undefined)?.["~standard"];
  const make = standard?.jsonSchema?.[side];
  if (typeof make !== "function") return undefined;
  try {
    // As text and back, since one with, say, a function for a default would spoil the whole list.
    return JSON.parse(
      JSON.stringify((make as (options: object) => unknown)({ target: "draft-2020-12" })),
    ) as JsonSchema;
  } catch {
    // Some types have no JSON Schema.
    return undefined;
  }
}
