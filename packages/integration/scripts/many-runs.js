// What tests are given as fast-check when TIMES is set: every property has as many times the runs that its test asks for.
const fc = require("../../../node_modules/fast-check/lib/cjs/fast-check.js");

const [times, seed] = [Number(process.env.TIMES), Number(process.env.SEED)];
if (!(times > 0 && Number.isInteger(seed))) throw new Error("TIMES and SEED are numbers");
const assert = (property, options = {}) =>
  fc.assert(property, { ...options, seed, numRuns: (options.numRuns ?? 100) * times });

module.exports = { __esModule: true, ...fc, assert, default: { ...fc.default, assert } };
