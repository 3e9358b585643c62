// `node --require packages/integration/scripts/sources.js` takes our packages from their TypeScript sources, without a
// build. What it has compiled is kept, since a program of several processes would compile it in each of them.
const { createHash } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const Module = require("node:module");
const { join } = require("node:path");

const root = join(__dirname, "../../..");
const cache = join(root, "node_modules/.cache/rap-sources");
const settings = ["package-lock.json", "tsconfig.base.json"].map((name) => readFileSync(join(root, name), "utf8"));
const base = createHash("sha256").update(settings.join("\0"));

let compiler;

/** Loads the compiler only when there is something to compile. */
function typescript() {
  const ts = require("typescript");
  const { compilerOptions } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile).config;
  const { options } = ts.convertCompilerOptionsFromJson({ ...compilerOptions, module: "commonjs" }, root);
  return (text) => ts.transpileModule(text, { compilerOptions: options }).outputText;
}

function compiled(text) {
  const file = join(cache, `${base.copy().update(text).digest("hex")}.js`);
  try {
    return readFileSync(file, "utf8");
  } catch {
    compiler ??= typescript();
    const code = compiler(text);
    mkdirSync(cache, { recursive: true });
    // Under another name first: a process beside this one must not read half of it.
    writeFileSync(`${file}.${process.pid}`, code);
    renameSync(`${file}.${process.pid}`, file);
    return code;
  }
}

Module._extensions[".ts"] = (module, file) => {
  module._compile(compiled(readFileSync(file, "utf8")), file);
};

const resolve = Module._resolveFilename;
Module._resolveFilename = (id, ...rest) => {
  const [, name, entry = "index"] = /^@rap\/([^/]+)(?:\/([^/.]+))?$/.exec(id) ?? [];
  return resolve(name === undefined ? id : join(root, "packages", name, "src", `${entry}.ts`), ...rest);
};
