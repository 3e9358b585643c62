import { expect, test } from "@jest/globals";
import { type Codec, msgpack } from "@rap/protocol";
import { World } from "./link";

const codec = (name: string): Codec => {
  const { encode, decode } = msgpack();
  return { name, encode, decode };
};

test("the first codec of the client's that the server knows is used", async () => {
  const { client, server } = await new World().link(
    { codecs: [codec("a"), codec("b"), codec("c")] },
    { codecs: [codec("c"), codec("b")] },
  );
  expect([client.codec.name, server.codec.name]).toEqual(["b", "b"]);
});

test("without a common codec both sides say which there are", async () => {
  const { clientHost, serverHost } = await new World().link(
    { codecs: [codec("a"), codec("b")] },
    { codecs: [codec("c")] },
  );
  const reason = "(HANDSHAKE_FAILED): no common codec: the client has a, b, the server c";
  expect(serverHost.events).toEqual([`close: the connection was closed ${reason}`]);
  expect(clientHost.events).toContain(`close: the peer closed the connection ${reason}`);
});
