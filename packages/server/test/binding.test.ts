import { expect, test } from "@jest/globals";
import { memory } from "@rap/transport";
import { Server } from "../src";

test("a certificate or key that cannot be read is said to be so, by option and file, and the server can try again", async () => {
  const certificate = require.resolve("./binding.test");
  const server = new Server({ sslCertPath: certificate, sslKeyPath: "/nowhere/rap.key" });
  await expect(server.listen({ port: 0 })).rejects.toMatchObject({
    code: "ENOENT",
    message: expect.stringMatching(/^sslKeyPath: \/nowhere\/rap\.key cannot be read: ENOENT/),
  });
  expect(server.state).toBe("idle");
  await server.listen({ transport: memory() });
  await server.shutdown();
});
