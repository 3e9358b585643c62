import assert from "node:assert/strict";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { Client } from "@rap/client";
import { context, type Envelope, type Processor, Server } from "@rap/server";

const sizes: number[] = [];

/** Compresses the body of a message. */
async function zip(message: Envelope): Promise<Envelope> {
  const json = JSON.stringify(message.body);
  message.body = await promisify(gzip)(json);
  sizes.push(json.length);
  return message;
}

/** Undoes it. What comes from afar has a limit. */
async function unzip(message: Envelope): Promise<Envelope> {
  const json = await promisify(gunzip)(message.body as Uint8Array, { maxOutputLength: 1_000_000 });
  message.body = JSON.parse(json.toString());
  return message;
}

/** `onRequest` is for what the client sends, `onResponse` for what the server sends, on both sides. */
const clientGzip: Processor = { kind: "processor", onRequest: zip, onResponse: unzip };
const serverGzip: Processor = { kind: "processor", onRequest: unzip, onResponse: zip };

/** It may look at every message of every call, and be told of its beginning and end. */
const audit: Processor = {
  kind: "processor",
  onStart: () => console.log("audit: start"),
  onContextEnter: ({ method }) => console.log("audit:", method, "begins"),
  onRequest(message) {
    message.metadata.set("x-seen", "1");
    return message;
  },
  onContextExit: ({ method }, error) => console.log("audit:", method, error === undefined ? "is over" : "failed"),
  onStop: () => console.log("audit: stop"),
};

const seen = () => context().metadata.get("x-seen");
const reverse = (text: string) => [...text].reverse().join("");
async function* repeat(text: string, times: number) {
  for (let i = 0; i < times; i++) yield text;
}

export async function main() {
  {
    await using server = new Server().register({ seen, reverse, repeat });
    // What is sent goes through the list in order, what is received in reverse: both sides load it in the same order.
    server.loadProcessor([audit, serverGzip]);
    const { port } = await server.listen({ port: 0 });

    await using client = new Client().addConn("localhost", port);
    client.loadProcessor([clientGzip]);
    await client.start();
    assert.equal(await client.invokeByName("seen"), "1");
    const long = "rap".repeat(1_000);
    assert.equal(await client.register<typeof reverse>("reverse")(long), reverse(long));

    const items: string[] = [];
    for await (const item of client.registerGen<typeof repeat>("repeat")("x", 3)) items.push(item);
    assert.deepEqual(items, ["x", "x", "x"]); // in order, although each message waits for gzip
  }
  assert.equal(sizes.length, 8); // three requests, two results, three items
}
