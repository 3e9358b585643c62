/**
 * Runs the tests on several versions of Node, the oldest that rap supports to the newest: `npm run test:nodes`, or
 * `npm run test:nodes -- 20 26 packages/server` for some of both. The npm package `node` has each version as a binary; it
 * is kept in node_modules/.cache.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ALL = ["20", "22", "24", "26"];
const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const given = process.argv.slice(2);
const chosen = given.filter((arg) => ALL.includes(arg));
const jest = given.filter((arg) => !ALL.includes(arg));

/** The path of a version's binary, which is fetched if it is not there yet. */
function binary(version) {
  const folder = join(root, "node_modules/.cache/rap-nodes", version);
  const path = join(folder, "node_modules/node/bin/node");
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{"private":true}\n');
    // Its install script puts the binary of this machine in its place.
    const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts=false", `node@${version}`];
    const { status } = spawnSync("npm", install, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
    if (status !== 0 || !existsSync(path)) throw new Error(`node@${version} could not be installed`);
  }
  return path;
}

const results = [];
for (const version of chosen.length > 0 ? chosen : ALL) {
  const node = binary(version);
  const name = spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim();
  console.log(`\n== Node ${name}`);
  const began = Date.now();
  const { status } = spawnSync(node, [join(root, "node_modules/jest/bin/jest.js"), ...jest], {
    cwd: root,
    stdio: "inherit",
    // What a test starts by name is that version too.
    env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` },
  });
  results.push({
    node: name,
    result: status === 0 ? "passed" : "FAILED",
    seconds: Math.round((Date.now() - began) / 1_000),
  });
}
console.table(results);
process.exitCode = results.every(({ result }) => result === "passed") ? 0 : 1;
