import { type ChildProcessByStdio, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import ts from "typescript";

const root = join(__dirname, "../../..");

/** Our sources as JavaScript in a folder of their own, for processes that have no test runner. */
export class PlainSources {
  readonly #folder = mkdtempSync(join(tmpdir(), "rap-"));

  constructor() {
    const { compilerOptions } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile).config;
    const options = ts.convertCompilerOptionsFromJson({ ...compilerOptions, module: "commonjs" }, root).options;
    for (const name of ["protocol", "transport", "core", "server", "client"]) {
      const from = join(root, "packages", name, "src");
      const to = join(this.#folder, "node_modules/@rap", name);
      mkdirSync(to, { recursive: true });
      for (const file of readdirSync(from)) {
        if (!file.endsWith(".ts")) copyFileSync(join(from, file), join(to, file));
        else {
          const { outputText } = ts.transpileModule(readFileSync(join(from, file), "utf8"), {
            compilerOptions: options,
          });
          writeFileSync(join(to, file.replace(/\.ts$/, ".js")), outputText);
        }
      }
    }
  }

  /** Runs a script that can `require` our packages; `env` is added to the environment. */
  run(script: string, env: NodeJS.ProcessEnv = {}): ChildProcessByStdio<null, Readable, Readable> {
    return spawn(process.execPath, ["-e", script], {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NODE_PATH: join(root, "node_modules"), ...env },
    });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
