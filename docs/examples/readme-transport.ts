import assert from "node:assert/strict";
import { once } from "node:events";
import { type Socket, tcp } from "@rap/transport";

export async function main(): Promise<void> {
  const transport = tcp({ noDelay: true });
  const listener = await transport.listen("tcp://127.0.0.1:0", (socket) => socket.start(echo(socket)));
  const socket = await transport.dial(listener.address);
  const answers = new EventTarget();
  socket.start({
    onData: (bytes) => void answers.dispatchEvent(new MessageEvent("bytes", { data: Buffer.from(bytes).toString() })),
    onDrain() {},
    onClose() {},
  });
  socket.write(Buffer.from("hi"));
  const [{ data }] = (await once(answers, "bytes")) as [MessageEvent];
  assert.equal(data, "hi");
  socket.end();
  await listener.close();
}

const echo = (socket: Socket) => ({
  onData: (bytes: Uint8Array) => void socket.write(bytes),
  onDrain() {},
  onClose() {},
});
