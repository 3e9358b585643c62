/**
 * Packs every published package and uses each of `ONLY` as its user would: installed alone in an empty project outside
 * of the workspace, from CommonJS, ESM and both kinds of TypeScript. The code that is run is in `.ci/install`.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ONLY = ["client", "server"];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(root, "node_modules/typescript/bin/tsc");
const temporary = mkdtempSync(join(tmpdir(), "rap-install-"));
const run = (cwd, command, ...args) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], shell: false });
const json = (...path) => JSON.parse(readFileSync(join(root, ...path), "utf8"));

const published = new Map(
  readdirSync(join(root, "packages"))
    .map((folder) => ({ folder, manifest: json("packages", folder, "package.json") }))
    .filter(({ manifest }) => !manifest.private)
    .map(({ folder, manifest }) => [manifest.name, { folder, manifest }]),
);

/** A package and all of ours that it needs. */
function closure(name, found = new Set()) {
  if (!published.has(name) || found.has(name)) return found;
  found.add(name);
  for (const dependency of Object.keys(published.get(name).manifest.dependencies ?? {})) closure(dependency, found);
  return found;
}

function pack() {
  const tarballs = new Map();
  for (const [name, { folder }] of published) {
    const [{ filename }] = JSON.parse(
      run(join(root, "packages", folder), "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", temporary),
    );
    tarballs.set(name, `file:${join(temporary, filename)}`);
  }
  return tarballs;
}

function use(short, tarballs) {
  const name = `@rap/${short}`;
  const project = join(temporary, short);
  const needed = closure(name);
  mkdirSync(project);
  const overrides = [...needed].filter((other) => other !== name).map((other) => [other, tarballs.get(other)]);
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({
      private: true,
      dependencies: { [name]: tarballs.get(name) },
      devDependencies: { "@types/node": json("package.json").devDependencies["@types/node"] },
      overrides: Object.fromEntries(overrides),
    }),
  );
  run(project, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline");

  const installed = readdirSync(join(project, "node_modules/@rap")).map((other) => `@rap/${other}`);
  assert.deepEqual(installed.sort(), [...needed].sort(), `what installing ${name} installs`);
  console.log(`${name}: installed with ${installed.length - 1} more of ours`);

  const files = readdirSync(join(root, ".ci/install")).filter((file) => file.startsWith(`${short}.`));
  for (const file of files) cpSync(join(root, ".ci/install", file), join(project, file));
  for (const file of files.filter((other) => /\.[cm]js$/.test(other))) {
    run(project, process.execPath, file);
    console.log(`${name}: ${file} runs`);
  }
  const typed = files.filter((file) => /\.[cm]ts$/.test(file));
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        module: "node16",
        target: "es2022",
        lib: ["es2022"],
        types: ["node"],
        strict: true,
        skipLibCheck: false,
        noEmit: true,
      },
      files: typed,
    }),
  );
  try {
    run(project, process.execPath, tsc, "-p", project);
  } catch (error) {
    throw new Error(`${typed.join(", ")}\n${error.stdout}`);
  }
  console.log(`${name}: ${typed.join(" and ")} check with module node16, strict, skipLibCheck false`);
}

try {
  run(root, process.execPath, tsc, "-b");
  const tarballs = pack();
  for (const short of ONLY) use(short, tarballs);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
