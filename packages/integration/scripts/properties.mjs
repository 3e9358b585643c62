/**
 * The property tests with many more runs than `npm test` has time for: `npm run test:properties`, or
 * `SEED=1 TIMES=5 npm run test:properties -- packages/protocol`.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const [chosen = "packages/", ...more] = process.argv.slice(2);
if (more.length > 0) throw new Error("one path at most");
const files = readdirSync(join(root, "packages"), { recursive: true })
  .map((name) => join("packages", name))
  .filter((name) => name.startsWith(chosen) && name.endsWith(".test.ts") && !name.includes("node_modules"))
  .filter((name) => readFileSync(join(root, name), "utf8").includes('from "fast-check"'));

if (files.length === 0) throw new Error(`there is no property test below ${chosen}`);

const { SEED = String(Date.now() % 2 ** 31), TIMES = "20" } = process.env;
console.log(`SEED=${SEED} TIMES=${TIMES}: ${files.length} files`);
const jest = join(root, "node_modules/jest/bin/jest.js");
const { status } = spawnSync(process.execPath, [jest, "--testTimeout=900000", ...files], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, SEED, TIMES },
});
process.exitCode = status ?? 1;
