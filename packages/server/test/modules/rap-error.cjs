/** What a RapError of any copy of @rap/protocol looks like from outside. */
exports.RapError = class RapError extends Error {
  name = "RapError";
  code = "FAILED_PRECONDITION";
  reason = "TOO_HEAVY";
  data = { limit: 5n, at: new Date(0) };
  details = [{ more: new Map([["a", 1]]) }];
  retryAfterMs = 250;
  metadata = new Map([
    ["x-a", "1"],
    ["x-b-bin", Uint8Array.of(7)],
  ]);
  [Symbol.for("rap.error")] = true;

  constructor() {
    super("too heavy");
  }
};
