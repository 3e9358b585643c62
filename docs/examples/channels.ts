import assert from "node:assert/strict";
import { Client } from "@rap/client";
import { type Channel, Server } from "@rap/server";

/** A function of one Channel; its types are what the function reads and what it writes. */
async function echo(channel: Channel<string, string>): Promise<void> {
  for await (const { body, seq } of channel.iter()) {
    await channel.write(body, { metadata: { "x-n": String(seq) } }); // waits while the peer is behind
  }
}

/** Both directions without a Channel: an async iterable in, an async generator out. */
async function* upper(source: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const text of source) yield text.toUpperCase();
}

export async function main() {
  await using server = new Server();
  server.registerChannel(echo).register(upper);
  const { port } = await server.listen({ port: 0 });
  await using client = new Client();
  await client.addConn("localhost", port).start();
  const remoteEcho = client.registerChannel<typeof echo>("echo");

  // The channel is open for as long as the function runs. `loop` instead of `while (true)`.
  await remoteEcho(async (channel) => {
    let count = 0;
    while (await channel.loop(count < 3)) {
      count++;
      await channel.write("hello");
      console.log(await channel.readBody());
    }
  });

  // The bodies until the server is done: it is, soon after this side has ended.
  await remoteEcho(async (channel) => {
    await channel.write("hi!");
    await channel.end();
    for await (const body of channel.iterBody()) console.log("body:", body);
  });

  // The same with what travels beside each body.
  await remoteEcho(async (channel) => {
    await channel.write("hi!");
    await channel.end();
    for await (const { body, metadata } of channel.iter()) console.log("message:", body, metadata.get("x-n"));
  });

  // Without a function: open it, and close it (or let the block's end do it).
  await using channel = await remoteEcho.open({ timeout: 5_000 });
  await channel.write("direct");
  for await (const body of channel) {
    assert.equal(body, "direct");
    break;
  }

  const words: string[] = [];
  for await (const word of client.registerGen<typeof upper>("upper")(["a", "b"])) words.push(word);
  assert.deepEqual(words, ["A", "B"]);
}
