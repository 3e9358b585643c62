import assert from "node:assert/strict";
import { Client, safe } from "@rap/client";
import { defineErrors, type Logger, RapError, Server } from "@rap/server";
import * as z from "zod";

/** Shared by server and clients: the errors by name, each with its code and, if it has data, their schema. */
export const bankErrors = defineErrors({
  INSUFFICIENT_FUNDS: { code: "FAILED_PRECONDITION", data: z.object({ needed: z.number() }) },
  NO_SUCH_ACCOUNT: { code: "NOT_FOUND" },
});

function withdraw(account: string, amount: number): number {
  if (account === "") throw new RapError("INVALID_ARGUMENT", "an account has a number");
  if (account !== "acc-1") throw bankErrors.NO_SUCH_ACCOUNT();
  if (amount > 10) throw bankErrors.INSUFFICIENT_FUNDS({ needed: amount - 10 });
  if (amount < 0) throw new Error("SELECT balance FROM accounts: connection lost");
  return 10 - amount;
}

const logged: object[] = [];
const logger: Logger = { debug() {}, info() {}, warn() {}, error: (details) => void logged.push(details) };

export async function main() {
  await using server = new Server({ logger }).register({ withdraw });
  const { port } = await server.listen({ port: 0 });
  await using client = new Client().addConn("localhost", port);
  await client.start();
  const remote = client.register<typeof withdraw>("withdraw");

  // A RapError crosses the wire as it is. Recognise it with `is`, which knows its type.
  try {
    await remote("acc-1", 99);
  } catch (error) {
    if (bankErrors.INSUFFICIENT_FUNDS.is(error)) console.log("needed:", error.data.needed);
    else if (RapError.is(error, "DEADLINE_EXCEEDED")) console.log("too slow", error.origin);
    else throw error;
  }

  // Errors as values.
  const result = await safe(remote("acc-2", 1));
  assert(!result.ok && bankErrors.NO_SUCH_ACCOUNT.is(result.error));
  console.log(result.error.code, result.error.reason);

  // Anything else stays on the server: the caller gets an id, and the log has the error under it.
  const unknown = await safe(remote("acc-1", -1));
  assert(!unknown.ok && unknown.error.code === "UNKNOWN" && !unknown.error.message.includes("SELECT"));
  const [{ errorId }] = unknown.error.details as [{ errorId: string }];
  assert.equal((logged[0] as { errorId: string }).errorId, errorId);

  // What was never sent, or provably never ran, may be tried again without a thought.
  const missing = await safe(client.invokeByName("withdrow", ["acc-1", 1]));
  assert(!missing.ok && missing.error.code === "NOT_FOUND" && !missing.error.maybeExecuted);
}
