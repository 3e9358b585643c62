import { expect, test } from "@jest/globals";
import { fuzz, retry, unaltered } from "../fuzz/fuzz";
import { mutate } from "../fuzz/mutate";
import { record } from "../fuzz/recording";
import { Chance } from "../simulation/chance";

/** New ones at each run: what fails here is repeated with `npm run fuzz -- --mutants 1 --seed N`. */
const seed = Date.now() % 1_000_000_000;

test.each([
  ["known", 1],
  ["new", seed],
])(
  "2 000 mutants of recorded sessions do no harm, to servers and to clients (%s seeds from %i on)",
  async (_, from) => {
    expect(await fuzz(from, 2_000)).toEqual([]);
  },
  60_000,
);

test("nor does what once did", async () => {
  expect(await retry()).toEqual([]);
});

test("nor the sessions themselves", async () => {
  expect(await unaltered()).toEqual(Array(8).fill(undefined));
});

test("the same seed makes the same mutant", async () => {
  const [plain, stream] = await record();
  const mutant = () => mutate(plain!.up, stream!.up, new Chance(seed));
  expect(mutant()).toEqual(mutant());
});
