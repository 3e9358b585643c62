import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { PlainSources } from "./plain-process";

let sources: PlainSources;
beforeAll(() => {
  sources = new PlainSources();
});
afterAll(() => sources.remove());

const SCRIPT = `
  const { Server } = require("@rap/server");
  const { Client } = require("@rap/client");
  (async () => {
    const server = new Server().register({ sum: (a, b) => a + b });
    await server.listen({ port: 0 });
    const client = await new Client({ target: server.address }).start();
    console.log(await client.invokeByName("sum", [1, 2]));
    await client.stop();
    await server.shutdown();
  })();
`;

/** What the script prints, and what Node's debug log does, without the process's number. */
async function run(env: NodeJS.ProcessEnv): Promise<{ out: string; log: string[] }> {
  const child = sources.run(SCRIPT, env);
  const [out, log] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { out, log: log.split("\n").map((line) => line.replace(/^RAP:FRAME \d+: /, "")) };
}

test.each(["rap:*", "rap:frame"])(
  "NODE_DEBUG=%s prints each frame of both sides, in both directions",
  async (value) => {
    const { out, log } = await run({ NODE_DEBUG: value });
    expect(out).toBe("3\n");
    for (const line of [
      /^client \d+ > HELLO stream=0 flags=0x0 bytes=\d+$/,
      /^server \d+ < HELLO stream=0/,
      /^server \d+ > HELLO stream=0/,
      /^client \d+ < HELLO stream=0/,
      /^client \d+ > OPEN stream=1 flags=0xa bytes=20$/,
      /^server \d+ < OPEN stream=1/,
      /^server \d+ > DATA stream=1 flags=0x2 bytes=1$/,
      /^client \d+ < DATA stream=1/,
      /^client \d+ > GOAWAY stream=0/,
    ]) {
      expect(log).toContainEqual(expect.stringMatching(line));
    }
  },
);

test("without it nothing is printed", async () => {
  expect(await run({ NODE_DEBUG: "" })).toEqual({ out: "3\n", log: [""] });
});
