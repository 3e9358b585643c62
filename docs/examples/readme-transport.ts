import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { tcp } from "@rap/transport";

export async function main(): Promise<void> {
  const transport = tcp({ noDelay: true });
  const rest = { onDrain() {}, onClose() {} };
  const listener = await transport.listen("tcp://127.0.0.1:0", (socket) =>
    socket.start({ onData: (bytes) => void socket.write(bytes), ...rest }),
  );
  const answers = new PassThrough();
  const socket = await transport.dial(listener.address);
  socket.start({ onData: (bytes) => void answers.write(bytes), ...rest });
  socket.write(Buffer.from("hi"));
  assert.equal(String(await once(answers, "data")), "hi");
  socket.end();
  await listener.close();
}
