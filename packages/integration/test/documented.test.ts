import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { CODES, LIMITS } from "@rap/protocol";

const root = join(__dirname, "../../..");
const read = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");
const published = readdirSync(join(root, "packages")).filter(
  (name) =>
    existsSync(join(root, "packages", name, "src")) && !read("packages", name, "package.json").includes('"private"'),
);
const files = published.flatMap((name) =>
  readdirSync(join(root, "packages", name, "src")).map((file) => ({
    name,
    file,
    text: read("packages", name, "src", file),
  })),
);

/** A plugin's README has what is the plugin's own. */
const inCore = files.filter(({ name }) => !name.startsWith("plugin-"));

describe("docs/errors.md has", () => {
  const page = read("docs/errors.md");

  test("every code of a RapError, with its number", () => {
    for (const [code, number] of Object.entries(CODES)) expect(page).toContain(`\n| ${number} | \`${code}\` |`);
  });

  test("`never` for those that rap does not raise, and for no other", () => {
    const raising = files.filter(({ name, file }) => name !== "rapspec" && file !== "code.ts");
    const unraised = Object.keys(CODES).filter((code) => !raising.some(({ text }) => text.includes(`"${code}"`)));
    expect([...page.matchAll(/`(\w+)` \| never \|/g)].map(([, code]) => code)).toEqual(unraised);
  });

  test("every code of a mistake, and none that is not made", () => {
    const made = new Set(inCore.flatMap(({ text }) => text.match(/\bERR_RAP_[A-Z_]+/g) ?? []));
    const listed = new Set(page.match(/\bERR_RAP_[A-Z_]+/g));
    expect([...listed].sort()).toEqual([...made].sort());
  });
});

test("README.md shows the steps of the demo in their order", () => {
  const steps = [...read("packages/integration/demo/client.js").matchAll(/\bstep\("([^"]+)"/g)].map(([, step]) => step);
  const [, output = ""] = /```\n(a server listens on [\s\S]*?)```/.exec(read("README.md")) ?? [];
  const lines = output.split("\n").map((line) => line.slice(0, 42).trimEnd());
  expect(lines.filter((line) => steps.includes(line))).toEqual(steps);
});

test("every limit of the table is read where it holds", () => {
  const code = files.filter(({ name, file }) => name !== "protocol" || file !== "limits.ts").map(({ text }) => text);
  const unread = Object.keys(LIMITS).filter((limit) => !code.some((text) => new RegExp(`\\b${limit}\\b`).test(text)));
  expect(unread).toEqual([]);
});

test.each([...new Set(inCore.map(({ name }) => name))])("the source tour of %s names every file", (name) => {
  const readme = read("packages", name, "README.md");
  const missing = files
    .filter((each) => each.name === name && each.file !== "index.ts")
    .map(({ file }) => file)
    // A suite may be in several files behind its entry; a .js file belongs to the one that runs it.
    .filter((file) => !/-compliance\.ts$|^stand-in\.ts$|\.js$/.test(file) && !readme.includes(`src/${file}`));
  expect(missing).toEqual([]);
});
