import type { StandardSchemaV1 } from "@standard-schema/spec";

/** Whether a value is a schema of any library that speaks Standard Schema: zod, valibot, arktype … */
export function isSchema(value: unknown): value is StandardSchemaV1 {
  const standard = (value as Partial<StandardSchemaV1> | null | undefined)?.["~standard"];
  return typeof standard?.validate === "function";
}
