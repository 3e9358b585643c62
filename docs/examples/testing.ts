import assert from "node:assert/strict";
import { safe } from "@rap/client";
import { CLOCK, context, createContainer, Server } from "@rap/server";
import { createTestPair, ManualClock } from "@rap/testing";

const sum = (a: number, b: number) => a + b;
const whoami = () => context().conn.remoteAddress;
const forever = () => new Promise<never>(() => {});

export async function main() {
  // A function needs no rap to be tested. To test how it is called: a client and a server, without a port.
  {
    await using pair = await createTestPair(new Server().register({ sum }));
    assert.equal(await pair.client.register<typeof sum>("sum")(1, 2), 3);
  }

  // As bad a link as the test needs: it is slow, gives one byte at a time, and breaks.
  {
    const server = new Server().register({ sum, forever });
    await using pair = await createTestPair(server, { latency: 5, chunk: 1 });
    assert.equal(await pair.client.invokeByName("sum", [1, 2]), 3);

    const running = safe(pair.client.invokeByName("forever"));
    while (server.stats().inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    pair.cut();
    const lost = await running;
    assert(!lost.ok && lost.error.code === "UNAVAILABLE" && lost.error.maybeExecuted);
    console.log(lost.error.message);
    assert.equal(await pair.client.invokeByName("sum", [3, 4]), 7); // it has connected again
  }

  // A peer of the test's choice: private functions are not for one from afar.
  {
    const server = new Server().register({ whoami }).register(sum, { private: true });
    await using pair = await createTestPair(server, { peer: { address: "203.0.113.9", local: false } });
    assert.equal(await pair.client.invokeByName("whoami"), "203.0.113.9");
    await assert.rejects(pair.client.invokeByName("sum", [1, 2]), { code: "NOT_FOUND" });
  }

  // Twenty seconds without waiting for them.
  const clock = new ManualClock();
  const container = createContainer();
  container.register(CLOCK, { useValue: clock });
  await using pair = await createTestPair(new Server().register({ forever }), { client: { container } });
  const late = safe(pair.client.invokeByName("forever", [], { timeout: 20_000 }));
  clock.advance(20_005); // a deadline fires up to 4 ms late
  const result = await late;
  assert(!result.ok && result.error.code === "DEADLINE_EXCEEDED");
}
