import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transportCompliance } from "../src/compliance";
import { tcp, unix } from "../src/tcp";

transportCompliance("tcp", async () => ({ transport: tcp(), address: "tcp://127.0.0.1:0", dispose: async () => {} }));
transportCompliance("tcp over IPv6", async () => ({
  transport: tcp(),
  address: "rap://[::1]:0",
  dispose: async () => {},
}));
transportCompliance("unix", async () => {
  const directory = await mkdtemp(join(tmpdir(), "rap-"));
  return {
    transport: unix(),
    address: `unix:${directory}/socket`,
    dispose: () => rm(directory, { recursive: true }),
  };
});
