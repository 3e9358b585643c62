import assert from "node:assert/strict";
import { CodecError, msgpack, RapError } from "@rap/protocol";

export async function main(): Promise<void> {
  const codec = msgpack();
  const value = { at: new Date(0), ids: new Set([1n, 2n ** 60n]), left: undefined };
  const bytes = codec.encode(value).slice(); // the codec uses its buffer again
  assert.deepEqual(codec.decode(bytes, 0, bytes.length, true), value);

  assert.throws(() => codec.encode([{ user: { fn: () => 1 } }], "args"), {
    name: "CodecError",
    path: "args[0].user.fn",
  });
  assert.throws(() => codec.decode(Uint8Array.of(0xdd, 255, 255, 255, 255), 0, 5, true), CodecError);
  assert.ok(RapError.is(new RapError("NOT_FOUND", "no such account"), "NOT_FOUND"));
}
