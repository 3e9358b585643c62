// Runs the `main` of a TypeScript file of this package, from its sources: `run.js fuzz/fuzz --mutants 20000`.
require("./sources");
const [file, ...args] = process.argv.slice(2);
require(`../${file}.ts`)
  .main(args)
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
