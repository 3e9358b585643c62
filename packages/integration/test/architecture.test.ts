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
  [/^(plugin|discovery)-/, ["core"]],
];

/** The files that own time, turns of the event loop and randomness. All others get them injected or call these. */
const OWNERS_OF_TIME_AND_CHANCE = [
  "protocol/src/clock.ts",
  "protocol/src/random.ts",
  "transport/src/turn.ts",
  "core/src/turn.ts",
  // Each is the default of an option: the time in front of a line of the log, the turn of the memory transport.
  "core/src/logger.ts",
  "transport/src/memory.ts",
];

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
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return {
        path,
        imports: ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName),
        tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true),
      };
    });

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

function isTimeOrChance(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) {
    return ["Date.now", "Math.random", "process.nextTick", "globalThis.setImmediate"].includes(node.getText());
  }
  if (ts.isNewExpression(node)) return node.expression.getText() === "Date" && !node.arguments?.length;
  if (ts.isCallExpression(node)) return node.expression.getText() === "Date";
  if (!ts.isIdentifier(node) || node.text !== "setImmediate") return false;
  // A method of that name on something else is not the global function.
  return !(ts.isPropertyAccessExpression(node.parent) && node.parent.name === node);
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

  test("asks for time, turns of the event loop and randomness only in the files that own them", () => {
    // A compliance suite is test code.
    const others = code.filter(
      ({ path }) => !OWNERS_OF_TIME_AND_CHANCE.includes(path) && basename(path) !== "compliance.ts",
    );
    expect(others.flatMap((source) => find(source, isTimeOrChance))).toEqual([]);
  });
});

test("every file that may own time and chance is still there and still does", () => {
  const all = new Map(published.flatMap(sources).map((source) => [source.path, source]));
  const idle = OWNERS_OF_TIME_AND_CHANCE.filter((path) => path !== "protocol/src/clock.ts").filter((path) => {
    const source = all.get(path);
    return source === undefined || find(source, isTimeOrChance).length === 0;
  });
  expect(idle).toEqual([]);
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
