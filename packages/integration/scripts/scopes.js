// Of every test file: an `AsyncLocalStorage` that is left enabled has its part in every promise that its process makes
// from then on. Each file has a copy of rap's: simulation.test as the 123rd file of one process took four times as long.
const { afterAll } = require("@jest/globals");
const hooks = require("node:async_hooks");

const { AsyncLocalStorage } = hooks;
const made = [];
hooks.AsyncLocalStorage = class extends AsyncLocalStorage {
  constructor(...options) {
    super(...options);
    made.push(this);
  }
};

afterAll(() => {
  hooks.AsyncLocalStorage = AsyncLocalStorage;
  for (const storage of made) storage.disable();
});
