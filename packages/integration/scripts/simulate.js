// `npm run simulate`: see ../simulation/README.md.
require("./sources");
require("../simulation/simulate.ts")
  .main(process.argv.slice(2))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
