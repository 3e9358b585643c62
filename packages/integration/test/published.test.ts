import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "@jest/globals";

interface Manifest {
  private?: boolean;
  description?: string;
  license?: string;
  type?: string;
  main?: string;
  types?: string;
  exports?: Record<string, string | Record<string, string>>;
  files?: string[];
  engines?: Record<string, string>;
  repository?: { directory?: string };
  publishConfig?: Record<string, unknown>;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** Files that a package is published with beside its sources and what is built of them. */
const DATA: Readonly<Record<string, readonly string[]>> = {
  // What a peer in another language tests itself with.
  protocol: ["vectors/frames.json", "vectors/values.json"],
};

const root = join(__dirname, "../..");
const read = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");
const manifest = (name: string): Manifest => JSON.parse(read(name, "package.json")) as Manifest;
const published = readdirSync(root).filter(
  (name) => existsSync(join(root, name, "package.json")) && !manifest(name).private,
);

describe.each(published)("%s", (name) => {
  const own = manifest(name);

  test("has a README of at most 80 lines that starts with its name", () => {
    const lines = read(name, "README.md").trimEnd().split("\n");
    expect(lines[0]).toBe(`# @rap/${name}`);
    expect(lines.length).toBeLessThanOrEqual(80);
  });

  test("has the licence of the repository", () => {
    expect(own.license).toBe("MIT");
    expect(read(name, "LICENSE")).toBe(read("..", "LICENSE"));
  });

  test("exports files that are built from its sources, types first", () => {
    const { "./package.json": itself, ...entries } = own.exports ?? {};
    expect(itself).toBe("./package.json");
    expect(Object.keys(entries)).toContain(".");
    const data = DATA[name] ?? [];
    for (const file of data) {
      expect(entries[`./${file}`]).toBe(`./${file}`);
      expect(existsSync(join(root, name, file))).toBe(true);
    }
    for (const [path, targets] of Object.entries(entries)) {
      if (data.includes(path.slice("./".length))) continue;
      const file = path === "." ? "index" : path.slice("./".length);
      expect(Object.entries(targets)).toEqual([
        ["types", `./dist/${file}.d.ts`],
        ["default", `./dist/${file}.js`],
      ]);
      expect(existsSync(join(root, name, "src", `${file}.ts`))).toBe(true);
    }
    expect([own.type, own.main, own.types]).toEqual(["commonjs", "./dist/index.js", "./dist/index.d.ts"]);
  });

  test("says what it is, where it lives, what it runs on and what it ships", () => {
    expect(own.description).toBeTruthy();
    expect(own.repository?.directory).toBe(`packages/${name}`);
    expect(own.engines).toEqual({ node: ">=20.19" });
    const folders = new Set((DATA[name] ?? []).map((file) => dirname(file)));
    expect(own.files).toEqual(["dist", "src", ...folders, "!**/*.tsbuildinfo"]);
    expect(own.publishConfig).toEqual({ access: "public", provenance: true });
  });

  test("runs nothing when it is installed, and what it needs comes of the registry", () => {
    const hooks = ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"];
    expect(hooks.filter((hook) => hook in (own.scripts ?? {}))).toEqual([]);
    const versions = Object.values({ ...own.dependencies, ...own.optionalDependencies });
    expect(versions.filter((version) => !/^[\^~]?\d/.test(version))).toEqual([]);
  });
});
