const { RapError } = require("./rap-error.cjs");

// In a loop, so that Node cannot tell the exports from the text.
for (const [name, fn] of Object.entries({
  square: (n) => n * n,
  refuse() {
    throw new RapError();
  },
})) {
  module.exports[name] = fn;
}
module.exports.default = (n) => n ** 3;
