import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "@jest/globals";

interface Manifest {
  version?: string;
  private?: boolean;
  description?: string;
  license?: string;
  type?: string;
  main?: string;
  types?: string;
  exports?: Record<string, string | Record<string, string>>;
  files?: string[];
  engines?: Record<string, string>;
  repository?: { type?: string; url?: string; directory?: string };
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

/** What packages need of others, and all that npm installs for it (parts for one platform are left out). */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  protocol: ["@msgpack/msgpack", "@standard-schema/spec"],
  core: ["@standard-schema/spec", "reflect-metadata", "tsyringe"],
  // Its worker threads.
  server: ["piscina"],
  "codec-msgpackr": ["msgpackr"],
  // Makes certificates for the cases over TLS.
  rapspec: ["selfsigned"],
};
const INSTALLED: readonly string[] = [
  "@msgpack/msgpack",
  "@standard-schema/spec",
  "reflect-metadata",
  "tsyringe",
  "tslib",
  "piscina",
  "@napi-rs/nice",
];
const ONE_PLATFORM = /^(@napi-rs\/nice|@msgpackr-extract\/msgpackr-extract)-/;

interface Locked {
  version?: string;
  integrity?: string;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

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
    const { url } = manifest("protocol").repository!;
    expect(own.repository).toEqual({ type: "git", url, directory: `packages/${name}` });
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

  test("needs nothing but our own packages and what is known", () => {
    const needs = Object.keys({ ...own.dependencies, ...own.optionalDependencies });
    expect(needs.filter((each) => !each.startsWith("@rap/"))).toEqual(NEEDS[name] ?? []);
    for (const each of needs.filter((need) => need.startsWith("@rap/"))) {
      expect(published).toContain(each.slice("@rap/".length));
      expect(own.dependencies![each]).toBe(`^${manifest(each.slice("@rap/".length)).version}`);
    }
  });
});

describe("what npm installs with", () => {
  const lock = (JSON.parse(read("..", "package-lock.json")) as { packages: Record<string, Locked> }).packages;

  /** Where the lock file has what the package at `path` gets as `name`: its own, or that of the folders around it. */
  function place(path: string, name: string): string {
    for (let from = path; ; from = from.slice(0, Math.max(0, from.lastIndexOf("/node_modules/")))) {
      const found = join(from, "node_modules", name);
      if (found in lock) return found;
      if (from === "") throw new Error(`${name} is not in the lock file`);
    }
  }

  /** All that comes with a package of ours, itself and our others left out. */
  function closure(name: string): Map<string, Locked> {
    const found = new Map<string, Locked>();
    const seen = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      const own = lock[path]!;
      for (const each of Object.keys({ ...own.dependencies, ...own.optionalDependencies })) {
        if (each.startsWith("@rap/")) visit(`packages/${each.slice("@rap/".length)}`);
        else if (!ONE_PLATFORM.test(each)) {
          const at = place(path, each);
          expect([each, lock[at]?.integrity]).toEqual([each, expect.stringMatching(/^sha512-/)]);
          found.set(each, lock[at]!);
          visit(at);
        }
      }
    };
    visit(`packages/${name}`);
    return found;
  }

  test("a client and a server is known, and runs nothing then", () => {
    const all = new Map([...closure("client"), ...closure("server"), ...closure("plugin-crypto")]);
    expect([...all.keys()].sort()).toEqual([...INSTALLED].sort());
  });

  test.each(published)("%s runs nothing then", (name) => {
    const scripted = [...closure(name)].filter(([, { hasInstallScript }]) => hasInstallScript).map(([each]) => each);
    // Optional, and only a little faster: msgpackr does without where it is not built.
    expect(scripted).toEqual(name === "codec-msgpackr" ? ["msgpackr-extract"] : []);
  });
});
