/**
 * Runs examples of docs/examples as programs of their own: no build, no test runner, and the process ends when they
 * have let go of everything. `npm run example quick-start sessions`; without a name all of them.
 */
const { readdirSync, readFileSync } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");
const ts = require("typescript");

const root = join(__dirname, "../../..");
const folder = join(root, "docs/examples");

// TypeScript as it stands, and our packages from their sources.
const { compilerOptions } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile).config;
const options = ts.convertCompilerOptionsFromJson({ ...compilerOptions, module: "commonjs" }, root).options;
Module._extensions[".ts"] = (module, file) => {
  module._compile(ts.transpileModule(readFileSync(file, "utf8"), { compilerOptions: options }).outputText, file);
};
const resolve = Module._resolveFilename;
Module._resolveFilename = (id, ...rest) => {
  const [, name, entry = "index"] = /^@rap\/([^/]+)(?:\/([^/.]+))?$/.exec(id) ?? [];
  return resolve(name === undefined ? id : join(root, "packages", name, "src", `${entry}.ts`), ...rest);
};

async function run(names) {
  for (const name of names) {
    console.log(`# ${name}`);
    try {
      await require(join(folder, `${name}.ts`)).main();
    } catch (error) {
      console.error(`# ${name}`);
      console.error(error);
      process.exitCode = 1;
    }
  }
}

const all = readdirSync(folder).flatMap((file) => (file.endsWith(".ts") ? [file.slice(0, -3)] : []));
const names = process.argv.slice(2);
void run(names.length > 0 ? names : all);
