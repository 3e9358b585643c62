import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, test } from "@jest/globals";

const root = join(__dirname, "../../..");
const below = (folder: string, recursive = false): string[] =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive, encoding: "utf8" }).map((file) => `${folder}/${file}`)
    : [];

const examples = below("docs/examples").filter((path) => path.endsWith(".ts"));
const pages = [
  "README.md",
  ...below("packages").map((folder) => `${folder}/README.md`),
  ...below("docs", true).filter((path) => path.endsWith(".md")),
].filter((path) => existsSync(join(root, path)));

/** What all examples printed, and the errors of those that failed, by path. */
let printed: Map<string, string>;
let errors: Map<string, string>;
let exitCode: number | null;

/** The parts of an output under their headings, `# name`. */
const parts = (output: string): Map<string, string> =>
  new Map(
    output
      .split(/^# /m)
      .slice(1)
      .map((part) => {
        const [name = "", ...lines] = part.split("\n");
        return [`docs/examples/${name}.ts`, lines.join("\n")];
      }),
  );

beforeAll(async () => {
  // In a process of their own, as those of users: Jest neither loads ES modules nor shows what keeps a process alive.
  const child = spawn(process.execPath, [join(root, "packages/integration/scripts/example.js")]);
  const closed = new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  printed = parts(stdout);
  errors = parts(stderr);
  exitCode = await closed;
}, 60_000);

if (examples.length > 0) {
  test.each(examples)("%s runs", (path) => {
    expect(errors.get(path)).toBeUndefined();
    expect([...printed.keys()]).toContain(path);
  });
}

test("the examples let go of everything, so that their process ends", () => {
  expect(exitCode).toBe(0);
});

describe("code blocks that name an example are that file", () => {
  test.each(pages)("%s", (page) => {
    const content = readFileSync(join(root, page), "utf8");
    for (const [, path = "", code] of content.matchAll(/```ts\r?\n\/\/ (docs\/examples\/\S+\.ts)\r?\n([\s\S]*?)```/g)) {
      expect(examples).toContain(path);
      const file = readFileSync(join(root, path), "utf8");
      // The file may name itself too.
      expect(code).toBe(file.replace(`// ${path}\n`, ""));
    }
  });
});

describe("code blocks that say they are from an example are in that file", () => {
  const flat = (code: string): string => code.replace(/^ +/gm, "").trim();

  test.each(pages)("%s", (page) => {
    const content = readFileSync(join(root, page), "utf8");
    for (const [, path = "", code = ""] of content.matchAll(
      /```ts\r?\n\/\/ from (docs\/examples\/\S+\.ts)\r?\n([\s\S]*?)```/g,
    )) {
      expect(examples).toContain(path);
      expect(flat(readFileSync(join(root, path), "utf8"))).toContain(flat(code));
    }
  });
});

describe("what an example is said to print is what it prints", () => {
  test.each(pages)("%s", (page) => {
    const content = readFileSync(join(root, page), "utf8");
    for (const [, path = "", output] of content.matchAll(
      /`(docs\/examples\/\S+\.ts)` prints:\s+```text\n([\s\S]*?)```/g,
    )) {
      expect(printed.get(path)).toBe(output);
    }
  });
});
