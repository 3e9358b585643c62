import { expect, jest, test } from "@jest/globals";
import { warn } from "../src";

test.each([
  [new Error("broken"), "broken"],
  ["just text", "just text"],
  [42, "a value of type number was thrown"],
  [undefined, "a value of type undefined was thrown"],
  [{ reason: "an object" }, "a value of type object was thrown"],
])("%p becomes a warning of the process", (thrown, message) => {
  const emitted = jest.spyOn(process, "emitWarning");
  warn(thrown, "in a test");
  // An error of Jest's own realm is none to Node, so its text is what counts here.
  expect(emitted).toHaveBeenLastCalledWith(message, { detail: "in a test" });
  emitted.mockRestore();
});
