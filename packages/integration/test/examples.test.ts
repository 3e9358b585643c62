import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";

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

if (examples.length > 0) {
  test.each(examples)("%s runs", async (path) => {
    // Not import(): Jest cannot run it without a flag.
    const { main } = require(join(root, path)) as { main(): Promise<unknown> };
    await main();
  });
}

describe("code blocks that name an example are that file", () => {
  test.each(pages)("%s", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, path = "", code] of text.matchAll(/```ts\r?\n\/\/ (docs\/examples\/\S+\.ts)\r?\n([\s\S]*?)```/g)) {
      expect(examples).toContain(path);
      const file = readFileSync(join(root, path), "utf8");
      // The file may name itself too.
      expect(code).toBe(file.replace(`// ${path}\n`, ""));
    }
  });
});
