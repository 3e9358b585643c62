// The contract is plain functions. Nothing in this file knows of rap.
import assert from "node:assert/strict";

export function syncSum(a: number, b: number): number {
  return a + b;
}

export async function asyncSum(a: number, b: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 10)); // mock io
  return a + b;
}

export async function* asyncGen(a: number): AsyncGenerator<number> {
  for (let i = 0; i < a; i++) yield i;
}

/** So they are tested as any function is, without a server. */
export async function main() {
  assert.equal(syncSum(1, 2), 3);
  assert.equal(await asyncSum(1, 2), 3);

  const items: number[] = [];
  for await (const item of asyncGen(3)) items.push(item);
  assert.deepEqual(items, [0, 1, 2]);
}
