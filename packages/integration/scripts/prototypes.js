// Of every test file: nothing that its tests send, decode or register has left anything on the prototypes of the language.
const { afterAll, expect } = require("@jest/globals");

const watched = { Object, Array, Function, String, Number, Promise, Map, Set, Error, Uint8Array };
const keys = () =>
  Object.fromEntries(Object.entries(watched).map(([name, { prototype }]) => [name, Reflect.ownKeys(prototype)]));
const before = keys();

afterAll(() => {
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect({}.polluted).toBeUndefined();
  expect(keys()).toEqual(before);
});
