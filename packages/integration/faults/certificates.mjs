import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** A small public-key infrastructure: that of the tests, which is written in TypeScript. */
export async function certificates() {
  const source = readFileSync(new URL("../../transport/test/certificates.ts", import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const file = new URL("results/certificates.mjs", import.meta.url);
  mkdirSync(fileURLToPath(new URL(".", file)), { recursive: true });
  writeFileSync(file, outputText);
  return (await import(file)).certificates();
}
