import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";

const packages = `${__dirname}/../../`;

/**
 * Runs a script in a Node process of its own, where `require` takes our TypeScript sources and the ES modules that Jest
 * cannot load. `SRC` is the folder of this package's sources.
 */
export function plainNode(script: string): ChildProcessByStdio<null, Readable, Readable> {
  const prelude = `
    const Module = require("node:module");
    const ts = require(${JSON.stringify(require.resolve("typescript"))});
    const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true };
    Module._extensions[".ts"] = (module, file) => {
      const source = require("node:fs").readFileSync(file, "utf8");
      module._compile(ts.transpileModule(source, { compilerOptions }).outputText, file);
    };
    const resolve = Module._resolveFilename;
    Module._resolveFilename = (id, ...rest) =>
      resolve(id.startsWith("@rap/") ? ${JSON.stringify(packages)} + id.slice(5) + "/src/index.ts" : id, ...rest);
    const SRC = ${JSON.stringify(`${packages}core/src/`)};
  `;
  return spawn(process.execPath, ["-e", prelude + script], { cwd: __dirname, stdio: ["ignore", "pipe", "pipe"] });
}
