/**
 * Builds the JavaScript of the package in the current folder, or of all of them in the root: for each entry of its
 * `exports` and `bin` one file, and one for what entries share. `tsc -b` has checked the types and written them.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import ts from "typescript";

const base = join(import.meta.dirname, "tsconfig.base.json");
const { compilerOptions } = ts.readConfigFile(base, ts.sys.readFile).config;
const { options } = ts.convertCompilerOptionsFromJson(
  {
    ...compilerOptions,
    module: "esnext",
    composite: false,
    emitDeclarationOnly: false,
    sourceMap: true,
    removeComments: true,
  },
  import.meta.dirname,
);

const here = process.cwd();
const folders =
  here === import.meta.dirname ? readdirSync("packages").map((name) => join(here, "packages", name)) : [here];

export default folders.flatMap((folder) => {
  // What another branch left behind.
  if (!existsSync(join(folder, "package.json"))) return [];
  const { exports, bin, private: unpublished } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (unpublished) return [];
  const files = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin ?? {})];
  const names = files.filter((file) => file?.startsWith("./dist/")).map((file) => basename(file, ".js"));
  const input = Object.fromEntries(names.map((name) => [name, join(folder, "src", `${name}.ts`)]));
  return {
    input,
    // TypeScript's helpers look for themselves on it.
    context: "this",
    output: {
      dir: join(folder, "dist"),
      format: "cjs",
      chunkFileNames: "shared-[name].js",
      sourcemap: true,
      // The sources are published, too.
      sourcemapExcludeSources: true,
      // Plain properties: getters on a module's exports took a third of the time of a call.
      externalLiveBindings: false,
      generatedCode: "es2015",
      esModule: true,
      interop: "auto",
    },
    plugins: [typescript(join(folder, "dist"))],
    onwarn(warning) {
      throw new Error(warning.message);
    },
  };
});

/** Compiles what is in the folder of the importing file. All else is another package. */
function typescript(dist) {
  return {
    name: "typescript",
    /** Takes away what an earlier build made of sources that are gone. */
    generateBundle(_, bundle) {
      for (const [name, { code }] of Object.entries(bundle)) {
        for (const [, late] of code?.matchAll(/\brequire\(["']\.\/([^"']+)["']\)/g) ?? []) {
          const file = late.endsWith(".js") ? late : `${late}.js`;
          if (bundle[file] === undefined) this.error(`${name} loads ${file}, which was not built`);
        }
      }
      if (!existsSync(dist)) return;
      for (const file of readdirSync(dist)) {
        const [, name, made] = /^(.+?)(\.js|\.d\.ts)(?:\.map)?$/.exec(file) ?? [];
        const stale =
          made === ".js" ? bundle[`${name}.js`] === undefined : !existsSync(join(dist, "../src", `${name}.ts`));
        if (made !== undefined && stale) rmSync(join(dist, file));
      }
    },
    resolveId(id, importer) {
      if (importer === undefined) return id;
      return id.startsWith(".") ? `${resolve(dirname(importer), id)}.ts` : { id, external: true };
    },
    transform(code, file) {
      // What a source loads only when it needs it has a file of its own.
      for (const [, name] of code.matchAll(/\brequire\("\.\/([\w-]+)"\)/g)) {
        this.emitFile({ type: "chunk", id: join(dirname(file), `${name}.ts`), fileName: `${name}.js` });
      }
      const { outputText, sourceMapText } = ts.transpileModule(code, { compilerOptions: options, fileName: file });
      return { code: outputText, map: sourceMapText };
    },
  };
}
