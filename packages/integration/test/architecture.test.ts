import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import ts from "typescript";

/** The package graph: who may depend on whom. A new package adds its line here. */
const GRAPH: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^protocol$/, []],
  [/^transport$/, ["protocol"]],
  [/^core$/, ["protocol"]],
  [/^(client|server)$/, ["protocol", "transport", "core"]],
  [/^testing$/, ["protocol", "transport", "core", "client", "server"]],
  [/^(plugin|discovery)-/, ["protocol", "core"]],
  [/^codec-/, ["protocol"]],
  [/^rapspec$/, ["protocol", "transport", "core", "client", "server", "plugin-crypto"]],
  [/^gateway$/, ["protocol", "core", "client"]],
  [/^cli$/, ["protocol", "core", "client", "server", "gateway"]],
];

/** What makes a test wait, or not repeat itself. */
const TIME_AND_CHANCE = [
  "process.nextTick",
  "setImmediate",
  "setTimeout",
  "setInterval",
  "Date.now",
  "new Date",
  "Date()",
  "performance.now",
  "Math.random",
];

/** Who owns which of it, and why. All other files get it injected or ask these. */
const OWNERS: Readonly<Record<string, { uses: readonly string[]; because: string }>> = {
  "protocol/src/clock.ts": { uses: ["performance.now", "setTimeout"], because: "is the clock" },
  "protocol/src/direct-reader.ts": { uses: ["new Date"], because: "builds the Dates that a message holds" },
  "protocol/src/random.ts": { uses: ["Math.random"], because: "is the randomness" },
  "core/src/turn.ts": { uses: ["setImmediate"], because: "is the turn of the event loop" },
  "core/src/logger.ts": { uses: ["new Date"], because: "the default of an option: the time in front of a line" },
  "transport/src/turn.ts": {
    uses: ["process.nextTick", "setImmediate"],
    because: "is the end of a turn, for coalesced writes, and the next one",
  },
  "transport/src/tcp.ts": { uses: ["performance.now"], because: "stamps openedAt, before any connection has a clock" },
  "transport/src/tls.ts": { uses: ["performance.now"], because: "stamps openedAt, before the TLS handshake" },
  "transport/src/connection.ts": { uses: ["performance.now"], because: "counts its handshake from openedAt" },
  "transport/src/net-socket.ts": {
    uses: ["process.nextTick"],
    because: "closes as node:net does, never within start()",
  },
  "plugin-crypto/src/freshness.ts": {
    uses: ["Date.now"],
    because: "the default of an option: two machines have only the time of day in common",
  },
  "rapspec/src/tagged.ts": { uses: ["new Date"], because: "builds the Dates that a test vector holds" },
  "transport/src/memory.ts": {
    uses: ["performance.now", "setImmediate", "setTimeout"],
    because: "plays the kernel: stamps openedAt, and its defaults are a turn and timers that keep the process alive",
  },
};

const VAGUE = /^(commons?|utils?|helpers?|shared|types?)$/;

interface Manifest {
  name: string;
  private?: boolean;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

const root = join(__dirname, "../..");
const json = <T>(...path: string[]): T => JSON.parse(readFileSync(join(root, ...path), "utf8")) as T;
const folders = readdirSync(root).filter((name) => existsSync(join(root, name, "package.json")));
const manifests = new Map(folders.map((name) => [name, json<Manifest>(name, "package.json")]));
const published = folders.filter((name) => !manifests.get(name)?.private);

/** The files below a folder of a package, from `packages` on. */
function files(...path: string[]): string[] {
  const folder = join(root, ...path);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((file) =>
    [...path, file.replaceAll("\\", "/")].join("/"),
  );
}

interface Source {
  path: string;
  imports: string[];
  tree: ts.SourceFile;
}

const sources = (name: string): Source[] =>
  files(name, "src")
    .filter((path) => /\.[cm]?[jt]s$/.test(path))
    .map((path) => sourceOf(path, readFileSync(join(root, path), "utf8")));

function sourceOf(path: string, text: string): Source {
  return {
    path,
    imports: ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName),
    tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true),
  };
}

/** Where in a file something is, as `path:line text`. */
function find(source: Source, is: (node: ts.Node) => boolean): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (is(node)) {
      const { line } = source.tree.getLineAndCharacterOfPosition(node.getStart());
      found.push(`${source.path}:${line + 1} ${node.getText().slice(0, 60)}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source.tree);
  return found;
}

const packageOf = (id: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? id;
const ours = (ids: Iterable<string>): string[] =>
  [...ids].filter((id) => id.startsWith("@rap/")).map((id) => id.slice("@rap/".length));

const isDefaultExport = (node: ts.Node): boolean =>
  ts.isExportAssignment(node) ||
  (ts.isExportSpecifier(node) && node.name.text === "default") ||
  (ts.canHaveModifiers(node) &&
    (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword));

/** Which of `TIME_AND_CHANCE` a node is, if any. */
function timeOrChance(node: ts.Node): string | undefined {
  const use = ts.isPropertyAccessExpression(node)
    ? node.getText().replace(/^globalThis\./, "")
    : ts.isNewExpression(node)
      ? `new ${node.expression.getText()}`
      : ts.isCallExpression(node)
        ? `${node.expression.getText()}()`
        : ts.isIdentifier(node) && isGlobal(node)
          ? node.text
          : "";
  return TIME_AND_CHANCE.includes(use) ? use : undefined;
}

/** False for members of something else, and for what a file declares or imports itself. */
function isGlobal(node: ts.Identifier): boolean {
  const { parent } = node;
  const isDeclared = "name" in parent && parent.name === node;
  return !isDeclared && !ts.isPropertyAccessExpression(parent) && !ts.isImportSpecifier(parent);
}

function usesOfTimeAndChance(source: Source): string[] {
  const uses = new Set<string>();
  find(source, (node) => {
    const use = timeOrChance(node);
    if (use !== undefined) uses.add(use);
    return false;
  });
  return [...uses].sort();
}

describe.each(published)("%s", (name) => {
  const { dependencies = {}, peerDependencies = {} } = manifests.get(name) as Manifest;
  const code = sources(name);

  test("depends only on what the graph allows", () => {
    const allowed = GRAPH.find(([pattern]) => pattern.test(name))?.[1];
    expect(allowed).toBeDefined();
    expect(ours(Object.keys(dependencies)).filter((other) => !allowed?.includes(other))).toEqual([]);
    expect(ours(Object.keys(peerDependencies)).filter((other) => !allowed?.includes(other))).toEqual([]);
  });

  test("is called by the name of its folder", () => {
    expect(manifests.get(name)?.name).toBe(`@rap/${name}`);
  });

  test("references in tsconfig.json are its dependencies", () => {
    const { references = [] } = json<{ references?: { path: string }[] }>(name, "tsconfig.json");
    expect(references.map(({ path }) => basename(path)).sort()).toEqual(ours(Object.keys(dependencies)).sort());
  });

  test.each(["tsconfig.json", "tsconfig.test.json"])("is referenced by %s at the top", (file) => {
    const { references } = json<{ references: { path: string }[] }>("..", file);
    expect(references.map(({ path }) => path)).toContain(`packages/${name}`);
  });

  test("declares everything it imports", () => {
    const declared = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)]);
    const missing = code.flatMap(({ path, imports }) =>
      imports
        .filter((id) => !id.startsWith(".") && !isBuiltin(id) && !declared.has(packageOf(id)))
        .map((id) => `${path}: ${id}`),
    );
    expect(missing).toEqual([]);
  });

  test("imports everything it declares", () => {
    const imported = new Set(code.flatMap(({ imports }) => imports).map(packageOf));
    expect(Object.keys({ ...dependencies, ...peerDependencies }).filter((id) => !imported.has(id))).toEqual([]);
  });

  test("imports built-in modules by their node: name, and no file of another package by its path", () => {
    const bad = code.flatMap(({ path, imports }) =>
      imports
        .filter((id) => (isBuiltin(id) && !id.startsWith("node:")) || /^(\.\.\/){2}/.test(id))
        .map((id) => `${path}: ${id}`),
    );
    expect(bad).toEqual([]);
  });

  test("has no default exports", () => {
    expect(code.flatMap((source) => find(source, isDefaultExport))).toEqual([]);
  });
});

test("time, turns of the event loop and randomness come in by their owners, and only as listed", () => {
  // A compliance suite is test code.
  const found = published
    .flatMap(sources)
    .filter(({ path }) => basename(path) !== "compliance.ts")
    .map((source) => [source.path, usesOfTimeAndChance(source)] as const)
    .filter(([, uses]) => uses.length > 0);
  const listed = Object.entries(OWNERS).map(([path, { uses }]) => [path, [...uses].sort()]);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(listed));
});

test("only @rap/core knows the DI library, in one file", () => {
  const users = published.filter((name) => "tsyringe" in (manifests.get(name)?.dependencies ?? {}));
  expect(users).toEqual(["core"]);
  const importers = published
    .flatMap(sources)
    .filter(({ imports }) => imports.some((id) => /^(tsyringe|reflect-metadata)(\/|$)/.test(id)))
    .map(({ path }) => path);
  expect(importers).toEqual(["core/src/container.ts"]);
});

test("the file that changes globals is declared as a side effect", () => {
  expect(json<{ sideEffects: unknown }>("core", "package.json").sideEffects).toEqual(["./dist/container.js"]);
});

test("@rap/protocol runs outside of Node", () => {
  const nodeOnly = sources("protocol").flatMap(({ path, imports }) =>
    imports.filter((id) => isBuiltin(id)).map((id) => `${path}: ${id}`),
  );
  expect(nodeOnly).toEqual([]);
});

test("nothing is called common, utils, helpers, shared or types", () => {
  const parts = folders.flatMap((name) => [name, ...files(name, "src"), ...files(name, "test")]);
  const vague = parts.filter((path) => VAGUE.test(basename(path).replace(/(\.test|\.d)?\.[cm]?[jt]s$/, "")));
  expect(vague).toEqual([]);
});

test("no tracked file knows the machine that it was written on", () => {
  const top = join(root, "..");
  const tracked = execFileSync("git", ["ls-files", "-z"], { cwd: top, encoding: "utf8" }).split("\0");
  const machine = /\/(?:work|root|home|Users)\/[a-z]+|\/tmp\/[a-z]+\//;
  const knowing = tracked
    .filter((path) => path !== "" && !path.endsWith("package-lock.json") && existsSync(join(top, path)))
    .filter((path) => machine.test(readFileSync(join(top, path), "utf8")));
  expect(knowing).toEqual([]);
});

test("the rules above see every way to import, default exports, and time and chance in all forms", () => {
  const text = `
    import "a"; import type { B } from "b"; import {
      c,
    } from "@c/c/deep";
    export { d } from "d"; export type * from "e"; import f = require("f"); const g = require("g") as G;
    // import "comment"; Date.now(); setTimeout(() => {}, 1)
    const text = 'import "text"; Date.now()';
    const clock = { setTimeout() {} }; clock.setTimeout(() => {}, 1);
    function turn(x = setImmediate) { setTimeout(x, 1); return [new Date(0), Date.now(), globalThis.Math.random()]; }
    export default turn; export { turn as default };
  `;
  const source = sourceOf("x.ts", text);
  expect(source.imports).toEqual(["a", "b", "@c/c/deep", "d", "e", "f", "g"]);
  expect(find(source, isDefaultExport)).toHaveLength(2);
  expect(usesOfTimeAndChance(source)).toEqual(["Date.now", "Math.random", "new Date", "setImmediate", "setTimeout"]);
});
