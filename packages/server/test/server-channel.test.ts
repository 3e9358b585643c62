import { describe, expect, test } from "@jest/globals";
import { createTestPair } from "@rap/testing";
import { type Channel, context, type Logger, Metadata, RapError, Server } from "../src";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

describe("a channel", () => {
  async function answers(channel: Channel<string, string>): Promise<void> {
    context().responseHeaders.set("x-version", "7");
    for await (const body of channel) await channel.write(body);
  }

  test("sends the headers of its function before the first message", async () => {
    await using pair = await createTestPair(new Server().registerChannel(answers));
    await pair.client.registerChannel<typeof answers>("answers")(async (channel) => {
      await channel.write("a");
      await channel.read();
      expect(channel.metadata.get("x-version")).toBe("7");
    });
  });

  test("sends them with its end if there is no message", async () => {
    await using pair = await createTestPair(new Server().registerChannel(answers));
    await pair.client.registerChannel<typeof answers>("answers")(async (channel) => {
      await channel.end();
      await expect(channel.read()).rejects.toMatchObject({ code: "OUT_OF_RANGE" });
      expect(channel.metadata.get("x-version")).toBe("7");
    });
  });

  test("gives its trailers to its error", async () => {
    await using pair = await createTestPair(new Server({ logger: silent }).registerChannel(fails));
    const channel = await pair.client.registerChannel<typeof fails>("fails").open({ metadata: { length: "1" } });
    await expect(channel.read()).rejects.toMatchObject({
      code: "ABORTED",
      metadata: new Metadata({ trailer: "x", own: "x" }),
    });
  });

  test("ends with the code of its error although that and the trailers are too large together", async () => {
    await using pair = await createTestPair(new Server({ logger: silent }).registerChannel(fails));
    const channel = await pair.client.registerChannel<typeof fails>("fails").open({ metadata: { length: "4095" } });
    await expect(channel.read()).rejects.toMatchObject({ code: "ABORTED", message: "the error itself cannot be sent" });
  });

  async function fails(_channel: Channel<string, string>): Promise<void> {
    const value = "x".repeat(Number(context().metadata.get("length")));
    context().responseTrailers.set("trailer", value);
    throw new RapError("ABORTED", "no", { metadata: new Metadata({ own: value }) });
  }
});
