// Loads packages as the file of a contender would: `import.js FILE PACKAGE...`. Tells the milliseconds that it took.
const { createRequire } = require("node:module");

const [file, ...packages] = process.argv.slice(2);
const load = createRequire(file);
const begin = performance.now();
for (const name of packages) load(name);
process.send({ ms: performance.now() - begin });
process.on("disconnect", () => process.exit());
