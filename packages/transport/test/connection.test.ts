import { describe, expect, test } from "@jest/globals";
import { RapError } from "@rap/protocol";
import { open, RecordingSink, World } from "./link";

describe("a call with large arguments, while the socket is behind", () => {
  test("does not arrive after a small call that was opened later", async () => {
    const { client, serverHost, world } = await linked();
    for (const bytes of [300_000, 300_000, 10]) open(client, new RecordingSink(), { bytes });
    await world.settle();
    expect(serverHost.events).toEqual(["ready"]);
    expect(serverHost.sinks.map(({ stream, events }) => [stream.id, ...events])).toEqual([
      [1, "message of 300000", "end"],
      [3, "message of 300000", "end"],
      [5, "message of 10", "end"],
    ]);
  });

  test("can be cancelled before its turn has come", async () => {
    const { client, serverHost, world } = await linked();
    open(client, new RecordingSink(), { bytes: 300_000 });
    open(client, new RecordingSink(), { bytes: 300_000 }).reset(new RapError("CANCELLED", "never mind"));
    await world.settle();
    expect(serverHost.events).toEqual(["ready"]);
    expect(serverHost.sinks.map(({ events }) => events)).toEqual([
      ["message of 300000", "end"],
      ["reset CANCELLED: never mind"],
    ]);
  });
});

async function linked() {
  const world = new World();
  return { world, ...(await world.link()) };
}
