// `node --require packages/integration/scripts/sources.js` takes our packages from their TypeScript sources, without a build.
const { readFileSync } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");
const ts = require("typescript");

const root = join(__dirname, "../../..");
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
