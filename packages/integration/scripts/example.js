/**
 * Runs examples of docs/examples as programs of their own: no build, no test runner, and the process ends when they
 * have let go of everything. `npm run example quick-start sessions`; without a name all of them.
 */
const { readdirSync } = require("node:fs");
const { join } = require("node:path");
require("./sources");

const folder = join(__dirname, "../../../docs/examples");

async function run(names) {
  for (const name of names) {
    console.log(`# ${name}`);
    try {
      await require(join(folder, `${name}.ts`)).main();
    } catch (error) {
      console.error(`# ${name}`);
      console.error(error);
      process.exitCode = 1;
    }
  }
}

const all = readdirSync(folder).flatMap((file) => (file.endsWith(".ts") ? [file.slice(0, -3)] : []));
const names = process.argv.slice(2);
void run(names.length > 0 ? names : all);
