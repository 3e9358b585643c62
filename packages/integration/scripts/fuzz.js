// `npm run fuzz`: mutants of recorded sessions against servers and clients; see ../fuzz/fuzz.ts.
require("./sources");
require("../fuzz/fuzz.ts")
  .main(process.argv.slice(2))
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
