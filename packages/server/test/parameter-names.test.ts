import { expect, test } from "@jest/globals";
import { createTestPair } from "@rap/testing";
import * as z from "zod";
import { rpc, Server } from "../src";
import { parameterNames } from "../src/parameter-names";

test.each<[string, readonly string[] | undefined]>([
  ["function sum(a, b) {}", ["a", "b"]],
  ["function (a) {}", ["a"]],
  ["async function later(a, $b) {}", ["a", "$b"]],
  ["async function* items(count) {}", ["count"]],
  ["(a, b) => a + b", ["a", "b"]],
  ["async (a) => a", ["a"]],
  ["async a => a", ["a"]],
  ["a => a", ["a"]],
  ["({ plus(a, b) {} }).plus", ["a", "b"]],
  ["({ async *items(count) {} }).items", ["count"]],
  ["() => 1", []],
  ["function (a, b,) {}", ["a", "b"]],
  ["(a, b = 2) => a + b", undefined],
  ["(...all) => all", undefined],
  ["({ a }) => a", undefined],
  ["([a]) => a", undefined],
  ["(a /* the first */, b) => a", undefined],
  ["({ 'odd name'(a) {} })['odd name']", undefined],
  ["function sum(a) {}.bind(undefined)", undefined],
  ["Math.max", undefined],
])("%s", (text, names) => {
  expect(parameterNames(new Function(`return ${text};`)() as () => void)).toEqual(names);
});

test("a function that declares no names can be called with those of its text, in any order", async () => {
  const minus = (a: number, b: number) => a - b;
  const checked = rpc({ input: [z.number(), z.number()] }, (left, right) => left - right);
  await using pair = await createTestPair(new Server().register({ minus, checked, max: Math.max }));
  const { client } = pair;
  expect(await client.invokeByName("minus", { a: 5, b: 3 })).toBe(2);
  expect(await client.invokeByName("minus", { b: 3, a: 5 })).toBe(2);
  expect(await client.invokeByName("checked", { right: 3, left: 5 })).toBe(2);
  const refusals: [string, Record<string, unknown>, string][] = [
    ["minus", { a: 5 }, "b is missing"],
    ["minus", { a: 5, b: 3, c: 1 }, "c is not the name of a parameter"],
    ["minus", { x: 5, y: 3 }, "x is not the name of a parameter"],
    ["checked", { left: 5, right: "3" }, "right: "],
    ["max", { a: 1 }, "no parameter names are declared"],
  ];
  for (const [name, args, message] of refusals) {
    await expect(client.invokeByName(name, args)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message) as unknown,
    });
  }
});
