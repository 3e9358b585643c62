import assert from "node:assert/strict";
import { once } from "node:events";
import { CLOCK } from "@rap/core";
import { createContainer } from "@rap/core/container";
import { context, RapError, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";

const slow = async (): Promise<void> => void (await once(context().signal, "abort"));

export async function main(): Promise<void> {
  const clock = new ManualClock();
  const container = createContainer().register(CLOCK, { useValue: clock });

  await using pair = await createTestPair(new Server().register({ slow }), { client: { container }, chunk: 3 });
  const call = pair.client.register<typeof slow>("slow")();
  clock.advance(31_000); // the default deadline is 30 s, and nobody has to wait for it
  assert.ok(RapError.is(await call.catch((error: unknown) => error), "DEADLINE_EXCEEDED"));
}
