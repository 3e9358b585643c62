/**
 * Packs every published package and uses each of `ONLY` as its user would: installed alone in an empty project outside
 * of the workspace, from CommonJS, ESM and both kinds of TypeScript. Then the one project serves and the other calls.
 * The code that is run is in `.ci/install`.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What is installed alone, and all that it may bring along that is not ours. */
const ONLY = {
  client: ["@msgpack/msgpack", "@standard-schema/spec", "reflect-metadata", "tslib", "tsyringe"],
  server: ["@msgpack/msgpack", "@standard-schema/spec", "piscina", "reflect-metadata", "tslib", "tsyringe"],
};
/**
 * Plugins, and next to which of those each is installed: its `server.mjs` of `.ci/install/<plugin>` serves there, and its
 * `client.mjs` calls, next to the client alone if the plugin is not for clients.
 */
const PLUGINS = {
  "plugin-crypto": ["server", "client"],
  "plugin-conn-limit": ["server"],
  "plugin-ip-filter": ["server"],
};
/** Optional builds for one platform, of piscina. */
const OF_PLATFORM = /^@napi-rs\//;

/** Further compilers that the declarations must suit: the oldest that knows `await using`, and the newest. */
const TYPESCRIPT = ["5.2", "7.0"];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const snippets = join(root, ".ci/install");
const temporary = mkdtempSync(join(tmpdir(), "rap-install-"));
const json = (...path) => JSON.parse(readFileSync(join(root, ...path), "utf8"));

const published = new Map(
  readdirSync(join(root, "packages"))
    .map((folder) => ({ folder, manifest: json("packages", folder, "package.json") }))
    .filter(({ manifest }) => !manifest.private)
    .map(({ folder, manifest }) => [manifest.name, { folder, manifest }]),
);

/** What a command prints; when it fails that is in the error. */
function run(cwd, command, ...args) {
  try {
    return execFileSync(command, args, {
      cwd,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 120_000,
    });
  } catch (error) {
    throw new Error(`${[command, ...args].join(" ")}\n${error.stdout}`, { cause: error });
  }
}

/** A package and all of ours that it needs. */
function closure(name, found = new Set()) {
  if (!published.has(name) || found.has(name)) return found;
  found.add(name);
  for (const dependency of Object.keys(published.get(name).manifest.dependencies ?? {})) closure(dependency, found);
  return found;
}

/** The tarballs of all packages, as npm names a file. */
function pack() {
  const tarballs = new Map();
  for (const [name, { folder }] of published) {
    const [{ filename, files }] = JSON.parse(
      run(join(root, "packages", folder), "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", temporary),
    );
    const paths = files.map(({ path }) => path);
    for (const path of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts.map", "src/index.ts"]) {
      assert.ok(paths.includes(path), `${name} is published without ${path}`);
    }
    assert.deepEqual(
      paths.filter((path) => /tsbuildinfo$|\.test\.|^test\//.test(path)),
      [],
      `published by ${name}`,
    );
    tarballs.set(name, `file:${join(temporary, filename)}`);
  }
  return tarballs;
}

/** An empty project with packages of ours, which bring the others they need; `short` is the one that is served or called by. */
function install(tarballs, short, plugin) {
  const names = [short, plugin].filter((each) => each !== undefined).map((each) => `@rap/${each}`);
  const project = join(temporary, [plugin, short].filter((each) => each !== undefined).join("-"));
  const needed = new Set(names.flatMap((name) => [...closure(name)]));
  mkdirSync(project);
  const pick = (wanted) => Object.fromEntries(wanted.map((name) => [name, tarballs.get(name)]));
  writeJson(join(project, "package.json"), {
    private: true,
    dependencies: pick(names),
    overrides: pick([...needed].filter((name) => !names.includes(name))),
  });
  run(project, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline");

  const installed = installedIn(project).filter((other) => !OF_PLATFORM.test(other));
  assert.deepEqual(installed, [...needed, ...ONLY[short]].sort(), `what installing ${names.join(" and ")} installs`);
  const kilobytes = Number.parseInt(run(project, "du", "-sk", "node_modules"), 10);
  console.log(`${names.join(" and ")}: installs ${installed.length} packages, ${(kilobytes / 1024).toFixed(1)} MiB`);
  return project;
}

function installedIn(project) {
  const folder = join(project, "node_modules");
  return readdirSync(folder)
    .filter((name) => !name.startsWith("."))
    .flatMap((name) => (name.startsWith("@") ? readdirSync(join(folder, name)).map((own) => `${name}/${own}`) : name))
    .sort();
}

/** The compilers that are installed here, by their versions. */
function compilers() {
  const project = join(temporary, "typescript");
  mkdirSync(project);
  const dependencies = TYPESCRIPT.map((version) => [`typescript-${version}`, `npm:typescript@${version}`]);
  writeJson(join(project, "package.json"), { private: true, dependencies: Object.fromEntries(dependencies) });
  run(project, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline");
  const tsc = (...folder) => {
    const { version, bin } = JSON.parse(readFileSync(join(...folder, "package.json"), "utf8"));
    return [version, join(...folder, bin.tsc)];
  };
  return new Map([
    tsc(root, "node_modules/typescript"),
    ...dependencies.map(([name]) => tsc(project, "node_modules", name)),
  ]);
}

/** Checks the same code as CommonJS and as an ES module, with every compiler. */
function checkTypes(short, project, compilers, code) {
  const files = [`${short}.cts`, `${short}.mts`];
  for (const file of files) writeFileSync(join(project, file), code);
  writeJson(join(project, "tsconfig.json"), {
    compilerOptions: {
      module: "node16",
      target: "es2022",
      lib: ["es2022", "esnext.disposable"],
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
      strict: true,
      skipLibCheck: false,
      experimentalDecorators: true,
      noEmit: true,
    },
    files,
  });
  for (const tsc of compilers.values()) run(project, process.execPath, tsc, "-p", project);
  const versions = [...compilers.keys()].join(", ");
  console.log(
    `@rap/${short}: ${files.join(" and ")} check with module node16, strict, skipLibCheck false, by ${versions}`,
  );
}

/** The one project serves, the other calls, each from CommonJS and from ESM. */
async function call({ client, server }) {
  for (const file of readdirSync(snippets)) {
    if (/^client\.[cm]js$/.test(file)) copyFileSync(join(snippets, file), join(client, file));
    else if (/\.[cm]js$/.test(file)) copyFileSync(join(snippets, file), join(server, file));
  }
  for (const serving of ["server.cjs", "server.mjs"]) {
    await serve(server, serving, (address) => {
      for (const calling of ["client.cjs", "client.mjs"]) {
        run(client, process.execPath, calling, address);
        console.log(`${calling} calls ${serving}`);
      }
    });
  }
}

/** A plugin in projects of its own. */
async function callPlugin(plugin, server, client) {
  for (const [file, project] of Object.entries({ "server.mjs": server, "client.mjs": client })) {
    copyFileSync(join(snippets, plugin, file), join(project, `${plugin}-${file}`));
  }
  await serve(server, `${plugin}-server.mjs`, (address) => {
    run(client, process.execPath, `${plugin}-client.mjs`, address);
    console.log(`@rap/${plugin}: client.mjs calls server.mjs`);
  });
}

/** Runs a server, which prints its address, as long as `using` does, and lets it shut down. */
async function serve(project, file, using) {
  const child = spawn(process.execPath, [file], { cwd: project, stdio: ["pipe", "pipe", "inherit"] });
  const exit = once(child, "exit");
  try {
    const address = await Promise.race([once(child.stdout, "data"), exit.then(() => [""])]);
    using(String(address[0]).trim());
    child.stdin.end();
    const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
    assert.deepEqual(await exit, [0, null], `${file} did not shut down`);
    clearTimeout(late);
  } finally {
    child.kill();
  }
}

/** Milliseconds that a fresh process takes longer with the import than without. */
function importTime(project, name) {
  const time = (code) => {
    const started = performance.now();
    run(project, process.execPath, "-e", code);
    return performance.now() - started;
  };
  const rounds = Array.from({ length: 5 }, () => [time(`require("${name}")`), time("")]);
  const [loaded, empty] = [0, 1].map((column) => rounds.map((round) => round[column]).sort((a, b) => a - b)[2]);
  return loaded - empty;
}

function writeJson(path, value) {
  writeFileSync(path, JSON.stringify(value));
}

try {
  run(root, "npm", "run", "-s", "build");
  const tarballs = pack();
  const installed = compilers();
  const projects = {};
  for (const short of Object.keys(ONLY)) {
    projects[short] = install(tarballs, short);
    checkTypes(short, projects[short], installed, readFileSync(join(snippets, `${short}.ts`), "utf8"));
  }
  await call(projects);
  for (const [plugin, sides] of Object.entries(PLUGINS)) {
    const [server, client] = ["server", "client"].map((side) =>
      sides.includes(side) ? install(tarballs, side, plugin) : projects[side],
    );
    checkTypes(plugin, server, installed, `export * from "@rap/${plugin}";`);
    await callPlugin(plugin, server, client);
  }
  for (const [short, project] of Object.entries(projects)) {
    console.log(`@rap/${short}: require takes ${Math.round(importTime(project, `@rap/${short}`))} ms`);
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
